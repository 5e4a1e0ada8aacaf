"""Search against brute force: exact where codes are exact, as good as its bits where not.

Rows of small integers, and under cosine of 1, 4, 16 or 64 entries of +-1, make every sum and
every norm exact in float32, so that distances must be equal and ties are real ties.
"""

import numpy as np
import pytest

import vqindex as vq
from vqindex.datasets import load

METRICS = ("l2", "ip", "cosine")
CODECS = [
    "F32", "F16", "SQ8", "EDEN1", "EDEN4", "EDEN8", "TQ2", "TQprod3", "QJL", "Haar,EDEN2+QJL9",
]  # fmt: skip


def exact_rows(rng, n, d, metric):
    if metric != "cosine":
        return rng.integers(-3, 4, (n, d)).astype(np.float32)
    x = np.zeros((n, d), np.float32)
    for row in x:
        filled = rng.choice([m for m in (0, 1, 4, 16, 64) if m <= d])
        row[rng.permutation(d)[:filled]] = rng.choice([-1, 1], filled) * 2.0 ** rng.integers(-3, 4)
    return x


def distances(x, q, metric):
    """(nq, n) float64."""
    x, q = np.asarray(x, np.float64), np.asarray(q, np.float64)
    if metric == "l2":
        return ((q[:, None] - x) ** 2).sum(axis=2)
    if metric == "ip":
        return -(q @ x.T)
    norms = np.sqrt((q**2).sum(axis=1))[:, None] * np.sqrt((x**2).sum(axis=1))
    return 1 - np.divide(q @ x.T, norms, out=np.zeros((len(q), len(x))), where=norms > 0)


def nearest(all_distances, ids, k):
    """The first k of every query, ties by lower id, padded."""
    nq, n = all_distances.shape
    best = np.full((nq, k), np.inf), np.full((nq, k), -1)
    order = np.lexsort((np.broadcast_to(ids, (nq, n)), all_distances))[:, :k]
    best[0][:, : order.shape[1]] = np.take_along_axis(all_distances, order, 1)
    best[1][:, : order.shape[1]] = ids[order]
    return best


def check_exact(index, x, ids, rng, metric, ks, settings):
    for nq in (1, 3, 8, 70):
        q = exact_rows(rng, nq, x.shape[1], metric)
        truth = distances(x, q, metric)
        for k in ks:
            result = index.search(q, k=k, **settings)
            want_distances, want_ids = nearest(truth, ids, k)
            np.testing.assert_array_equal(result.ids, want_ids)
            np.testing.assert_array_equal(result.distances, want_distances)
            origin = 1 if metric == "cosine" else 0
            np.testing.assert_array_equal(result.scores, origin - want_distances)
            assert (result.counts == min(k, len(x))).all()


def shuffled_ids(rng, n):
    return rng.permutation(3 * n + 1)[:n] * 2**20


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 1023, 1024, 1025, 4095, 4096, 4097])
def test_any_number_of_rows(metric, n):
    rng = np.random.default_rng(n)
    x, ids = exact_rows(rng, n, 5, metric), shuffled_ids(rng, n)
    index = vq.index_factory("F32", metric=metric)
    np.testing.assert_array_equal(index.add(x, ids=ids), ids)
    assert len(index) == n
    check_exact(index, x, ids, rng, metric, ks=(1, 10, n + 5), settings={})


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 2, 3, 16, 63, 64, 65, 130])
def test_any_dimension(metric, d):
    rng = np.random.default_rng(d)
    x, ids = exact_rows(rng, 70, d, metric), shuffled_ids(rng, 70)
    for spec in ("F32", "F16"):
        index = vq.index_factory(spec, metric=metric)
        index.add(x, ids=ids)
        assert index.dim == d
        check_exact(index, x, ids, rng, metric, ks=(1, 33, 70), settings={"threads": 2})


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", CODECS)
@pytest.mark.parametrize("d", [1, 2, 63, 65])
def test_every_codec_takes_any_dimension_and_ranks_by_its_own_scores(metric, spec, d):
    rng = np.random.default_rng(d)
    x = rng.standard_normal((1100, d)).astype(np.float32)
    q = rng.standard_normal((9, d)).astype(np.float32)
    index = vq.index_factory(spec, metric=metric)
    index.add(x)
    assert index.is_fitted
    everything = index.search(q, k=1100)
    assert np.isfinite(everything.distances).all()
    assert (np.diff(everything.distances, axis=1) >= 0).all()
    assert (np.sort(everything.ids, axis=1) == np.arange(1100)).all()
    some = index.search(q, k=7)
    np.testing.assert_array_equal(some.ids, everything.ids[:, :7])
    np.testing.assert_array_equal(some.distances, everything.distances[:, :7])


