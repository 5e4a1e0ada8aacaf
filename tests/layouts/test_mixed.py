"""Codes of mixed bits as columns: planes, round trips, fine queries, what kernels are told."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.test_mixed import SHAPES, codes_of, layout_of
from vqindex.kernels.cpu import program
from vqindex.kernels.cpu.program import FIELDS, MIXED, NONE, REPEAT
from vqindex.kernels.reference import mixed as reference
from vqindex.layouts.base import Column


@given(SHAPES, st.integers(0, 63), st.sampled_from([0, 1, 33]))
@settings(max_examples=60, deadline=None)
def test_pack_and_unpack_are_inverse(bits, spare, n):
    layout = layout_of(bits, 8 * len(bits) - spare)
    codes = codes_of(layout, n)[:, : layout.dims]
    columns = layout.pack(codes)
    assert [c.name for c in layout.columns] == list(columns)
    for column in layout.columns:
        assert columns[column.name].shape == (n, column.width)
        assert columns[column.name].dtype == column.dtype
    assert np.array_equal(layout.unpack(columns), codes)
    levels = reference.levels_of(codes, layout.entry_bits[: layout.dims], layout.tables)
    assert np.array_equal(layout.levels(columns), levels + np.float32(0.5))


def test_planes_take_a_byte_for_each_run():
    layout = layout_of((5, 3, 3, 2, 2, 1, 1, 1))
    codes = codes_of(layout, 3)
    columns = layout.pack(codes)
    assert layout.columns == (
        Column("plane", np.dtype(np.uint64), 1, 8),
        Column("rest", np.dtype(np.uint64), 2),  # 5 + 3 + 1 + 1 bytes, rounded up
    )
    rest = columns["rest"].view(np.uint8)
    first = np.packbits(codes[:, :40] >> (layout.entry_bits[:40] - 2) & 1, 1, "little")
    assert np.array_equal(rest[:, :5], first)
    assert np.array_equal(rest[:, 9], np.packbits(codes[:, :8] & 1, 1, "little")[:, 0])
    assert not rest[:, 10:].any()


def test_program():
    layout = layout_of((2,) * 16 + (1,) * 8, 190, fine=2)
    fields = layout.program({"plane": 4, "rest": 6}, 5, 128)
    assert fields.shape == (2, FIELDS)
    assert fields[:, program.BITS].tolist() == [MIXED, REPEAT]
    assert fields[:, program.WORDS].tolist() == [3, 2]
    assert fields[:, program.FIRST].tolist() == [0, 128]
    assert fields[0, program.REPEATED] == 2
    assert fields[:, program.PLANE].tolist() == [4, 4]
    assert fields[:, program.PLANE_WORDS].tolist() == [3, 3]
    assert fields[:, program.REST].tolist() == [6, 6]
    assert fields[:, program.REST_BYTES].tolist() == [16, 16]
    assert fields[:, program.SCALE].tolist() == [5, 5]
    assert fields[:, program.OPERAND].tolist() == [128, 320]
    assert layout.operand_bytes == 320
    assert not fields[:, program.WEIGHTS].any()


def test_weights_are_of_the_first_segment():
    layout = replace(layout_of((2,) * 8, fine=1), weights=np.arange(64, dtype=np.int32))
    where = layout.program({"plane": 0, "rest": 1}, NONE, 0)[:, program.WEIGHTS].tolist()
    assert where == [layout.weights.ctypes.data, 0]


def test_program_of_signs_alone():
    layout = layout_of((1,) * 8)
    assert [c.name for c in layout.columns] == ["plane"]
    fields = layout.program({"plane": 2}, NONE, 0)
    assert len(fields) == 1
    assert fields[0, program.REST] == 2
    assert fields[0, program.REST_BYTES] == 0


@given(st.floats(1e-30, 1e30), st.sampled_from([0, 1, 3]))
@settings(max_examples=30, deadline=None)
def test_spread_takes_apart_what_rounding_takes(size, fine):
    layout = layout_of((1,) * 24, 150, fine)
    values = np.random.default_rng(0).standard_normal((4, 150)).astype(np.float32)
    values = values * np.float32(size)
    values[3] = 0
    spread = layout.spread(values)
    assert spread.dtype == np.float32
    assert spread.shape == (4, 64 * (3 + fine))
    again = spread[:, :192].copy()
    again[:, : 64 * fine] += spread[:, 192:]
    unit = np.abs(values).max(axis=1, keepdims=True) / 127
    assert (np.abs(spread[:, 192:]) <= 0.5001 * unit).all()
    assert (np.abs(again[:, :150] - values) <= 2.0**-23 * np.abs(values) + 1e-45).all()
    assert not again[:, 150:].any()
    assert (spread[:, 64 * fine : 150] == values[:, 64 * fine :]).all()


@pytest.mark.parametrize("bits", [(1,) * 7, (1, *(2,) * 7)])
def test_runs_fill_words_in_order(bits):
    with pytest.raises(ValueError, match="runs must fill words"):
        layout_of(bits)
