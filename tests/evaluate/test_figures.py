"""Each figure against its definition, worked by hand or by the plainest code."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqindex.datasets import Dataset, ground_truth, synthetic
from vqindex.errors import ShapeError
from vqindex.evaluate import distance_recall, distortion, recall


def ids(*rows):
    return np.array(rows, np.int64)


def test_recall_is_set_overlap_with_the_first_k():
    truth = ids([1, 2, 3, 4], [5, 6, 7, 8])
    found = ids([2, 1, 9, 3], [9, 5, 0, 6])
    assert recall(found, truth, 1) == 0
    assert recall(found, truth, 2) == (2 + 1) / 4
    assert recall(found, truth, 4) == (3 + 2) / 8


def test_recall_counts_a_row_once_and_padding_never():
    assert recall(ids([1, 1, 1]), ids([1, 2, 3]), 3) == 1 / 3
    assert recall(ids([4, 7, -1]), ids([7, 4, -1]), 3) == 1


@given(st.data(), st.integers(1, 6), st.integers(1, 8))
def test_recall_of_distinct_ids(data, nq, k):
    def draw():
        rows = [data.draw(st.permutations(range(12)))[:k] for _ in range(nq)]
        return np.array(rows, np.int64)

    found, truth = draw(), draw()
    shared = [np.intersect1d(a, b).size / k for a, b in zip(found, truth, strict=True)]
    assert recall(found, truth, k) == pytest.approx(np.mean(shared), rel=1e-12)
    assert recall(truth, truth, k) == 1


@pytest.mark.parametrize("k", [0, 4])
def test_recall_needs_k_ids(k):
    with pytest.raises(ShapeError, match=f"recall@{k} needs"):
        recall(ids([1, 2, 3, 4]), ids([1, 2, 3]), k)
    with pytest.raises(ShapeError, match="must have shapes"):
        recall(ids([1, 2, 3]), ids([1, 2, 3], [1, 2, 3]), 1)


def turned(delta):
    """A unit vector at a cosine of 1 - delta from (1, 0)."""
    return [1 - delta, math.sqrt(1 - (1 - delta) ** 2)]


@pytest.mark.parametrize(
    ("metric", "query", "base"),
    [
        ("l2", [0, 0], [[3, 0], [3.0009, 0], [3.0011, 0]]),
        ("cosine", [1, 0], [[1, 0], turned(0.0009), turned(0.0011)]),
        ("ip", [1, 0], [[2, 0], [1.9991, 0], [1.9989, 0]]),
    ],
)
def test_distance_recall_allows_a_thousandth(metric, query, base):
    base, query = np.array(base, np.float32), np.array([query], np.float32)
    distances, neighbors = ground_truth(base, query, 1, metric)
    data = Dataset("three rows", metric, base, query, neighbors, distances)
    assert [distance_recall(data, ids([row]), 1) for row in range(3)] == [1, 1, 0]


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
def test_distance_recall_of_ties_and_of_too_few_rows(metric):
    row = np.array([[1.0, 2.0]], np.float32)
    base = np.repeat(row, 4, axis=0)
    distances, neighbors = ground_truth(base, row, 6, metric)
    data = Dataset("copies", metric, base, row, neighbors, distances)
    assert recall(ids([3]), neighbors, 1) == 0
    assert distance_recall(data, ids([3]), 1) == 1
    assert distance_recall(data, ids([3, 2, 1, 0, -1, -1]), 6) == 1
    assert distance_recall(data, ids([3, 2, -1, -1, -1, -1]), 6) == 0.5


def test_distance_recall_is_no_lower_than_recall():
    data = synthetic(300, 8, 20, "l2", k=10)
    rng = np.random.default_rng(0)
    found = np.where(rng.random((20, 10)) < 0.7, data.neighbors, rng.integers(300, size=(20, 10)))
    assert 0.5 < recall(found, data.neighbors, 10) <= distance_recall(data, found, 10) < 1


def test_distortion():
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    assert distortion(x, x) == 0
    assert distortion(x, np.zeros((2, 2))) == 1
    assert distortion(x, x + np.diag([1.0, 2.0])) == pytest.approx(5 / 25)
