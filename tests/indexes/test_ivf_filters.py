"""Filters on inverted files: k rows come back whenever k pass, and none that do not."""

import numpy as np
import pytest

import vqindex as vq

CODECS = ["F32", "EDEN4", "EDEN1", "PQ12x4", "EDEN2+QJL"]
NLIST, N, D = 8, 1500, 24


def vectors(n, seed=0):
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(99).standard_normal((12, D)) + 0.4
    return (means[rng.integers(0, 12, n)] + 0.3 * rng.standard_normal((n, D))).astype(np.float32)


@pytest.fixture(scope="module", params=CODECS)
def index(request):
    index = vq.index_factory(f"IVF{NLIST},{request.param}", metric="l2")
    index.fit(vectors(600, seed=7))
    index.add(vectors(N), ids=np.random.default_rng(1).permutation(N) * 7)
    return index


def same(got, want):
    assert got.ids.tobytes() == want.ids.tobytes()
    assert got.scores.tobytes() == want.scores.tobytes()


def forms(allowed, ids):
    yield np.isin(ids, allowed)
    yield allowed
    yield allowed.tolist()
    yield set(allowed.tolist())
    yield np.concatenate([allowed, allowed[:5], [-3, 10**12]])
    yield lambda ids: np.isin(ids, allowed)


@pytest.mark.parametrize("nprobe", [1, 3, NLIST])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.3, 0.9, 1.0])
def test_k_rows_that_pass_come_back_whatever_the_lists(index, share, nprobe):
    q = vectors(9, seed=2)
    count = int(share * N)
    allowed = np.random.default_rng(3).permutation(index.ids)[:count]
    for k in (1, 10, count + 1):
        for stages in ("on", "off"):
            way = {"nprobe": nprobe, "stages": stages}
            whole = index.search(q, k, allowed, **way)
            assert (whole.counts == min(k, count)).all()
            assert np.isin(whole.ids[whole.ids >= 0], allowed).all()
            for row in whole.ids:
                assert len(np.unique(row[row >= 0])) == min(k, count)
            for one in forms(allowed, index.ids):
                same(index.search(q, k, one, **way, threads=2), whole)
            for i in (0, 8):
                alone = index.search(q[i], k, allowed, **way)
                assert alone.ids.tobytes() == whole.ids[i].tobytes()
                assert alone.scores.tobytes() == whole.scores[i].tobytes()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_all_lists_filtered_are_all_rows_filtered(index, share):
    q = vectors(9, seed=2)
    full = index.search(q, N, nprobe=NLIST, stages="off")
    allowed = np.random.default_rng(3).permutation(index.ids)[: int(share * N)]
    got = index.search(q, 10, allowed, nprobe=NLIST, stages="off")
    for i in range(9):
        kept = np.flatnonzero(np.isin(full.ids[i], allowed))[:10]
        np.testing.assert_array_equal(got.ids[i], full.ids[i, kept])
        np.testing.assert_array_equal(got.scores[i], full.scores[i, kept])


def test_a_filter_that_every_row_passes_changes_nothing(index):
    q = vectors(40, seed=2)
    for nprobe in (1, 3, NLIST):
        same(index.search(q, 5, index.ids, nprobe=nprobe), index.search(q, 5, nprobe=nprobe))


def test_lists_without_a_row_that_passes_are_no_end(index):
    """All rows that pass are in the lists that queries would look into last."""
    q = vectors(5, seed=2)
    full = index.search(q, N, nprobe=NLIST, stages="off")
    for i in range(5):
        farthest = full.ids[i, -300:]
        for k in (1, 20, 300, 301):
            found = index.search(q[i : i + 1], k, farthest, nprobe=1)
            assert found.counts.tolist() == [min(k, 300)]
            assert np.isin(found.ids[found.ids >= 0], farthest).all()


@pytest.mark.parametrize("nothing", [[], set(), np.empty(0, int), np.zeros(N, bool), [-1, 1]])
def test_nothing_may_pass(index, nothing):
    for q in (vectors(1)[0], vectors(3), vectors(40)):
        for nprobe in (1, NLIST):
            result = index.search(q, 4, nothing, nprobe=nprobe)
            assert (result.ids == -1).all()
            assert (result.distances == np.inf).all()
        assert index.range_search(q, np.inf, nothing)[2].tolist() == []


@pytest.mark.parametrize("nprobe", [1, 3, NLIST])
def test_a_filter_for_each_query(index, nprobe):
    q, ids = vectors(9, seed=2), index.ids
    some = ids[:350]
    each = [None, some, np.isin(ids, some), set(some.tolist()), [], None, lambda x: x % 2 == 0]
    each += [some[:3], np.zeros(N, bool)]
    for filters in (each, tuple(each)):
        got = index.search(q, 10, filters, nprobe=nprobe)
        for i, one in enumerate(each):
            alone = index.search(q[i : i + 1], 10, one, nprobe=nprobe)
            np.testing.assert_array_equal(got.ids[i], alone.ids[0])
            np.testing.assert_array_equal(got.distances[i], alone.distances[0])
    assert got.counts.tolist() == [10, 10, 10, 10, 0, 10, 10, 3, 0]


@pytest.mark.parametrize("spec", CODECS)
def test_filters_after_rows_have_gone(spec):
    index = vq.index_factory(f"IVF{NLIST},{spec}", metric="ip").fit(vectors(600, seed=7))
    index.add(vectors(N))
    index.remove(np.arange(0, N, 3))
    mask = index.ids % 2 == 0
    wanted = {i for i in range(N) if i % 3 and i % 2 == 0}
    found = index.search(vectors(3, seed=1), N, mask, nprobe=1)
    assert all(set(row[row >= 0].tolist()) == wanted for row in found.ids)
    with pytest.raises(vq.ShapeError, match=r"a mask must have shape \(1000,\)"):
        index.search(vectors(3), 1, np.ones(N, bool))
