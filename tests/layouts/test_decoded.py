"""Decoded rows as columns."""

import numpy as np
import pytest

from vqindex.kernels.cpu import program
from vqindex.layouts.base import Column
from vqindex.layouts.decoded import DecodedCodes

KINDS = {"f32": np.float32, "f16": np.float16, "i8": np.int8}
WIDTHS = {"f32": 16, "f16": 16, "i8": 64}
DIMS = [1, 15, 16, 17, 63, 64, 65, 384]


def padded(dims, kind):
    return -(-dims // WIDTHS[kind]) * WIDTHS[kind]


@pytest.mark.parametrize("n", [0, 1, 33])
@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_kept_as_they_are(kind, dims, n):
    layout = DecodedCodes(dims, kind)
    rows = (np.random.default_rng(dims).standard_normal((n, dims)) * 40).astype(KINDS[kind])
    columns = layout.pack(rows)
    assert columns["rows"].dtype == KINDS[kind]
    assert columns["rows"].shape == (n, padded(dims, kind))
    assert not columns["rows"][:, dims:].any()
    unpacked = layout.unpack(columns)
    assert unpacked.dtype == np.float32
    assert np.array_equal(unpacked, rows.astype(np.float32) + (0.5 if kind == "i8" else 0))


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("kind", KINDS)
def test_columns_program_and_spread(kind, dims):
    layout, width = DecodedCodes(dims, kind, "kept_"), padded(dims, kind)
    assert layout.columns == (Column("kept_rows", np.dtype(KINDS[kind]), width),)
    assert layout.is_float == (kind != "i8")
    fields = layout.program({"kept_rows": 2}, 3, 64)
    codes = {"f32": program.FLOAT_ROWS, "f16": program.HALF_ROWS, "i8": program.BYTE_ROWS}
    assert fields[0, program.BITS] == codes[kind]
    assert fields[0, program.REST] == 2
    assert fields[0, program.SCALE] == 3
    assert fields[0, program.OPERAND] == 64
    assert fields[0, program.REST_BYTES] == width * np.dtype(KINDS[kind]).itemsize
    # A decoded row and a prepared query are as many 64-byte vectors, of floats or of bytes.
    assert fields[0, program.WORDS] == layout.vectors == width * (1 if kind == "i8" else 4) // 64
    assert layout.operand_bytes == 64 * layout.vectors
    values = np.ones((2, dims), np.float32)
    assert np.array_equal(layout.spread(values), np.pad(values, ((0, 0), (0, width - dims))))
