"""Nearest words and their sums, against the reference: the same numbers, the same bits."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.kernels.cpu import clusters
from vqindex.kernels.reference import clusters as reference
from vqindex.kernels.reference import table


def whole_numbers(rng, shape):
    """Few values, so that there are ties."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def reals(rng, shape):
    return (rng.standard_normal(shape) * np.exp2(rng.integers(-9, 9, shape))).astype(np.float32)


@st.composite
def problems(draw):
    """Rows, where sub-spaces start, words padded as kernels want them, and how many are real."""
    widths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    n, k = draw(st.sampled_from([0, 1, 31, 32, 33, 70])), draw(st.integers(1, 20))
    make = draw(st.sampled_from([whole_numbers, reals]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    starts = np.cumsum([0, *widths])
    words = np.zeros((len(widths), k + -k % clusters.WORDS, max(widths)), np.float32)
    for part, width in zip(words, widths, strict=True):
        part[:k, :width] = make(rng, (k, width))
    halves = np.full(words.shape[:2], np.inf, np.float32)
    halves[:, :k] = (words[:, :k] ** 2).sum(axis=2) / 2
    return make(rng, (n, starts[-1])), starts, words, halves, k


@settings(deadline=None, max_examples=60)
@given(problems())
def test_encode_equals_the_reference(problem):
    rows, starts, words, halves, k = problem
    found = np.full((len(rows), len(words)), -7, np.int32)
    clusters.encode(rows, starts, words, halves, found)
    for s, (start, stop) in enumerate(pairwise(starts)):
        part = words[s, :k, : stop - start]
        want = reference.nearest(rows[:, start:stop], part, halves[s, :k])
        assert (found[:, s] == want).all()


@settings(deadline=None, max_examples=60)
@given(problems(), st.integers(0, 2))
def test_step_equals_the_reference(problem, first):
    """Of whole numbers, so that sums are exact whatever their order."""
    rows, starts, words, halves, k = problem
    n, d = len(rows) + -len(rows) % clusters.ROWS, starts[1]
    start = min(first * clusters.ROWS, n)
    columns = np.zeros((d, n), np.float32)
    columns[:, : len(rows)] = np.round(rows[:, :d].T)
    weights = np.zeros(n, np.float32)
    weights[: len(rows)] = np.arange(len(rows)) % 3
    numbers, shortfalls = np.full(n, -7, np.int32), np.full(n, np.nan, np.float32)
    sums, masses = np.full((d, words.shape[1]), np.nan), np.full(words.shape[1], np.nan)
    own = np.ascontiguousarray(words[0, :, :d])
    clusters.step(columns, start, n, own, halves[0], weights, numbers, shortfalls, sums, masses)
    want = reference.shortfalls(columns.T[start:], own[:k], halves[0, :k])
    assert (numbers[start:] == want.argmin(axis=1)).all()
    assert (shortfalls[start:] == want.min(axis=1)).all()
    assert (numbers[:start] == -7).all()
    chosen = (numbers[start:, None] == np.arange(words.shape[1])) * weights[start:, None]
    assert (masses == chosen.sum(axis=0)).all()
    assert np.allclose(sums, columns[:, start:].astype(np.float64) @ chosen, rtol=1e-12, atol=0)


def test_first_words_are_rows_far_from_each_other():
    """Of five tight groups each gives one word; rows without weight give none."""
    rng = np.random.default_rng(0)
    centers = np.float32([[0, 0], [9, 0], [0, 9], [9, 9], [90, 90]])
    rows = np.repeat(centers, 20, axis=0) + rng.uniform(-0.01, 0.01, (100, 2)).astype(np.float32)
    rows = rows[rng.permutation(100)]
    weights = (rows.max(axis=1) < 50).astype(np.float32)
    for seed in range(20):
        words, distances = np.full((4, 2), np.nan, np.float32), np.empty(100, np.float32)
        draws = np.random.default_rng(seed).random(4)
        columns = np.ascontiguousarray(rows.T)
        clusters.draw(columns, 100, weights, True, draws, words, distances)
        assert {tuple(np.round(word)) for word in words} == {tuple(c) for c in centers[:4]}
        assert (rows[:, None] == words).all(axis=2).any(axis=0).all()
        gaps = ((rows[:, None] - words) ** 2).sum(axis=2, dtype=np.float32).min(axis=1)
        assert distances == pytest.approx(gaps, rel=1e-6)


def test_first_words_are_different_rows_by_weight():
    """Of two values, one nine times as often as the other, both are drawn, the former first."""
    rows = np.repeat(np.float32([[3], [100]]), [90, 10], axis=0).T.copy()
    weights, draws = np.ones(100, np.float32), np.random.default_rng(0).random((2000, 2))
    first = []
    for own in draws:
        words, distances = np.full((2, 1), np.nan, np.float32), np.empty(100, np.float32)
        clusters.draw(rows, 100, weights, False, own, words, distances)
        assert sorted(words[:, 0]) == [3, 100]
        first.append(words[0, 0] == 3)
    assert abs(np.mean(first) - 0.9) < 3 * (0.9 * 0.1 / 2000) ** 0.5
    weights[:90] /= 9
    first = [own[0] < 0.5 for own in draws]
    for own, low in zip(draws, first, strict=True):
        clusters.draw(rows, 100, weights, False, own, words, distances)
        assert words[0, 0] == (3 if low else 100)


@pytest.mark.parametrize("far", [False, True])
def test_fewer_different_rows_than_words(far):
    columns, words = np.ones((2, 3), np.float32), np.full((5, 2), np.nan, np.float32)
    draws, distances = np.linspace(0, 0.99, 5), np.empty(3, np.float32)
    clusters.draw(columns, 3, np.ones(3, np.float32), far, draws, words, distances)
    assert (words == 1).all()
    assert (distances == 0).all()


@settings(deadline=None, max_examples=40)
@given(problems())
def test_products_equal_the_reference(problem):
    rows, starts, words, _, k = problem
    words = words[:, :k]
    out = np.full((len(rows), *words.shape[:2]), np.nan, np.float32)
    clusters.products(rows, starts, np.ascontiguousarray(words.swapaxes(1, 2)), out)
    assert out.tobytes() == table.products(rows, starts, words).tobytes()
