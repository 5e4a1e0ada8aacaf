"""Codes of a codebook against the reference: integers equal, gains bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.kernels.cpu import codebook, program, simd
from vqindex.kernels.reference import codebook as reference
from vqindex.kernels.reference import decoded
from vqindex.layouts.codebook import CodebookCodes

U = 2.0**-24
POISON = 0xA5
# Entries of a word, bits of a code, bits from one to the next.
SHAPES = [
    (1, 1, 1), (2, 4, 4), (2, 6, 6), (4, 8, 8), (5, 8, 8), (8, 3, 3), (3, 7, 7), (3, 13, 13),
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


def test_windows_wrap_round_a_stream():
    bits = np.uint8([[1, 0, 1, 1, 0, 0]])
    assert reference.windows(bits, 2, 3, 3).tolist() == [[0b101, 0b011, 0b100]]
    assert reference.stream(np.array([[0b101, 0b011, 0b100]]), 2).tolist() == bits.tolist()


@shapes
@pytest.mark.parametrize("dims", DIMS)
def test_decode_row(shape, dims):
    """Nothing is read beyond the row or written beyond its levels."""
    rng = np.random.default_rng(dims)
    layout = layout_of(shape, dims, rng)
    rows, levels = coded(layout, 4, rng)
    segment = segment_of(layout)
    for row, want in zip(rows, levels, strict=True):
        out = np.full(layout.codes * layout.group + 16, POISON, np.uint8)
        codebook.decode_row(row.copy().ctypes.data, segment.ctypes.data, out[8:].ctypes.data)
        want = want.view(np.uint8) + np.uint8(simd.ROW_BIAS)
        assert out[8:-8].tobytes() == want.tobytes()
        assert (out[[*range(8), *range(-8, 0)]] == POISON).all()


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


@shapes
def test_pack_is_the_stream(shape):
    rng = np.random.default_rng(0)
    layout = layout_of(shape, 37, rng)
    codes = rng.integers(0, 1 << layout.window, (6, layout.codes))
    rows = layout.pack(codes)["codes"]
    bits = reference.stream(codes, layout.stride)
    want = np.packbits(bits, axis=1, bitorder="little")
    assert (rows[:, : want.shape[1]] == want).all()
    assert not rows[:, want.shape[1] :].any()


@pytest.mark.parametrize("dims", [1, 2, 63, 64, 65, 383, 700])
@pytest.mark.parametrize("group", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [2, 17, 125])
def test_nearest(group, dims, count):
    """The same words and gains as the reference, the lowest of equal ones."""
    rng = np.random.default_rng([group, dims])
    words = rng.integers(-3, 4, (count, group)).astype(np.float32) + np.float32(0.5)
    offsets = (words * words).sum(axis=1) * np.float32(-0.5)
    values = rng.standard_normal((7, dims)).astype(np.float32)
    values[:3] = rng.integers(-3, 4, (3, dims))  # on borders between words
    factors = np.float32([1, 0.5, 2, 0, 1.7, 1e-3, 30])
    size = -(-dims // group)
    codes = np.full((7, size), 9999, np.uint16)
    gains = np.full((7, size), np.nan, np.float32)
    codebook.nearest(values, factors, words, offsets, codes, gains)
    z = np.pad(values * factors[:, None], ((0, 0), (0, size * group - dims)))
    want, gained = reference.nearest(z, words, offsets)
    assert (codes == want).all()
    assert (gains == gained).all()
    groups = z.reshape(7, size, group).astype(np.float64)
    off = ((groups[:, :, None] - words) ** 2).sum(axis=-1)
    chosen = np.take_along_axis(off, want[:, :, None], axis=2)[..., 0]
    scale = (np.abs(groups).max(axis=2) + 4) ** 2 * group
    assert (chosen <= off.min(axis=2) + 4 * (group + 1) * U * scale).all()


@pytest.mark.parametrize("dims", [1, 15, 16, 17, 65, 384])
def test_sums_are_within_rounding(dims):
    rng = np.random.default_rng(dims)
    values = rng.standard_normal((9, dims)).astype(np.float32)
    levels = rng.integers(-128, 128, (9, dims + 5), np.int8)
    out = np.full((9, 2), np.nan, np.float32)
    codebook.sums(values, levels, out)
    u = levels[:, :dims] + np.float32(0.5)
    for found, x in zip(out.T, (values, u), strict=True):
        # In the fixed order of float dots, with zeros in the lanes beyond the last entry.
        want = [decoded.dot(a[None], b[None])[0, 0] for a, b in zip(x, u, strict=True)]
        assert found.tobytes() == np.float32(want).tobytes()
