import copy
import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vqindex.results import SearchResult, shown

INF = np.inf
SCORES = np.array([[3.0, 0.5, -2.0], [-1.0, -INF, -INF]], np.float32)
IDS = np.array([[4, 0, 7], [2, -1, -1]])


@pytest.mark.parametrize(
    ("metric", "distances", "scores"),
    [
        ("l2", [[0, 0, 2], [1, INF, INF]], [[0, 0, -2], [-1, -INF, -INF]]),
        ("ip", [[-3, -0.5, 2], [1, INF, INF]], [[3, 0.5, -2], [-1, -INF, -INF]]),
        ("cosine", [[0, 0.5, 3], [2, INF, INF]], [[1, 0.5, -2], [-1, -INF, -INF]]),
    ],
)
def test_distances_and_scores_of_each_metric(metric, distances, scores):
    result = SearchResult.from_scores(SCORES, IDS, metric)
    np.testing.assert_array_equal(result.distances, distances)
    np.testing.assert_array_equal(result.scores, scores)
    np.testing.assert_array_equal(result.ids, IDS)
    assert result.distances.dtype == result.scores.dtype == np.float32
    assert result.counts.tolist() == [3, 1]
    assert not np.signbit(result.distances[result.distances == 0]).any()


@given(
    hnp.arrays(np.float32, st.integers(1, 9), elements=st.floats(width=32, allow_nan=False)),
    st.sampled_from(["l2", "ip", "cosine"]),
)
def test_distances_never_decrease_with_rank(scores, metric):
    before = scores.copy()
    distances, clipped = shown(np.sort(scores)[::-1], metric)
    assert (distances[1:] >= distances[:-1]).all()
    assert (clipped[1:] <= clipped[:-1]).all()
    np.testing.assert_array_equal(scores, before)


def test_unpacks_as_distances_and_ids():
    result = SearchResult.from_scores(SCORES, IDS, "ip")
    distances, ids = result
    assert distances is result.distances
    assert ids is result.ids
    assert len(result) == 2


def test_a_single_query_has_no_axis_of_queries():
    result = SearchResult.from_scores(SCORES[1:], IDS[1:], "l2", single=True)
    assert result.distances.shape == result.ids.shape == result.scores.shape == (3,)
    assert type(result.counts) is int
    assert result.counts == 1


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_no_queries_and_no_neighbours(shape):
    result = SearchResult.from_scores(np.empty(shape, np.float32), np.empty(shape, int), "l2")
    assert result.distances.shape == shape
    assert result.counts.tolist() == [0] * shape[0]
    assert repr(result).startswith("SearchResult(")


def test_stats_are_its_own():
    first, second = (SearchResult.from_scores(SCORES, IDS, "l2") for _ in range(2))
    first.stats["rows"] = 3
    assert second.stats == {}
    assert SearchResult.from_scores(SCORES, IDS, "l2", stats={"rows": 2}).stats == {"rows": 2}


def test_is_frozen_and_can_be_copied():
    result = SearchResult.from_scores(SCORES, IDS, "l2")
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.ids = IDS
    for twin in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        np.testing.assert_array_equal(twin.distances, result.distances)


def test_repr_is_short():
    scores, ids = -np.arange(80, dtype=np.float32)[None] / 3, np.arange(80)[None] + 10**9
    assert repr(SearchResult.from_scores(scores, ids, "l2")) == "SearchResult(nq=1, k=80)"
    one = repr(SearchResult.from_scores(scores, ids, "l2", single=True))
    assert one.startswith("SearchResult(k=80, ids=[1000000000, 1000000001, ")
    assert one.endswith("4, ...], distances=[0, 0.3333, 0.6667, 1, 1.333, ...])")
    few = repr(SearchResult.from_scores(SCORES[1:], IDS[1:], "ip", single=True))
    assert few == "SearchResult(k=3, ids=[2, -1, -1], distances=[1, inf, inf])"
