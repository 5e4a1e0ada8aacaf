"""Sign codes are scalar codes of one bit."""

import numpy as np
import pytest

from vqindex.kernels.cpu import program
from vqindex.kernels.reference import sign
from vqindex.layouts.base import Column
from vqindex.layouts.sign import SignCodes


@pytest.mark.parametrize("n", [0, 1, 33])
@pytest.mark.parametrize("dims", [1, 63, 64, 65, 384])
def test_pack_and_unpack_are_inverse(dims, n):
    negative = np.random.default_rng(dims).random((n, dims)) < 0.5
    columns = SignCodes(dims).pack(negative)
    assert columns.keys() == {"plane"}
    assert np.array_equal(columns["plane"], sign.pack(negative))
    unpacked = SignCodes(dims).unpack(columns)
    assert unpacked.dtype == bool
    assert np.array_equal(unpacked, negative)


@pytest.mark.parametrize("dims", [1, 63, 64, 65, 384])
def test_encode_takes_the_first_entries_and_no_sign_of_zero(dims):
    values = np.random.default_rng(dims).standard_normal((9, dims + 3)).astype(np.float32)
    values[3], values[4] = 0.0, -0.0
    columns = SignCodes(dims).encode(values)
    assert columns.keys() == {"plane"}
    assert np.array_equal(columns["plane"], sign.pack(values[:, :dims] < 0))


def test_columns_and_program():
    layout = SignCodes(65, "sketch_")
    assert layout.columns == (Column("sketch_plane", np.dtype(np.uint64), 2, 8),)
    assert layout.operand_bytes == 128
    fields = layout.program({"sketch_plane": 3}, 4, 256)
    assert fields[0, program.BITS] == 1
    assert fields[0, program.PLANE] == 3
    assert fields[0, program.SCALE] == 4
    assert fields[0, program.OPERAND] == 256


def test_spread():
    values = np.ones((2, 65), np.float32)
    assert np.array_equal(SignCodes(65).spread(values), np.pad(values, ((0, 0), (0, 63))))