@pytest.mark.parametrize("metric", METRICS)
def test_real_numbers_are_off_by_rounding_only(metric):
    """A sum of d products in any order errs by (d + 1) 2^-24 of the magnitudes it adds."""
    rng = np.random.default_rng(0)
    d = 100
    x, q = (rng.standard_normal((n, d)).astype(np.float32) for n in (500, 20))
    index = vq.index_factory("F32", metric=metric)
    index.add(x)
    result = index.search(q, k=500)
    truth = distances(x, q, metric)
    norms = np.linalg.norm(q, axis=1)[:, None], np.linalg.norm(x, axis=1)
    sizes = {"l2": (norms[0] + norms[1]) ** 2, "ip": norms[0] * norms[1], "cosine": 2.0}[metric]
    bound = np.broadcast_to((d + 8) * 2.0**-24 * sizes, truth.shape)
    error = np.abs(result.distances - np.take_along_axis(truth, result.ids, 1))
    assert (error <= np.take_along_axis(bound, result.ids, 1)).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", CODECS)
def test_ties_go_to_the_lower_id_on_every_way_through(metric, spec):
    rng = np.random.default_rng(1)
    n, k = 5000, 20
    sides = rng.standard_normal((2, 24)).astype(np.float32)
    side, ids = rng.integers(0, 2, n), rng.permutation(n)
    index = vq.index_factory(spec, metric=metric)
    index.add(sides[side], ids=ids)
    q = rng.standard_normal((150, 24)).astype(np.float32)
    few = rng.permutation(n)[:200]
    ways = [{"threads": 1}, {"threads": 2}, {"stages": "off"}, {"filter": few}]
    for way in ways:
        there = np.isin(ids, way.get("filter", ids))
        groups = [ids[there & (side == i)] for i in (0, 1)] + [ids[there]]  # the last if all tie
        lowest = [np.sort(group)[:k] for group in groups]
        for nq in (1, 3, 20, 150):
            found = index.search(q[:nq], k, **way).ids
            assert np.any([(found == wanted).all(axis=1) for wanted in lowest], axis=0).all()


@pytest.mark.parametrize("spec", CODECS)
def test_a_query_of_zeros_is_as_near_to_all_rows_under_ip_and_cosine(spec):
    x = np.random.default_rng(2).standard_normal((1200, 12)).astype(np.float32)
    ids = np.random.default_rng(3).permutation(1200)
    for metric, far in (("ip", 0), ("cosine", 1)):
        index = vq.index_factory(spec, metric=metric)
        index.add(x, ids=ids)
        for q in (np.zeros((1, 12)), np.zeros((9, 12))):
            result = index.search(q, k=40)
            assert (result.distances == far).all()
            assert (result.ids == np.arange(40)).all()


@pytest.mark.parametrize("spec", ["F32", "F16", "SQ8", "TQ4", "TQprod3", "QJL"])
def test_rows_of_zeros_have_similarity_zero(spec):
    x = np.random.default_rng(4).standard_normal((50, 9)).astype(np.float32)
    x[[3, 17]] = 0
    index = vq.index_factory(spec, metric="cosine")
    index.add(x)
    result = index.search(x[0], k=50)
    np.testing.assert_array_equal(result.scores[np.isin(result.ids, [3, 17])], [0, 0])
    assert (index.reconstruct([3, 17]) == 0).all()


@pytest.mark.parametrize("spec", CODECS)
def test_an_empty_index_answers(spec):
    index = vq.index_factory(spec)
    for _ in range(2):
        result = index.search(np.ones((3, 4)), k=5)
        assert (result.ids == -1).all()
        assert (result.distances == np.inf).all()
        assert result.ids.shape == (3, 5)
        assert index.search(np.ones(4)).ids.shape == (10,)
        assert [len(part) for part in index.range_search(np.ones((3, 4)), 1)] == [4, 0, 0]
        assert index.reconstruct([]).shape[0] == 0
        assert index.remove([1, 2]) == 0
        assert len(index) == 0
        assert 0 not in index
        assert index.ids.tolist() == []
        assert index.add(np.empty((0, 4))).tolist() == []  # and once more, now of dimension 4


