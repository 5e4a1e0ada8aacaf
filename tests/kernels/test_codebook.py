"""Codes of a codebook against the reference: integers equal, gains bit for bit."""

import contextlib
import ctypes
import mmap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.kernels.cpu import codebook, program, simd
from vqindex.kernels.reference import codebook as reference
from vqindex.kernels.reference import decoded
from vqindex.layouts.codebook import CodebookCodes

POISON = 0xA5
# Entries of a word, bits of a code, bits from one to the next.
SHAPES = [
    (1, 1, 1), (2, 4, 4), (2, 6, 6), (4, 8, 8), (5, 8, 8), (2, 8, 8), (3, 1, 1), (4, 5, 5),
    (8, 3, 3), (3, 7, 7), (3, 13, 13),
    (1, 12, 2), (2, 12, 3), (2, 12, 5), (2, 10, 8), (2, 16, 7), (1, 16, 1), (7, 9, 4),
]  # fmt: skip
DIMS = [1, 2, 3, 7, 31, 63, 64, 65, 384, 1287]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def layout_of(shape, dims, rng):
    group, window, stride = shape
    words = rng.integers(-128, 128, (1 << window, group), np.int8)
    words[:2] = np.where(rng.random((2, group)) < 0.5, -128, 127)
    return CodebookCodes(dims, words, stride)


def coded(layout, n, rng):
    """Random rows of a layout, and the integers that they stand for."""
    fresh = rng.integers(0, 1 << layout.stride, (n, layout.codes))
    bits = reference.stream(fresh, layout.stride)
    codes = reference.windows(bits, layout.stride, layout.window, layout.codes)
    return layout.pack(codes)["codes"], reference.levels(codes, layout.codebook)


def segment_of(layout):
    return layout.program({"codes": 0}, program.NONE, 0)


def test_narrow_words_are_looked_up_where_registers_are_wide():
    looked = [
        bool(segment_of(layout_of(s, 64, np.random.default_rng(0)))[0, program.LOOKUPS])
        for s in SHAPES
    ]
    plain = [w == s <= 8 and 2 <= g <= 5 for g, w, s in SHAPES]
    assert looked == (plain if simd.WIDE else [False] * len(SHAPES))
    assert any(plain)


def test_windows_wrap_round_a_stream():
    bits = np.uint8([[1, 0, 1, 1, 0, 0]])
    assert reference.windows(bits, 2, 3, 3).tolist() == [[0b101, 0b011, 0b100]]
    assert reference.stream(np.array([[0b101, 0b011, 0b100]]), 2).tolist() == bits.tolist()


@shapes
@pytest.mark.parametrize("dims", DIMS)
def test_decode_row(shape, dims):
    """Nothing is written beyond whole vectors, and nothing read beyond the row."""
    rng = np.random.default_rng(dims)
    layout = layout_of(shape, dims, rng)
    rows, levels = coded(layout, 4, rng)
    segment = segment_of(layout)
    size = layout.codes * layout.group
    for row, want in zip(rows, levels, strict=True):
        out = np.full(64 * layout.vectors + 16, POISON, np.uint8)
        with at_the_end_of_a_page(row) as where:
            codebook.decode_row(where, segment.ctypes.data, out[8:].ctypes.data)
        want = want.view(np.uint8) + np.uint8(simd.ROW_BIAS)
        assert out[8 : 8 + size].tobytes() == want.tobytes()
        assert (out[[*range(8), *range(-8, 0)]] == POISON).all()


@contextlib.contextmanager
def at_the_end_of_a_page(row):
    """The address of a copy beyond which nothing may be read, where that can be arranged."""
    page = mmap.PAGESIZE
    size = -(-row.size // page) * page
    memory = mmap.mmap(-1, size + page)
    octets = np.frombuffer(memory, np.uint8)
    octets[size - row.size : size] = row
    guarded = ctypes.c_void_p(octets.ctypes.data + size)
    protect = ctypes.CDLL(None).mprotect if hasattr(mmap, "PROT_READ") else None
    if protect:
        assert protect(guarded, page, 0) == 0
    yield octets.ctypes.data + size - row.size
    if protect:
        assert protect(guarded, page, mmap.PROT_READ | mmap.PROT_WRITE) == 0


@shapes
@pytest.mark.parametrize("dims", DIMS)
def test_dot_row(shape, dims):
    rng = np.random.default_rng(dims)
    layout = layout_of(shape, dims, rng)
    rows, levels = coded(layout, 5, rng)
    segment = segment_of(layout)
    queries = rng.choice([-127, -1, 0, 3, 127], (4, dims)).astype(np.int8)
    asked = layout.spread(queries).astype(np.int8)
    want = decoded.raw(levels[:, :dims], queries)
    want = want + simd.ROW_BIAS * queries.sum(axis=1, dtype=np.int64)
    for i, row in enumerate(rows):
        for j, query in enumerate(asked):
            at = row.ctypes.data, segment.ctypes.data, query.ctypes.data
            assert codebook.dot_row(*at) == want[i, j]


@given(
    group=st.integers(1, 8), window=st.integers(1, 14), stride=st.integers(1, 14),
    dims=st.integers(1, 200), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_shape(group, window, stride, dims, seed):
    rng = np.random.default_rng(seed)
    layout = layout_of((group, window, min(stride, window)), dims, rng)
    rows, levels = coded(layout, 3, rng)
    assert (layout.levels({"codes": rows}) == levels).all()
    again = layout.pack(rng.integers(0, 1 << window, (3, layout.codes)))["codes"]
    assert again.shape == rows.shape
