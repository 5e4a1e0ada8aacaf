"""Table codes as columns."""

import numpy as np
import pytest

from vqindex.layouts.base import Column
from vqindex.layouts.table import TableCodes

PARTS = [1, 2, 15, 16, 17, 33, 192]
layouts = pytest.mark.parametrize(
    "layout", [TableCodes(parts, bits, "a_") for parts in PARTS for bits in (4, 8)], ids=str
)


def codes_of(layout, n):
    rng = np.random.default_rng(n)
    return rng.integers(0, layout.size, (n, layout.parts), np.uint8)


@layouts
@pytest.mark.parametrize("n", [0, 1, 31, 33])
def test_pack_and_unpack_are_inverse(layout, n):
    codes = codes_of(layout, n)
    columns = layout.pack(codes)
    (column,) = layout.columns
    assert list(columns) == [column.name]
    assert columns[column.name].shape == (n, column.width)
    assert columns[column.name].dtype == column.dtype
    assert (layout.unpack(columns) == codes).all()


def test_codes_lie_as_documented():
    layout = TableCodes(35, 4)
    codes = codes_of(layout, 9)
    (column,) = layout.columns
    assert column == Column("codes", np.dtype(np.uint64), 3, 8)
    words = layout.pack(codes)["codes"]
    for j in range(48):
        want = codes[:, j] if j < 35 else 0
        assert (words[:, j // 16] >> np.uint64(4 * (j % 16)) & np.uint64(15) == want).all()
    layout = TableCodes(35, 8)
    assert layout.columns == (Column("codes", np.dtype(np.uint8), 36, 32),)
    codes = codes_of(layout, 9)
    assert (layout.pack(codes)["codes"] == np.pad(codes, ((0, 0), (0, 1)))).all()
    even = TableCodes(34, 8)
    assert even.pack(codes[:, :34])["codes"].base is codes


@layouts
def test_tables_are_spread_as_codes_lie(layout):
    """Place and code name an entry: bytes of a word first their low halves, then the high ones."""
    tables = np.random.default_rng(0).random((2, layout.parts, layout.size), np.float32)
    spread = layout.spread(tables.reshape(2, -1))
    assert spread.shape == (2, layout.operand_bytes)
    found = spread[:, : 256 * layout.words].copy()
    for j in range(layout.parts):
        start = 256 * j
        if layout.bits == 4:
            start = 256 * (j // 16) + 128 * (j % 2) + 16 * (j % 16 // 2)
        assert (found[:, start : start + layout.size] == tables[:, j]).all()
        found[:, start : start + layout.size] = 0
    assert not found.any()


def test_other_bits_are_refused():
    with pytest.raises(ValueError, match="4 or 8 bits, got 5"):
        TableCodes(3, 5)
