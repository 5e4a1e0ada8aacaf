"""Tables of four signs: equal to their definition, and as near the exact sums as they say."""

import ctypes

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.kernels.cases import F32, Case, padded
from tests.kernels.programs import one
from vqindex.kernels.cpu import tables
from vqindex.kernels.cpu.fields import block_at, field, segment_at
from vqindex.kernels.cpu.program import BLOCK, PLANE, PLANE_WORDS, WORDS
from vqindex.kernels.reference import scalar, score, sign
from vqindex.layouts.scalar import ScalarCodes, Segment

SHAPES = [[1], [63], [64], [65], [384], [64, 1], [7, 130, 65]]
COUNTS = [1, 2, 15, 16, 17]


def layout_of(dims):
    return ScalarCodes(tuple(Segment(d, (0,)) for d in dims))


def read(where, shape, dtype):
    """A copy of memory at an address."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(ctypes.string_at(where, size), dtype).reshape(shape)


def prepared(layout, queries, slack):
    """What `asked` writes: tables (padded, width), bases and units (segments, padded)."""
    case = Case(one(layout, False, len(layout.segments), bias=False, ratio=False), 0)
    operands = case.prepare([queries])
    asked = operands.asked(len(case.fields), F32(slack), False)
    assert asked.table_bytes == 4 * operands.row_bytes
    lines = len(case.fields), asked.padded
    return operands, [
        read(asked.tables, (asked.padded, asked.table_bytes), np.uint8),
        read(asked.base, lines, F32),
        read(asked.unit, lines, F32),
    ]


def check_prepare(layout, queries, slack):
    operands, written = prepared(layout, queries, slack)
    count = operands.nq
    got, base, unit = written[0][:count], written[1][:, :count], written[2][:, :count]
    slack = F32(slack)
    word = 0
    for s, segment in enumerate(layout.segments):
        words = segment.words
        entries = operands.entries[:count, 64 * word : 64 * (word + words)]
        want, floor, span = sign.tables(entries)
        half, gamma = operands.half[s, :count], operands.gamma[s, :count]
        line = score.line(half, gamma, floor, span, 16 * words)
        margin = np.maximum(line[2], slack) if s == 0 else line[2]
        assert (got[:, 256 * word : 256 * (word + words)] == want).all()
        assert base[s].tobytes() == (line[0] + margin).tobytes()
        assert unit[s].tobytes() == line[1].tobytes()
        word += words


@pytest.mark.parametrize("nq", COUNTS)
@pytest.mark.parametrize("dims", SHAPES)
def test_prepare_equals_the_reference(dims, nq):
    rng = np.random.default_rng([nq, *dims])
    queries = rng.standard_normal((nq, sum(dims))).astype(F32)
    queries[1::5] = 0
    queries[2::5, 0] = 1e4  # all others are 0 or 1
    check_prepare(layout_of(dims), queries, rng.exponential(1, nq))


@pytest.mark.parametrize("dims", SHAPES)
def test_prepare_the_largest_entries(dims):
    signs = np.random.default_rng(0).choice(F32([-1, 1]), (3, sum(dims)))
    queries = np.concatenate([signs, np.ones((1, sum(dims))), -np.ones((1, sum(dims)))])
    check_prepare(layout_of(dims), queries, np.zeros(5))


def test_tables_of_one_group_by_hand():
    """Of 3, -1, 0, 0 all sums lie -1..3, a span of four: 127 is 3, and -1 is 0."""
    entries = np.zeros((1, 64), np.int8)
    entries[0, :4] = 3, -1, 0, 0
    got, floor, span = sign.tables(entries)
    assert (floor[0], span[0]) == (-1, 4)
    assert got[0, :16].tolist() == [32, 127, 0, 95] * 4
    assert not got[0, 16:].any()


ENTRIES = hnp.arrays(np.int8, (2, 128), elements=st.integers(-127, 127), fill=st.integers(-9, 9))
SIGNS = hnp.arrays(bool, (4, 128), fill=st.booleans())


@given(ENTRIES, SIGNS, st.floats(2.0**-100, 2.0**100, width=32))
@example(np.full((2, 128), 127, np.int8), np.ones((4, 128), bool), 1.0)
@example(np.full((2, 128), -127, np.int8), np.ones((4, 128), bool), 1.0)
@example(np.tile(np.int8([0, 0, 0, 1]), (2, 32)), np.ones((4, 128), bool), 1.0)
@settings(max_examples=60, deadline=None)
def test_estimates_are_within_their_margin_of_the_exact_parts(entries, signs, gamma):
    looked_up, floor, span = sign.tables(entries)
    gamma, half = np.full(2, gamma, F32), scalar.half(entries)
    base, unit, margin = score.line(half, gamma, floor, span, 32)
    total = sign.table_sums(signs, looked_up)
    raw = scalar.raw(signs.astype(np.uint8), np.zeros(1, np.int8), entries)
    exact = (raw + half) * gamma.astype(np.float64)
    estimate = score.estimate(total, base, unit)
    assert (np.abs(estimate.astype(np.float64) - exact) <= margin).all()
    raised = score.estimate(total, base + margin, unit)
    assert (raised >= score.part(raw, half, gamma)).all()


@numba.njit
def row_sums(stored, rows, query, out):
    for s in range(stored.segments):
        segment = segment_at(stored.program, s)
        row_bytes = 8 * field(segment, PLANE_WORDS)
        for i in range(rows.size):
            plane = block_at(field(segment, PLANE), rows[i] // BLOCK, row_bytes)
            out[s, i] = tables.row_sum(plane, segment, rows[i] % BLOCK, query)
        query += 256 * field(segment, WORDS)


@pytest.mark.parametrize("name", ["several segments", "signs", "one dimension"])
def test_totals_of_rows(name):
    case = Case(name, 4200)
    operands, rows = case.prepare(1), np.append(np.arange(70), [4095, 4096, 4199])
    asked = case.asked(operands)
    got = np.full((len(case.parts), len(rows)), -1)
    row_sums(case.stored, rows, asked.tables, got)
    for s, part in enumerate(case.parts):
        entries = padded(case.entries(operands, s, part.shape[1]))
        want = sign.table_sums(padded(case.negative(s))[rows], sign.tables(entries)[0])
        assert (got[s] == want[:, 0]).all()
