"""Scalar codes as columns: planes, round trips, and what kernels are told of them."""

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.kernels.cpu import program, simd
from vqindex.kernels.cpu.program import FIELDS, NONE
from vqindex.kernels.reference import scalar, sign
from vqindex.layouts.base import Column
from vqindex.layouts.scalar import ScalarCodes, Segment

SHAPES = st.lists(
    st.tuples(st.sampled_from([1, 7, 63, 64, 65, 127, 128, 129]), st.integers(1, 8)),
    min_size=1, max_size=4,
).map(lambda shape: sorted(shape, key=lambda segment: -segment[1]))  # fmt: skip


def layout_of(shape, prefix=""):
    rng = np.random.default_rng(0)
    choices = [np.sort(rng.choice(128, 2 ** (bits - 1), replace=False)) for _, bits in shape]
    segments = (
        Segment(dims, tuple(chosen.tolist()))
        for (dims, _), chosen in zip(shape, choices, strict=True)
    )
    return ScalarCodes(tuple(segments), prefix)


def codes_of(shape, n, seed=0):
    """Random codes of each segment, and all of them side by side."""
    rng = np.random.default_rng(seed)
    parts = [rng.integers(0, 1 << bits, (n, dims), np.uint8) for dims, bits in shape]
    return parts, np.concatenate(parts, axis=1)


@given(SHAPES, st.sampled_from([0, 1, 31, 33]))
@settings(max_examples=80, deadline=None)
def test_pack_and_unpack_are_inverse(shape, n):
    layout = layout_of(shape)
    _, codes = codes_of(shape, n)
    columns = layout.pack(codes)
    assert [c.name for c in layout.columns] == list(columns)
    for column in layout.columns:
        assert columns[column.name].shape == (n, column.width)
        assert columns[column.name].dtype == column.dtype
    assert np.array_equal(layout.unpack(columns), codes)


@given(SHAPES)
@settings(max_examples=40, deadline=None)
def test_planes_lie_as_documented(shape):
    """Bit j of word w is entry 64 w + j; planes follow one another, most significant first."""
    layout = layout_of(shape)
    parts, codes = codes_of(shape, 5)
    columns = layout.pack(codes)
    want = [[] for _ in range(8)]
    for part, (_, bits) in zip(parts, shape, strict=True):
        for p in range(bits):
            want[p].append(sign.pack(part >> (bits - 1 - p) & 1 == 1))
    assert np.array_equal(columns["plane"], np.hstack(want[0]))
    rest = [word for plane in want[1:] for word in plane]
    if rest:
        assert np.array_equal(columns["rest"], np.hstack(rest))
    else:
        assert columns.keys() == {"plane"}
    starts = np.cumsum([0, 0, *(sum(w.shape[1] for w in plane) for plane in want[1:])])
    assert np.array_equal(layout.plane_offsets, starts)


def test_the_first_planes_are_the_same_code_at_fewer_bits():
    shape = [(100, 6)]
    _, codes = codes_of(shape, 9)
    columns = layout_of(shape).pack(codes)
    for bits in range(1, 6):
        shorter = layout_of([(100, bits)])
        prefix = {"plane": columns["plane"], "rest": columns["rest"][:, : 2 * (bits - 1)]}
        assert np.array_equal(shorter.unpack(prefix), codes >> (6 - bits))


