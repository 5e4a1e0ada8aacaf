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
    assert layout.columns == (Column("codes", np.dtype(np.uint8), 35, 32),)
    codes = codes_of(layout, 9)
    assert layout.pack(codes)["codes"] is codes


@layouts
def test_tables_are_spread_as_codes_lie(layout):
    tables = np.random.default_rng(0).random((2, layout.parts, layout.size), np.float32)
    spread = layout.spread(tables.reshape(2, -1))
    parts = layout.columns[0].width * (16 if layout.bits == 4 else 1)
    assert spread.shape == (2, parts * layout.size)
    spread = spread.reshape(2, parts, layout.size)
    assert (spread[:, : layout.parts] == tables).all()
    assert not spread[:, layout.parts :].any()


def test_other_bits_are_refused():
    with pytest.raises(ValueError, match="4 or 8 bits, got 5"):
        TableCodes(3, 5)
