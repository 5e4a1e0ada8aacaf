"""Range search: all rows within a radius, in CSR form."""

import numpy as np
import pytest

import vqindex as vq

METRICS = ("l2", "ip", "cosine")
CODECS = ["F32", "F16", "SQ8", "EDEN1", "EDEN4", "TQprod3", "QJL"]
N, D = 4200, 10


def vectors(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


@pytest.fixture(scope="module", params=[(c, m) for c in CODECS for m in METRICS], ids="-".join)
def index(request):
    index = vq.index_factory(request.param[0], metric=request.param[1])
    index.add(vectors(N), ids=np.random.default_rng(1).permutation(N))
    return index


@pytest.mark.parametrize("nq", [1, 5, 70])
def test_finds_what_a_search_for_all_rows_finds_within_the_radius(index, nq):
    q = vectors(nq, seed=2)
    full = index.search(q, k=N, stages="off")
    for rank in (0, 10, 1500):
        radius = float(full.distances[0, rank])  # the edge belongs to it
        limits, distances, ids = index.range_search(q, radius)
        assert limits.dtype == ids.dtype == np.int64
        assert distances.dtype == np.float32
        assert limits[0] == 0
        assert len(limits) == nq + 1
        assert limits[-1] == len(ids) == len(distances)
        for i in range(nq):
            here = slice(limits[i], limits[i + 1])
            near = full.distances[i] <= np.float32(radius)
            order = np.lexsort((full.ids[i, near], full.distances[i, near]))
            np.testing.assert_array_equal(distances[here], full.distances[i, near][order])
            np.testing.assert_array_equal(ids[here], full.ids[i, near][order])
        assert limits[1] > rank


def test_radii_at_the_ends(index):
    q = vectors(3)
    for nothing in (-np.inf, -1e300, -1e9):
        limits, distances, ids = index.range_search(q, nothing)
        assert limits.tolist() == [0, 0, 0, 0]
        assert len(ids) == len(distances) == 0
    for everything in (np.inf, 1e300, np.float64(1e300), 10**9, np.float32(1e9)):
        limits, _, ids = index.range_search(q, everything)
        assert limits.tolist() == [0, N, 2 * N, 3 * N]
        assert np.unique(ids).size == N


@pytest.mark.parametrize("metric", METRICS)
def test_the_edge_belongs_to_the_range(metric):
    index = vq.index_factory("F32", metric=metric)
    index.add(np.eye(4)[[0, 0, 1]] * 2)
    q = [1, 0, 0, 0]
    edge, next_one = {"l2": (1, 5), "ip": (-2, 0), "cosine": (0, 1)}[metric]
    for radius, count in (
        (np.nextafter(np.float32(edge), np.float32(-np.inf)), 0),
        (edge, 2),
        (np.nextafter(np.float32(next_one), np.float32(-np.inf)), 2),
        (next_one, 3),
    ):
        limits, distances, ids = index.range_search(q, radius)
        assert limits.tolist() == [0, count]
        assert ids.tolist() == [0, 1, 2][:count]
        assert distances.tolist() == [edge, edge, next_one][:count]


def test_ties_go_to_the_lower_id():
    index = vq.index_factory("EDEN4", metric="ip")
    ids = np.random.default_rng(0).permutation(2000)
    index.add(np.tile(vectors(1), (2000, 1)), ids=ids)
    found = index.range_search(vectors(2, seed=1), np.inf)[2]
    assert found.tolist() == [*range(2000), *range(2000)]


def test_filters():
    index = vq.index_factory("F32", metric="l2")
    x = vectors(200)
    index.add(x)
    q = vectors(70, seed=1)
    limits, _, ids = index.range_search(q, np.inf, filter=np.arange(0, 200, 2))
    assert (np.diff(limits) == 100).all()
    assert (ids % 2 == 0).all()
    each = [None, [3], lambda ids: ids < 10] + [[]] * 67
    limits, _, ids = index.range_search(q, np.inf, filter=each)
    assert np.diff(limits).tolist() == [200, 1, 10] + [0] * 67
    assert ids[200] == 3


def test_rows_that_wait_for_fitting_are_searched_exactly():
    index, exact = (vq.index_factory(s, metric="l2") for s in ("EDEN2", "F32"))
    for each in (index, exact):
        each.add(vectors(300))
    for a, b in zip(
        index.range_search(vectors(3), 9.0), exact.range_search(vectors(3), 9.0), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("radius", "error", "message"),
    [
        (np.nan, ValueError, "radius must not be NaN"),
        (np.float32("nan"), ValueError, "radius must not be NaN"),
        ("1", TypeError, "radius must be a number, got '1'"),
        (None, TypeError, "radius must be a number, got None"),
        (True, TypeError, "radius must be a number, got True"),
        (1j, TypeError, "radius must be a number"),
        ([1.0], TypeError, "radius must be a number"),
    ],
)
def test_a_radius_is_a_number(radius, error, message):
    index = vq.index_factory("F32")
    for _ in range(2):
        with pytest.raises(error, match=message):
            index.range_search(vectors(1), radius)
        index.add(vectors(3))
