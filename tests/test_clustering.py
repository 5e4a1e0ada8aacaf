"""k-means: optimal on a Gaussian, fair to weights, the same on any number of threads."""

import numpy as np
import pytest

from vqindex.clustering import CHUNK, codebooks, kmeans, leading_words


def gaussian(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def square_distances(x, words):
    """Square distance of each row to each word, (n, k) float64."""
    return ((x[:, None].astype(np.float64) - words) ** 2).sum(axis=2)


@pytest.mark.parametrize(
    ("d", "k", "optimum"), [(1, 4, 0.1175), (2, 4, 0.3634), (2, 16, 0.1086), (4, 16, 0.3426)]
)
def test_distortion_of_a_gaussian(d, k, optimum):
    """The best of four local optima is within 1 % of what is known, on rows of another sample.

    Those are given the moments of the law, or their own error would be as large.
    """
    x = gaussian(20_000, d, seed=1)
    x = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T).reshape(d, d))).T
    words = [kmeans(gaussian(50_000, d, seed), k, seed).words[0] for seed in range(2, 6)]
    errors = [square_distances(x, w).min(axis=1).mean() / d for w in words]
    assert min(errors) == pytest.approx(optimum, rel=0.01)


def test_report_is_that_of_the_words():
    """Masses and errors are those of the words returned, not of the ones before."""
    x = gaussian(3000, 5)
    weights = np.random.default_rng(1).random(3000).astype(np.float32)
    starts = np.array([0, 2, 5])
    found = codebooks(x, starts, 7, 0, weights=weights, iterations=3)
    assert (found.words[0, :, 2] == 0).all()
    for s in range(2):
        part = x[:, starts[s] : starts[s + 1]]
        distances = square_distances(part, found.words[s, :, : part.shape[1]])
        numbers = distances.argmin(axis=1)
        assert found.masses[s] == pytest.approx(np.bincount(numbers, weights, 7), rel=1e-5)
        assert found.errors[s] == pytest.approx(distances.min(axis=1) @ weights, rel=1e-5)


def test_words_are_means_of_their_rows():
    x, k = gaussian(4000, 3), 9
    weights = np.random.default_rng(1).random(4000).astype(np.float32)
    words = kmeans(x, k, 0, weights=weights, iterations=200).words[0]
    numbers = square_distances(x, words).argmin(axis=1)
    for i in range(k):
        own = numbers == i
        mean = np.average(x[own], axis=0, weights=weights[own])
        assert words[i] == pytest.approx(mean, abs=0.02)


def test_whole_weights_are_repeated_rows():
    """Whose sums are exact for whole numbers: both end in the same words from the same start."""
    x = np.round(gaussian(300, 2) * 8)
    weights = (np.arange(300) % 4).astype(np.float32)
    many = np.repeat(x, weights.astype(int), axis=0)
    found, want = (
        min(kmeans(rows, 4, seed, weights=w).errors[0] for seed in range(10))
        for rows, w in ((x, weights), (many, None))
    )
    assert found == pytest.approx(want, rel=1e-3)


def test_no_word_is_left_without_rows():
    """Two far groups: whatever the start, words that lose their rows are put to use."""
    x = np.concatenate([gaussian(500, 2), gaussian(500, 2, 1) * np.float32(1e-3) + 100])
    for seed in range(10):
        found = kmeans(x, 60, seed)
        assert (found.masses > 0).all()
        assert found.masses.sum() == 1000


@pytest.mark.parametrize("n", [1, 2, 5, 33])
def test_few_different_rows(n):
    x = np.repeat(gaussian(n, 4), 3, axis=0)
    found = kmeans(x, 8, 0)
    distances = square_distances(x, found.words[0])
    assert found.words.shape == (1, 8, 4)
    assert np.isfinite(found.words).all()
    assert found.masses.sum() == len(x)
    if n <= 8:
        assert distances.min() == 0
        assert found.errors[0] <= 1e-5 * len(x)


def test_spherical_words_have_norm_one():
    x = gaussian(2000, 6) + np.float32(0.3)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    found = kmeans(x, 10, 0, spherical=True)
    assert np.linalg.norm(found.words[0], axis=1) == pytest.approx(np.ones(10), abs=1e-6)
    assert found.masses.all()
    numbers = (x @ found.words[0].T).argmax(axis=1)
    assert np.bincount(numbers, minlength=10) == pytest.approx(found.masses[0], abs=2)


def test_threads_and_numbers_of_problems_change_nothing(monkeypatch):
    """More than one chunk of rows, so that sums of several are added."""
    x, starts = gaussian(2 * CHUNK + 100, 6), np.array([0, 2, 4, 6])
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("VQINDEX_NUM_THREADS", threads)
        found.append(codebooks(x, starts, 130, 4, iterations=3))
    again, other = found[0], kmeans(x, 130, 5, iterations=3)
    for name in ("words", "masses", "errors"):
        assert getattr(again, name).tobytes() == getattr(found[1], name).tobytes()
    assert (other.words[0, :, :2] != again.words[0]).any()


def test_leading_words_help_where_there_are_many_dimensions():
    """A little structure in much noise, that rows far from each other say nothing of."""
    x = gaussian(3000, 200)
    x[:, :2] *= 4
    start = leading_words(x, 16, 0)
    assert start.shape == (1, 16, 200)
    assert np.abs(start[0, :, 2:]).max() < np.abs(start[0, :, :2]).max() / 2
    few = {"iterations": 2}
    assert kmeans(x, 16, 0, words=start, **few).errors[0] < kmeans(x, 16, 0, **few).errors[0]