def test_no_queries():
    index = vq.index_factory("F32")
    index.add(np.eye(3))
    result = index.search(np.empty((0, 3)), k=4)
    assert result.ids.shape == result.distances.shape == (0, 4)
    assert [len(part) for part in index.range_search(np.empty((0, 3)), 1)] == [1, 0, 0]


def test_one_query_gives_one_row_of_results():
    index = vq.index_factory("F32", metric="l2")
    index.add(np.eye(3))
    single, batch = index.search([1, 0, 0], k=2), index.search([[1, 0, 0]], k=2)
    assert single.ids.tolist() == [0, 1]
    assert single.distances.tolist() == [0, 2]
    assert batch.ids.tolist() == [[0, 1]]
    limits, found, ids = index.range_search([1, 0, 0], 0)
    assert (limits.tolist(), found.tolist(), ids.tolist()) == ([0, 1], [0], [0])


def test_what_an_index_says_of_itself():
    index = vq.index_factory("EDEN4", metric="l2", seed=7)
    assert (index.dim, index.metric, index.spec, index.seed) == (None, "l2", "EDEN4", 7)
    assert not index.is_fitted
    assert index.nbytes == {"codes": 0, "model": 0, "id_map": 0, "total": 0}
    index.add(np.random.default_rng(0).standard_normal((1024, 40)))
    assert (index.dim, index.is_fitted, len(index)) == (40, True, 1024)
    # a word for each of 4 planes, a float32 scale, a float16 ratio, a float32 bias, an int64 id
    assert index.bytes_per_row == 4 * 8 + 4 + 2 + 4 + 8
    assert index.nbytes["codes"] == 1024 * index.bytes_per_row
    assert index.nbytes["total"] == sum(index.nbytes[p] for p in ("codes", "model", "id_map"))
    assert repr(index) == "FlatIndex('EDEN4', metric='l2', n=1024, dim=40)"


def test_stats_count_the_rows_that_were_scored():
    x = np.random.default_rng(5).standard_normal((2000, 64)).astype(np.float32)
    index = vq.index_factory("TQ4", metric="ip")
    index.add(x)
    for threads in (1, 2):
        for nq in (5, 9, 200):
            off = index.search(x[:nq], threads=threads, stages="off")
            assert off.stats == {"rows": 2000, "scored": nq * 2000}
        staged = index.search(x[:5], threads=threads).stats["scored"]
        assert 5 * 10 <= staged < 5 * 2000
        assert index.search(x[0], filter=np.arange(31), threads=threads).stats["scored"] == 31


@pytest.fixture(scope="module")
def sample():
    data = load("sample")
    x, q = (np.asarray(a, np.float32) for a in (data.base, data.queries))
    return x, q, data.neighbors[:, :10]


def hits(found, truth):
    return np.array([len(set(a) & set(b)) for a, b in zip(found, truth, strict=True)]) / 10


@pytest.mark.parametrize(("spec", "least"), [("F32", 1.0), ("F16", 0.999)])
def test_originals_find_the_true_neighbours_of_real_data(sample, spec, least):
    x, q, truth = sample
    index = vq.index_factory(spec)
    index.add(x)
    assert hits(index.search(q).ids, truth).mean() >= least


@pytest.mark.parametrize(
    ("spec", "distortion"),
    [("EDEN1", 0.36338), ("EDEN2", 0.11748), ("EDEN4", 0.0095053), ("EDEN8", 0.00008769)],
)
def test_recall_on_real_data_is_what_the_distortion_predicts(sample, spec, distortion):
    """An unbiased code of distortion D errs by |q| |x - c| sqrt(D / (1 - D) / d), int8 queries by
    1 / sqrt(12) of a step a coordinate; neighbours under such noise are found as often."""
    x, q, truth = sample
    d = x.shape[1]
    index = vq.index_factory(spec)
    index.add(x)
    found = hits(index.search(q).ids, truth)
    residual = np.linalg.norm(x - x[:1024].mean(axis=0), axis=1)
    step = 3.1 / np.sqrt(d) / 127  # 3.1 is the mean of the largest of 384 |N(0, 1)|
    spread = residual * np.sqrt(distortion / (1 - distortion) / d + step**2 / 12)
    noise = np.random.default_rng(0).standard_normal((len(q), len(x)))
    expected = hits(np.argsort(-(q @ x.T + spread * noise), axis=1)[:, :10], truth)
    error = np.sqrt((found.var() + expected.var()) / len(q))
    assert abs(found.mean() - expected.mean()) <= 4 * error
