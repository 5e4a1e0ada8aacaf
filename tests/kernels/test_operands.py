"""Prepared queries, against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vqindex.kernels.cpu import operands, simd
from vqindex.kernels.cpu.records import Asked
from vqindex.layouts.joined import Joined
from vqindex.layouts.offset import OffsetColumn
from vqindex.layouts.scalar import ScalarCodes, Segment
from vqindex.layouts.sign import SignCodes

TINY = float(np.finfo(np.float32).tiny)


def program_of(*words):
    layout = ScalarCodes(tuple(Segment(64 * count, (0,)) for count in words))
    return layout.program({"plane": 0}, -1, 0)


def quantize(queries, program):
    nq, segments = len(queries), len(program)
    entries = np.full(queries.shape, 99, np.int8)
    seed = np.full((segments, nq + 3), 99, np.int32)
    half = np.full((segments, nq + 3), np.nan, np.float32)
    gamma = np.full((segments, nq + 3), np.nan, np.float32)
    where = (array.ctypes.data for array in (entries, seed, half, gamma))
    operands.quantize(queries, program, *where, nq + 3)
    assert (seed[:, nq:] == 99).all()
    assert np.isnan(half[:, nq:]).all()
    assert np.isnan(gamma[:, nq:]).all()
    return entries, seed[:, :nq], half[:, :nq], gamma[:, :nq]


def check_definition(queries, program, words):
    entries, seed, half, gamma = quantize(queries, program)
    start = 0
    for s, count in enumerate(words):
        part = queries[:, start : start + 64 * count]
        unit = np.abs(part).max(axis=1) / np.float32(127)
        safe = np.where(unit > 0, unit, np.float32(np.inf))
        want = np.clip(np.rint(part / safe[:, None]), -127, 127).astype(np.int64)
        assert gamma[s].tobytes() == unit.tobytes()
        assert (entries[:, start : start + 64 * count] == want).all()
        assert (half[s] == want.sum(axis=1) / 2).all()
        assert (seed[s] == -simd.ROW_BIAS * want.sum(axis=1)).all()
        start += 64 * count


@given(
    queries=hnp.arrays(
        np.float32, (3, 128),
        elements=st.floats(-(2.0**100), 2.0**100, width=32),
        fill=st.floats(-1, 1, width=32),
    ),
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_quantize_equals_its_definition(queries):
    check_definition(queries, program_of(1, 1), [1, 1])


@pytest.mark.parametrize("words", [[1], [2], [1, 3, 2]])
def test_quantize_segments_by_scales_of_their_own(words):
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((17, 64 * sum(words))).astype(np.float32)
    queries[:, :64] *= 1000
    queries[3] = 0
    queries[4, :64] = 0
    queries[5] = 1  # every entry 127
    check_definition(queries, program_of(*words), words)


def test_a_segment_without_codes_has_its_entry_as_it_is():
    """Whatever lies beside it; it has the score of one entry of scale * gamma."""
    queries = np.random.default_rng(2).standard_normal((5, 192)).astype(np.float32)
    layout = Joined((ScalarCodes((Segment(64, (0,)),)), OffsetColumn("o"), SignCodes(64, "b_")))
    program = layout.program({"plane": 0, "o": 1, "b_plane": 2}, -1, 0)
    _, seed, half, gamma = quantize(queries, program)
    assert (seed[1] == 0).all()
    assert (half[1] == 1).all()
    assert (gamma[1] == queries[:, 64]).all()
    alone = quantize(queries[:, 128:].copy(), program_of(1))
    for mine, own in zip((seed, half, gamma), alone[1:], strict=True):
        assert (mine[2] == own[0]).all()


def test_quantize_is_within_half_a_step():
    queries = np.random.default_rng(1).standard_normal((20, 64)).astype(np.float32)
    entries, _, _, gamma = quantize(queries, program_of(1))
    error = np.abs(queries - gamma[0][:, None] * entries.astype(np.float64))
    # The quotient, below 128, is rounded once before it is rounded to an integer.
    assert (error <= gamma[0][:, None] * (0.5 + 128 * 2.0**-24)).all()
    assert (np.abs(entries).max(axis=1) == 127).all()


@pytest.mark.parametrize("largest", [1e-45, 9e-44, 2.66e-43, 1e-42, TINY])
def test_quantize_stays_in_range_for_denormal_queries(largest):
    queries = np.full((1, 64), largest, np.float32)
    queries[0, ::2] *= -1
    check_definition(queries, program_of(1), [1])


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("d", [64, 192])
def test_pack(groups, d):
    entries = np.random.default_rng(d).integers(-127, 128, (16 * groups, d), np.int8)
    packed = np.full((groups + 1, d // 4, 16, 4), 99, np.int8)
    asked = dict.fromkeys(Asked._fields, 0) | {
        "padded": len(entries), "entries": entries.ctypes.data, "row_bytes": d,
        "packed": packed.ctypes.data,
    }  # fmt: skip
    operands.pack(Asked(**asked))
    want = entries.reshape(groups, 16, d // 4, 4).transpose(0, 2, 1, 3)
    assert (packed[:groups] == want).all()
    assert (packed[groups] == 99).all()
