"""Codes of a codebook as columns."""

import numpy as np
import pytest

from vqindex.kernels.cpu import program
from vqindex.layouts.base import Column
from vqindex.layouts.codebook import CodebookCodes


def book(window, group):
    return np.random.default_rng(window).integers(-128, 128, (1 << window, group), np.int8)


@pytest.mark.parametrize(
    ("dims", "group", "window", "stride", "codes", "row_bytes"),
    [
        (384, 2, 4, 4, 192, 96),
        (384, 5, 8, 8, 77, 77),
        (384, 3, 7, 7, 128, 112),
        (384, 2, 12, 4, 192, 96),  # of a trellis exactly 2 bits a dimension
        (385, 2, 12, 5, 193, 121),
        (1, 2, 12, 2, 6, 8),  # as many codes as hold a window, as many bytes as are read at once
        (1, 4, 8, 8, 1, 8),
    ],
)
def test_columns_program_and_spread(dims, group, window, stride, codes, row_bytes):
    layout = CodebookCodes(dims, book(window, group), stride, "p_")
    assert layout.columns == (Column("p_codes", np.dtype(np.uint8), row_bytes),)
    assert layout.codes == codes
    assert layout.vectors == -(-codes * group // 64)
    assert layout.operand_bytes == 64 * layout.vectors
    fields = layout.program({"p_codes": 2}, 3, 64)
    names = ("BITS", "WORDS", "REST", "REST_BYTES", "SCALE", "OPERAND")
    want = [program.CODE_ROWS, layout.vectors, 2, row_bytes, 3, 64]
    assert [int(fields[0, getattr(program, name)]) for name in names] == want
    values = np.ones((2, dims), np.float32)
    pad = 64 * layout.vectors - dims
    assert np.array_equal(layout.spread(values), np.pad(values, ((0, 0), (0, pad))))


@pytest.mark.parametrize("n", [0, 1, 33])
@pytest.mark.parametrize("dims", [1, 2, 65, 384])
def test_codes_come_back_as_levels(dims, n):
    words = book(8, 5)
    layout = CodebookCodes(dims, words, 8)
    codes = np.random.default_rng(dims).integers(0, 256, (n, layout.codes))
    columns = layout.pack(codes)
    levels = words[codes].reshape(n, 5 * layout.codes)
    assert (layout.levels(columns) == levels).all()
    unpacked = layout.unpack(columns)
    assert unpacked.dtype == np.float32
    assert np.array_equal(unpacked, levels[:, :dims] + np.float32(0.5))
    wide = {"codes": np.repeat(columns["codes"], 2, axis=1)[:, ::2]}
    assert np.array_equal(layout.unpack(wide), unpacked)


@pytest.mark.parametrize(
    ("shape", "stride"), [((3, 2), 1), ((1, 2), 1), ((16, 9), 4), ((16, 2), 5), ((16, 2), 0)]
)
def test_refused_shapes(shape, stride):
    with pytest.raises(ValueError, match="need"):
        CodebookCodes(8, np.zeros(shape, np.int8), stride)
