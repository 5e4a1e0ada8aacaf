"""Prepared queries: shapes, padding and selection."""

import ctypes

import numpy as np
import pytest

from vqindex.kernels.cpu import simd
from vqindex.kernels.reference import scalar, sign
from vqindex.layouts.decoded import DecodedCodes
from vqindex.layouts.operands import GROUP, prepare
from vqindex.layouts.scalar import ScalarCodes, Segment

COUNTS = [0, 1, 15, 16, 17, 40]


def prepared(layout, nq):
    rng = np.random.default_rng(nq)
    values = layout.spread(rng.standard_normal((nq, layout.dims)).astype(np.float32))
    alpha, norms = rng.standard_normal((2, nq)).astype(np.float32)
    fields = layout.program({"plane": 0, "rest": 1, "rows": 0}, -1, 0)
    return prepare(fields, [values[:3], values[3:]], alpha, norms**2), values, alpha, np.abs(norms)


def scalar_layout():
    return ScalarCodes((Segment(65, (1, 5)), Segment(7, (0,))))


@pytest.mark.parametrize("nq", COUNTS)
def test_integer_queries(nq):
    operands, values, alpha, norms = prepared(scalar_layout(), nq)
    padded = max(-(-nq // GROUP), 1) * GROUP
    assert operands.nq == nq
    assert operands.row_bytes == 192
    assert operands.entries.shape == (padded, 192)
    assert operands.entries.dtype == np.int8
    assert np.array_equal(operands.alpha, alpha)
    assert np.array_equal(operands.norms, norms)
    for s, part in enumerate((slice(0, 128), slice(128, 192))):
        entries = operands.entries[:, part]
        assert np.array_equal(operands.half[s], scalar.half(entries))
        assert np.array_equal(operands.seed[s], -simd.ROW_BIAS * entries.sum(1, dtype=np.int32))
        largest = np.abs(values[:, part]).max(axis=1)
        assert np.array_equal(operands.gamma[s, :nq], largest / np.float32(127))
        error = np.abs(operands.gamma[s, :nq, None] * entries[:nq].astype(float) - values[:, part])
        # Half a step, and one rounding of a quotient below 128.
        assert (error <= operands.gamma[s, :nq, None] * (0.5 + 128 * 2.0**-24)).all()
    assert not operands.entries[nq:].any()
    for name in ("seed", "half", "gamma"):
        assert getattr(operands, name).shape == (2, padded)
        assert not getattr(operands, name)[:, nq:].any()


@pytest.mark.parametrize("nq", COUNTS)
@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_float_queries_stay_as_they_are(kind, nq):
    operands, values, _, norms = prepared(DecodedCodes(33, kind), nq)
    padded = max(-(-nq // GROUP), 1) * GROUP
    assert operands.entries.dtype == np.float32
    assert operands.row_bytes == 192
    assert np.array_equal(operands.entries, np.pad(values, ((0, padded - nq), (0, 0))))
    asked = operands.asked(0, norms, packed=True)
    assert asked.packed == asked.entries == operands.entries.ctypes.data
    for name in ("seed", "half", "gamma"):
        assert not getattr(operands, name).any()


def read(where, shape, dtype):
    """A copy of memory at an address."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(ctypes.string_at(where, size), dtype).reshape(shape)


@pytest.mark.parametrize("nq", COUNTS)
def test_what_searches_are_told(nq):
    operands, _, _, norms = prepared(scalar_layout(), nq)
    padded = len(operands.entries)
    for packed in (True, False):
        asked = operands.asked(0, norms, packed)
        assert (asked.nq, asked.padded, asked.row_bytes) == (nq, padded, 192)
        for name in ("entries", "seed", "half", "gamma"):
            assert getattr(asked, name) == getattr(operands, name).ctypes.data
        assert asked.table_bytes == 0
    asked = operands.asked(0, norms, packed=True)
    want = operands.entries.reshape(padded // GROUP, GROUP, 48, 4).transpose(0, 2, 1, 3)
    assert (read(asked.packed, want.shape, np.int8) == want).all()


@pytest.mark.parametrize("nq", [1, 16, 17])
@pytest.mark.parametrize("packed", [True, False])
def test_tables_of_as_many_segments_as_are_looked_up(nq, packed):
    operands, _, _, norms = prepared(scalar_layout(), nq)
    for signs, dims in ((1, 128), (2, 192)):
        asked = operands.asked(signs, norms, packed)
        assert asked.table_bytes == 4 * dims
        got = read(asked.tables, (nq, 4 * dims), np.uint8)
        parts = operands.entries[:nq, :128], operands.entries[:nq, 128:dims]
        want = [sign.tables(part)[0] for part in parts[:signs]]
        assert (got == np.hstack(want)).all()
        base = read(asked.base, (signs, asked.padded), np.float32)
        assert (base[0, :nq] - operands.half[0, :nq] * operands.gamma[0, :nq] >= norms).all()


@pytest.mark.parametrize(("start", "stop"), [(0, 40), (0, 16), (16, 40), (16, 17), (32, 40)])
@pytest.mark.parametrize("layout", [scalar_layout(), DecodedCodes(33, "f32")])
def test_selected_queries_are_the_same_queries(layout, start, stop):
    operands, _, alpha, norms = prepared(layout, 40)
    some = operands.select(start, stop)
    end = start + -(-(stop - start) // GROUP) * GROUP
    assert some.nq == stop - start
    assert some.row_bytes == operands.row_bytes
    assert np.array_equal(some.alpha, alpha[start:stop])
    assert np.array_equal(some.norms, norms[start:stop])
    assert np.array_equal(some.entries, operands.entries[start:end])
    for name in ("seed", "half", "gamma"):
        part = getattr(some, name)
        assert np.array_equal(part, getattr(operands, name)[:, start:end])
        assert part.flags.c_contiguous
