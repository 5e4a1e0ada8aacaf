"""Pyramid codes on the CPU, equal to numbers of any size in Python and to float64 in NumPy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.kernels.cpu import pyramid, simd
from vqindex.kernels.reference import pyramid as reference
from vqindex.layouts.pyramid import PyramidCodes

BITS = (1, 2, 3, 4)
POISON = 0xA5


def layout_of(dims, bits):
    """Gains of a whole group unlike those of a shorter one."""
    gains = tuple(tuple(np.linspace(20, 300, 8) + 5 * kind) for kind in range(2))
    edges = tuple(tuple(np.linspace(1, 12, 7) + kind) for kind in range(2))
    return PyramidCodes(dims, bits, gains, edges)


def group_of(layout, g=0):
    """The addresses of a plan and of a group in it; its dimensions, pulses and words."""
    plan = layout.plan
    start = pyramid.HEAD + pyramid.GROUP * g
    return plan.ctypes.data, plan[start:].ctypes.data, plan[start : start + 3].tolist()


def all_points(n, k):
    """P(n, k) by trying everything."""
    every = itertools.product(range(-k, k + 1), repeat=n)
    return [y for y in every if sum(map(abs, y)) == k]


def test_counts():
    assert reference.count(8, 4) == 2816
    assert reference.count(9, 9) == 864146
    for n, k in ((1, 3), (2, 5), (3, 4), (4, 3)):
        assert reference.count(n, k) == len(all_points(n, k))
        assert reference.below(n, k) + reference.below(n, k + 1) == reference.count(n, k)


@pytest.mark.parametrize(("n", "k"), [(4, 3), (3, 4), (5, 5), (1, 7), (2, 1)])
def test_points_are_numbered_from_zero(n, k):
    points = all_points(n, k)
    assert sorted(reference.rank(np.array(y)) for y in points) == list(range(len(points)))
    assert all(tuple(reference.unrank(reference.rank(np.array(y)), n, k)) == y for y in points)
    if (n, k) == (4, 3):
        assert len(points) == 88


def test_pulses_fill_the_words():
    found = []
    for bits in BITS:
        _, _, (n, k, words) = group_of(layout_of(64, bits))
        assert reference.count(n, k) <= 2 ** (64 * words) < reference.count(n, k + 1)
        found.append(k)
    assert found == [14, 43, 96, 199]


@settings(deadline=None, max_examples=60)
@given(data=st.data(), bits=st.sampled_from(BITS), dims=st.sampled_from([1, 2, 3, 17, 36, 63, 64]))
def test_rank_and_unrank_equal_the_reference(data, bits, dims):
    """First, last and any numbers; where one word borrows from the next."""
    plan, group, (n, k, words) = group_of(layout_of(dims, bits))
    top = reference.count(n, k) - 1
    edges = [e for w in range(1, words) for e in (2 ** (64 * w) - 1, 2 ** (64 * w)) if e <= top]
    number = data.draw(st.sampled_from([0, top, *edges]) | st.integers(0, top))
    index = np.frombuffer(number.to_bytes(8 * words, "little"), np.uint64).copy()
    y = np.full(n + 1, POISON)
    square = pyramid.unrank(plan, group, index.ctypes.data, y.ctypes.data)
    assert (y[:n] == reference.unrank(number, n, k)).all()
    assert y[n] == POISON
    assert square == (y[:n] ** 2).sum()
    back = np.full(words + 1, POISON, np.uint64)
    pyramid.rank(plan, group, y.ctypes.data, back.ctypes.data)
    assert int.from_bytes(back[:words].tobytes(), "little") == number == reference.rank(y[:n])
    assert back[words] == POISON


def vectors(n, rng):
    """Gaussian, sparse, equal, tiny and zero ones."""
    x = rng.standard_normal((9, n))
    x[1] = 0
    x[2] = np.where(np.arange(n) == n // 2, -3, 0)
    x[3] = 1
    x[4] *= np.float64(2) ** -140
    x[5] = np.exp(-np.arange(n))
    x[6] = np.round(x[6])
    x[7] = np.where(rng.random(n) < 0.5, -0.0, -1)
    return x.astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 3, 16, 36, 64])
@pytest.mark.parametrize("k", [1, 14, 43, 199, 255])
def test_search_equals_the_reference(n, k):
    for x in vectors(n, np.random.default_rng([n, k])):
        y = np.full(n + 1, POISON)
        square = pyramid.search(x.ctypes.data, n, k, y.ctypes.data)
        assert (y[:n] == reference.search(x, k)).all()
        assert y[n] == POISON
        assert square == (y[:n] ** 2).sum()
        assert np.abs(y[:n]).sum() == k


def rows_of(layout, n, seed):
    """Encoded rows, and the levels (n, dims) int8 that the reference makes of them."""
    x = vectors(layout.dims, np.random.default_rng(seed))[:n]
    columns, dots = layout.encode(x)
    t = np.empty(x.shape, np.int8)
    for g, start in enumerate(range(0, layout.dims, 64)):
        part = x[:, start : start + 64]
        _, _, (size, k, _) = group_of(layout, g)
        kind = int(size < 64)
        norms = np.sqrt(np.add.accumulate(part.astype(np.float64) ** 2, axis=1)[:, -1])
        gains = (norms[:, None] > np.float32(layout.edges[kind])).sum(axis=1)
        for i, gain in enumerate(gains):
            value = np.float32(layout.gains[kind])[gain]
            t[i, start : start + 64] = reference.levels(reference.search(part[i], k), value)
    exact = ((t + 0.5) * x.astype(np.float64)).sum(axis=1)
    size = (np.abs(t + 0.5) * np.abs(x.astype(np.float64))).sum(axis=1)
    assert (np.abs(dots - exact) <= (layout.dims + 1) * 2.0**-52 * size).all()
    return columns, t


@pytest.mark.parametrize("dims", [1, 7, 63, 64, 65, 100, 200, 640])
@pytest.mark.parametrize("bits", BITS)
def test_rows_equal_the_reference(bits, dims):
    layout = layout_of(dims, bits)
    columns, t = rows_of(layout, 9, dims)
    assert (layout.unpack(columns) == t + np.float32(0.5)).all()
    scale = np.float32(np.arange(9))
    assert (layout.levels(columns, scale) == (t + np.float32(0.5)) * scale[:, None]).all()
    segment = layout.program({"codes": 0}, -1, 0)
    rng = np.random.default_rng(bits)
    queries = rng.choice([-127, -1, 0, 3, 127], (3, dims)).astype(np.int8)
    spread = layout.spread(queries.astype(np.float32)).astype(np.int8)
    for i, row in enumerate(columns["codes"]):
        out = np.full(layout.operand_bytes + 64, POISON, np.uint8)
        pyramid.decode_row(row.ctypes.data, segment.ctypes.data, out.ctypes.data)
        assert (out[:dims] == t[i].view(np.uint8) + np.uint8(simd.ROW_BIAS)).all()
        assert (out[-64:] == POISON).all()
        for q, wide in zip(queries.astype(np.int64), spread, strict=True):
            want = t[i].astype(np.int64) @ q + simd.ROW_BIAS * q.sum()
            at = row.ctypes.data, segment.ctypes.data, wide.ctypes.data
            assert pyramid.dot_row(*at) == want


@pytest.mark.parametrize("bits", BITS)
def test_any_bytes_decode(bits):
    """A file's codes are not checked: numbers beyond the last give some levels, never a crash."""
    layout = layout_of(100, bits)
    codes = np.random.default_rng(0).integers(0, 256, (50, layout.columns[0].width), np.uint8)
    codes[0] = 255
    levels = layout.unpack({"codes": codes})
    assert (np.abs(levels) <= 127.5).all()