@given(SHAPES, st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_first_bits_are_read_where_the_whole_codes_are(shape, bits):
    """The same columns, codes without their last bits, and levels of those codes."""
    whole = layout_of(shape)
    parts, codes = codes_of(shape, 9)
    segments = layout_of([(dims, min(bits, own)) for dims, own in shape]).segments
    layout = whole.first_bits(segments)
    assert layout.columns == whole.columns
    columns = whole.pack(codes)
    shifts = [max(own - bits, 0) for _, own in shape]
    read = np.concatenate([p >> s for p, s in zip(parts, shifts, strict=True)], axis=1)
    assert np.array_equal(layout.unpack(columns), read)
    shorter = ScalarCodes(segments)
    assert np.array_equal(layout.levels(columns), shorter.levels(shorter.pack(read)))
    again = layout.first_bits(tuple(Segment(s.dims, (0,)) for s in segments))
    assert again.kept == tuple(own for _, own in shape)


def test_program_of_first_bits():
    whole = layout_of([(65, 6), (7, 4)])
    read = whole.first_bits((Segment(65, (0, 9)), Segment(7, (0, 8))), 4, "ratio2")
    index = {"plane": 4, "rest": 6, "ratio2": 7}
    fields, kept = read.program(index, 5, 128), whole.program(index, 5, 128)
    assert fields[:, program.BITS].tolist() == [2, 2]
    assert fields[:, program.RATIO].tolist() == [8, 8]
    assert not kept[:, program.RATIO].any()
    assert not kept[:, program.WEIGHTS].any()
    for field in (program.FIRST, program.REST, program.REST_BYTES, program.OPERAND):
        assert (fields[:, field] == kept[:, field]).all()
    assert (fields[:, program.PLANES :] == kept[:, program.PLANES :]).all()
    for i, words in enumerate((2, 1)):
        where = int(fields[i, program.WEIGHTS])
        weights = np.frombuffer((ctypes.c_int32 * 64 * words).from_address(where), np.int32)
        assert (weights == 4).all()


@given(SHAPES)
@settings(max_examples=40, deadline=None)
def test_levels_are_those_of_the_reference(shape):
    layout = layout_of(shape)
    parts, codes = codes_of(shape, 7)
    want = [
        scalar.levels_of(part, np.array(segment.magnitudes, np.int8)) + np.float32(0.5)
        for part, segment in zip(parts, layout.segments, strict=True)
    ]
    levels = layout.levels(layout.pack(codes))
    assert levels.dtype == np.float32
    assert np.array_equal(levels, np.hstack(want))


def test_columns():
    layout = layout_of([(65, 3), (7, 1)], "a_")
    words = np.dtype(np.uint64)
    assert layout.columns == (Column("a_plane", words, 3, 8), Column("a_rest", words, 4))
    assert layout_of([(65, 1)]).columns == (Column("plane", words, 2, 8),)
    assert layout.dims == 72
    assert layout.words == 3
    assert layout.operand_bytes == 192
    assert [segment.bits for segment in layout.segments] == [3, 1]


def test_program():
    layout = layout_of([(65, 3), (7, 1)])
    fields = layout.program({"plane": 4, "rest": 6}, 5, 128)
    assert fields.shape == (2, FIELDS)
    assert fields.dtype == np.int64
    assert fields[:, program.BITS].tolist() == [3, 1]
    assert fields[:, program.WORDS].tolist() == [2, 1]
    assert fields[:, program.FIRST].tolist() == [0, 2]
    assert fields[:, program.PLANE].tolist() == [4, 4]
    assert fields[:, program.PLANE_WORDS].tolist() == [3, 3]
    assert fields[:, program.REST].tolist() == [6, 4]  # a sign is all that the second has
    assert fields[:, program.REST_BYTES].tolist() == [32, 0]
    assert fields[:, program.SCALE].tolist() == [5, 5]
    assert fields[:, program.OPERAND].tolist() == [128, 256]
    assert fields[0, program.PLANES + 1 : program.PLANES + 3].tolist() == [0, 2]


def test_program_without_a_scale_or_other_planes():
    fields = layout_of([(65, 1)]).program({"plane": 2}, NONE, 0)
    assert fields[0, program.SCALE] == NONE
    assert fields[0, program.REST] == 2
    assert fields[0, program.REST_BYTES] == 0


@pytest.mark.parametrize("bits", range(1, 9))
def test_tables_hold_the_levels_wherever_a_kernel_looks(bits):
    layout = layout_of([(64, bits)])
    where = int(layout.program({"plane": 0, "rest": 1}, NONE, 0)[0, program.TABLE])
    table = np.frombuffer((ctypes.c_uint8 * 128).from_address(where), np.uint8)
    levels = np.array(layout.segments[0].magnitudes) + simd.ROW_BIAS
    period = 16 if bits <= 5 else len(levels)
    for start in range(0, 128, period):
        assert np.array_equal(table[start : start + len(levels)], levels)


def test_spread_puts_each_segment_at_a_word():
    layout = layout_of([(65, 3), (7, 1)])
    values = np.random.default_rng(0).standard_normal((3, 72)).astype(np.float32)
    spread = layout.spread(values)
    assert spread.dtype == np.float32
    assert spread.shape == (3, 192)
    assert np.array_equal(spread[:, :65], values[:, :65])
    assert np.array_equal(spread[:, 128:135], values[:, 65:])
    assert not spread[:, 65:128].any()
    assert not spread[:, 135:].any()


def test_segments_must_come_with_the_most_bits_first():
    with pytest.raises(ValueError, match=r"most bits first, got \[1, 3\]"):
        layout_of([(7, 1), (65, 3)])
