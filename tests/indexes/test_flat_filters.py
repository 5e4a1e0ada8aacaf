"""Filters of every form, on every way through, against the same index without the other rows."""

import numpy as np
import pytest

import vqindex as vq

METRICS = ("l2", "ip", "cosine")
CODECS = ["F32", "SQ8", "EDEN1", "EDEN4", "TQprod3", "QJL"]
N, D = 1500, 12


def vectors(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


@pytest.fixture(scope="module", params=CODECS)
def index(request):
    index = vq.index_factory(request.param, metric="l2")
    index.add(vectors(N), ids=np.random.default_rng(1).permutation(N) * 7)
    return index


def restricted(full, allowed, k):
    """The first k ids and distances that are allowed, of results with every row."""
    ids = np.full((len(full.ids), k), -1)
    distances = np.full((len(full.ids), k), np.inf, np.float32)
    for i, row in enumerate(full.ids):
        kept = np.flatnonzero(np.isin(row, allowed))[:k]
        ids[i, : len(kept)], distances[i, : len(kept)] = row[kept], full.distances[i, kept]
    return distances, ids


def same(got, want):
    np.testing.assert_array_equal(got.ids, want[1])
    np.testing.assert_array_equal(got.distances, want[0])


def forms(allowed, ids):
    yield np.isin(ids, allowed)
    yield allowed
    yield allowed.tolist()
    yield set(allowed.tolist())
    yield np.concatenate([allowed, allowed[:5], [-3, 10**12]])
    yield lambda ids: np.isin(ids, allowed)


@pytest.mark.parametrize("nq", [1, 3, 9])
@pytest.mark.parametrize("share", [0.001, 0.05, 0.3, 1.0])
def test_a_filter_is_applied_before_the_best_are_chosen(index, share, nq):
    q = vectors(nq, seed=2)
    full = index.search(q, k=N, stages="off")
    count = int(share * N)
    allowed = np.random.default_rng(3).permutation(index.ids)[:count]
    for k in (1, 10, count + 1):
        want = restricted(full, allowed, k)
        assert (want[1] >= 0).sum() == nq * min(k, count)
        for threads in (1, 2):
            for one in forms(allowed, index.ids):
                same(index.search(q, k, one, stages="off", threads=threads), want)
        same(index.search(q[0], k, allowed, stages="off"), [part[0] for part in want])


@pytest.mark.parametrize("nq", [1, 9])
def test_the_first_stage_takes_filters(nq):
    """Exact up to bounds that fail; on these rows none does."""
    index = vq.index_factory("EDEN4", metric="ip")
    index.add(np.random.default_rng(0).standard_normal((N, 128)))
    q = np.random.default_rng(1).standard_normal((nq, 128))
    for share in (0.1, 0.5):
        allowed = np.random.default_rng(2).permutation(N)[: int(share * N)]
        got, want = index.search(q, 10, allowed), index.search(q, 10, allowed, stages="off")
        same(got, (want.distances, want.ids))
        if nq == 1:
            assert got.stats["scored"] < want.stats["scored"] == len(allowed)


@pytest.mark.parametrize("nothing", [[], set(), np.empty(0, int), np.zeros(N, bool), [-1, 1]])
def test_nothing_may_pass(index, nothing):
    for q in (vectors(1)[0], vectors(3), vectors(9)):
        result = index.search(q, k=4, filter=nothing)
        assert (result.ids == -1).all()
        assert (result.distances == np.inf).all()
        assert index.range_search(q, np.inf, nothing)[2].tolist() == []


def test_a_filter_for_each_query(index):
    q = vectors(9, seed=2)
    ids = index.ids
    some = ids[:350]
    each = [None, some, np.isin(ids, some), set(some.tolist()), [], None, lambda x: x % 2 == 0]
    each += [some[:3], np.zeros(N, bool)]
    full = index.search(q, k=N, stages="off")
    for filters in (each, tuple(each)):
        got = index.search(q, 10, filters, stages="off")
        for i, one in enumerate(each):
            alone = index.search(q[i : i + 1], 10, one, stages="off")
            np.testing.assert_array_equal(got.ids[i], alone.ids[0])
            np.testing.assert_array_equal(got.distances[i], alone.distances[0])
    np.testing.assert_array_equal(got.ids[0], full.ids[0, :10])
    assert got.counts.tolist() == [10, 10, 10, 10, 0, 10, 10, 3, 0]


@pytest.mark.parametrize("metric", METRICS)
def test_a_filtered_search_is_a_search_among_fewer_rows(metric):
    x, q = vectors(500), vectors(9, seed=1)
    some = np.flatnonzero(np.random.default_rng(2).random(500) < 0.2)
    whole, part = (vq.index_factory("F32", metric=metric) for _ in range(2))
    whole.add(x)
    part.add(x[some], ids=some)
    for queries in (q, q[:1]):
        got, want = whole.search(queries, 120, some), part.search(queries, 120)
        same(got, (want.distances, want.ids))
        for radius in (-0.5, 0.7, 5.0):
            ranges = zip(
                whole.range_search(queries, radius, some),
                part.range_search(queries, radius),
                strict=True,
            )
            for a, b in ranges:
                np.testing.assert_array_equal(a, b)


def test_a_mask_follows_the_order_of_ids_after_removals():
    index = vq.index_factory("F32", metric="l2")
    index.add(vectors(100))
    index.remove(np.arange(0, 100, 3))
    mask = index.ids % 2 == 0
    found = index.search(vectors(3, seed=1), 100, mask)
    assert set(found.ids.ravel().tolist()) == {-1, *(i for i in range(100) if i % 3 and i % 2 == 0)}


def test_filters_while_rows_wait_for_fitting():
    index = vq.index_factory("EDEN4", metric="l2")
    index.add(vectors(100))
    assert index.search(vectors(1)[0], 3, [5, 7]).ids.tolist()[2] == -1
    assert set(index.search(vectors(1)[0], 2, lambda ids: ids > 97).ids.tolist()) == {98, 99}


@pytest.mark.parametrize("search", ["search", "range_search"])
@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        (np.ones(99, bool), vq.ShapeError, r"filter: a mask must have shape \(100,\) .*got \(99,"),
        (np.ones((100, 1), bool), vq.ShapeError, r"a mask must have shape \(100,\)"),
        (lambda ids: np.ones(3, bool), vq.ShapeError, r"filter: a mask must have .* got \(3,\)"),
        (lambda ids: ids, vq.DtypeError, r"filter\(ids\) must be a boolean mask, got int64"),
        ([None, None], vq.ShapeError, "must have one for each of 3 queries, got 2"),
        ([None, [1], np.ones(7, bool)], vq.ShapeError, r"filter\[2\]: a mask must have shape"),
        ([1.5, 2.5], vq.DtypeError, "filter must be integers"),
        (7, vq.ShapeError, "filter must be a mask, ids or a callable, got 7"),
        ("abc", vq.ShapeError, "filter must be a mask, ids or a callable, got 'abc'"),
    ],
)
def test_filters_that_make_no_sense_are_refused(search, wanted, error, message):
    index = vq.index_factory("F32")
    index.add(vectors(100))
    with pytest.raises(error, match=message):
        getattr(index, search)(vectors(3), 1, filter=wanted)
