"""Inverted files: what a search of some lists finds, against a search of every row."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.indexes.stored import scores_of_blocks
from vqindex.kernels.cpu import signs
from vqindex.kernels.reference import routing
from vqindex.kernels.reference.select import top_k
from vqindex.results import shown

METRICS = ("l2", "ip", "cosine")
WHOLE = ["F32", "F16", "SQ8"]  # rows as they are, not from the origins of their lists
FINER = ["EDEN4", "EDEN1", "SAQ2", "PQ12x4", "LVQ4", "EDEN2+QJL", "TQprod3", "VQ2"]
RESIDUAL = [*FINER, "RQ4x4"]  # whose first codebook is as good as lists
FEW = ["F32", "EDEN4", "EDEN1", "PQ12x4", "EDEN2+QJL"]
NLIST, N, D = 8, 900, 24


def vectors(n, seed=0):
    """Rows of twelve clusters, away from the origin."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(99).standard_normal((12, D)) + 0.4
    return (means[rng.integers(0, 12, n)] + 0.3 * rng.standard_normal((n, D))).astype(np.float32)


def filled(spec, metric="l2", n=N, nlist=NLIST):
    index = vq.index_factory(f"IVF{nlist},{spec}", metric=metric).fit(vectors(600, seed=7))
    index.add(vectors(n), ids=np.random.default_rng(1).permutation(2 * n)[:n])
    return index


@pytest.fixture(scope="module")
def made():
    """Indexes that tests only look at."""
    cache = {}

    def get(spec, metric="l2"):
        if (spec, metric) not in cache:
            cache[spec, metric] = filled(spec, metric)
        return cache[spec, metric]

    return get


def same(got, whole, part=slice(None)):
    """Bit for bit what a larger batch found for these queries."""
    assert got.ids.tobytes() == whole.ids[part].tobytes()
    assert got.scores.tobytes() == whole.scores[part].tobytes()
    assert got.distances.tobytes() == whole.distances[part].tobytes()


def scores_of_all(index, q):
    """Scores (nq, n) of all rows as kernels have them, before alpha is added; alpha; the lists."""
    rows = index._rows
    codec, codes, centroids = rows.codec, rows.codes, rows.model.centroids
    operands, owners = codec.operands(q), rows.owners(rows.slots)
    scores = scores_of_blocks(codes, codec, operands, 0, codes.nblocks)[rows.slots].T
    shares = centroids.shares(codec.asked(q))
    if codec.residual:
        scores = scores + shares[:, owners]
    return scores, operands.alpha, owners, shares


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", WHOLE)
def test_all_lists_of_whole_rows_are_a_flat_index(made, spec, metric):
    index, flat, q = made(spec, metric), vq.index_factory(spec, metric=metric), vectors(20, seed=1)
    flat.add(vectors(N), ids=np.random.default_rng(1).permutation(2 * N)[:N])
    for k in (1, 10, N + 5):
        same(index.search(q, k, nprobe=NLIST), flat.search(q, k))
        same(index.search(q, k, nprobe=100), flat.search(q, k))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", [*WHOLE, *RESIDUAL])
def test_all_lists_are_every_row_in_full(made, spec, metric):
    """What is found is what a range of any radius holds, best first, to the last bit."""
    index, q = made(spec, metric), vectors(9, seed=1)
    found = index.search(q, N, nprobe=NLIST, stages="off")
    limits, distances, ids = index.range_search(q, np.inf)
    assert limits.tolist() == list(range(0, 9 * N + 1, N))
    assert np.array_equal(found.distances.ravel(), distances)
    scores, alpha, *_ = scores_of_all(index, q)
    want = top_k(scores, index.ids, N)
    np.testing.assert_array_equal(found.ids, want[1])
    np.testing.assert_array_equal(found.scores, shown(want[0] + alpha[:, None], metric)[1])
    assert sorted(ids[:N].tolist()) == sorted(index.ids.tolist())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", RESIDUAL)
def test_lists_add_the_products_of_their_origins(made, spec, metric):
    """To within half a step of a query's bytes in every entry, and the rounding of float32."""
    index, q = made(spec, metric), vectors(9, seed=1)
    rows = index._rows
    codec, centroids = rows.codec, rows.model.centroids
    asked = codec.asked(q).astype(np.float64)
    origins = centroids.origins(np.arange(centroids.lists)).astype(np.float64)
    shares = centroids.shares(codec.asked(q))[:, : centroids.lists]
    step = np.abs(asked).max(axis=1, keepdims=True) / 127
    bound = (0.5 + 2.0**-10) * step * np.abs(origins).sum(axis=1)
    assert (np.abs(shares - asked @ origins.T) <= bound).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", FINER)
def test_codes_from_origins_are_finer(made, spec, metric):
    """Distances err less than those of a flat index with the same codes."""
    index, x, q = made(spec, metric), vectors(N), vectors(20, seed=1)
    flat = vq.index_factory(spec, metric=metric).fit(vectors(600, seed=7))
    exact = vq.index_factory("F32", metric=metric)
    for each in (flat, exact):
        each.add(x, ids=np.random.default_rng(1).permutation(2 * N)[:N])
    truth, *found = (
        by_id(each.search(q, N, **settings))
        for each, settings in (
            (exact, {}),
            (flat, {"stages": "off"}),
            (index, {"stages": "off", "nprobe": NLIST}),
        )
    )
    whole, residual = (((one - truth) ** 2).mean() for one in found)
    assert residual < whole


def by_id(result):
    order = np.argsort(result.ids, axis=1)
    return np.take_along_axis(result.scores, order, axis=1).astype(np.float64)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", ["F32", "SQ8", "EDEN4", "EDEN1", "PQ12x4", "EDEN2+QJL"])
def test_a_search_is_one_of_the_lists_that_a_query_prefers(made, spec, metric):
    index, q = made(spec, metric), vectors(20, seed=1)
    centroids, sizes = index._rows.model.centroids, index._rows.lists.sizes
    scores, alpha, owners, shares = scores_of_all(index, q)
    for nprobe in (1, 3, 7):
        found = index.search(q, 5, nprobe=nprobe, stages="off")
        wide = index.search(q, 5, nprobe=nprobe, eps0=1e9)
        looked = 0
        for i in range(len(q)):
            chosen = routing.choose(
                shares[i, :NLIST], centroids.weights[:NLIST], centroids.offsets[:NLIST],
                sizes, nprobe,
            )  # fmt: skip
            here = np.isin(owners, chosen)
            looked += int(here.sum())
            want = top_k(scores[i : i + 1, here], index.ids[here], 5)
            np.testing.assert_array_equal(found.ids[i], want[1][0])
            np.testing.assert_array_equal(found.scores[i], shown(want[0][0] + alpha[i], metric)[1])
        same(wide, found)
        assert found.stats == {
            "rows": N, "lists": 20 * nprobe, "bounded": looked, "scored": looked
        }  # fmt: skip


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", FEW)
def test_one_query_or_many_on_any_threads_find_the_same(made, spec, metric):
    index, q = made(spec, metric), vectors(70, seed=1)
    ways = [{"eps0": eps0} for eps0 in (0.0, 0.5, 3.5)] + [{"stages": "off"}]
    for nprobe in (1, 3, NLIST):
        for way in ways:
            whole = index.search(q, nprobe=nprobe, **way)
            for threads in (1, 2, 3):
                same(index.search(q, nprobe=nprobe, threads=threads, **way), whole)
                for part in (slice(0, 1), slice(3, 20), slice(33, 66)):
                    some = index.search(q[part], nprobe=nprobe, threads=threads, **way)
                    same(some, whole, part)
            for i in range(3):
                same(index.search(q[i], nprobe=nprobe, **way), whole, i)


@pytest.mark.parametrize("spec", ["EDEN4", "EDEN1", "TQprod3"])
def test_lists_of_many_blocks_are_bounded_slab_by_slab(spec, monkeypatch):
    index, q = filled(spec, n=3000, nlist=2), vectors(20, seed=1)
    whole = [index.search(q, nprobe=1, eps0=eps0) for eps0 in (0.5, 3.5)]
    monkeypatch.setattr(signs, "SLAB_BLOCKS", 3)
    for eps0, want in zip((0.5, 3.5), whole, strict=True):
        same(index.search(q, nprobe=1, eps0=eps0), want)


@pytest.mark.parametrize("spec", ["F32", "EDEN4", "PQ12x4"])
@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_k_beyond_the_rows_of_the_lists(made, spec, metric):
    """A search looks into as many lists as it takes to find k rows, if there are so many."""
    index, q = made(spec, metric), vectors(9, seed=1)
    largest = int(index._rows.lists.sizes.max())
    for k in (largest + 1, N, N + 7):
        found = index.search(q, k, nprobe=1)
        assert (found.counts == min(k, N)).all()
        assert (found.ids[:, N:] == -1).all()
        for row in found.ids[:, :N]:
            assert len(set(row.tolist())) == min(k, N)
    assert found.stats["lists"] == 9 * np.count_nonzero(index._rows.lists.sizes)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", FEW)
def test_how_rows_are_split_among_adds_changes_no_answer(spec, metric):
    x, q = vectors(N), vectors(20, seed=1)
    ids = np.random.default_rng(1).permutation(N)
    sample = 1024 if "EDEN" in spec else 512
    whole = vq.index_factory(f"IVF{NLIST},{spec}", metric=metric).fit(vectors(sample, seed=7))
    whole.add(x, ids, threads=2)
    for step in (1, 33, 400):
        parts = vq.index_factory(f"IVF{NLIST},{spec}", metric=metric).fit(vectors(sample, seed=7))
        stop = 100 if step == 1 else N
        for start in range(0, stop, step):
            parts.add(x[start : start + step], ids[start : start + step], threads=1)
        parts.add(x[stop:], ids[stop:])
        np.testing.assert_array_equal(parts.reconstruct(ids), whole.reconstruct(ids))
        for nprobe in (1, 3, NLIST):
            same(parts.search(q, nprobe=nprobe), whole.search(q, nprobe=nprobe))


@pytest.mark.parametrize("spec", ["EDEN4", "F32"])
def test_fitting_from_the_first_rows_is_fitting_from_them_as_a_sample(spec):
    x, q = vectors(2000), vectors(9, seed=1)
    sample = 1024 if spec == "EDEN4" else 32 * NLIST
    first, given, late = (vq.index_factory(f"IVF{NLIST},{spec}", metric="l2") for _ in range(3))
    first.add(x)
    given.fit(x[:sample]).add(x)
    late.add(x[:100])
    late.add(x[100:1500])
    late.add(x[1500:])
    assert first.nlist == given.nlist == late.nlist == NLIST
    for other in (given, late):
        assert sorted(other.ids.tolist()) == list(range(2000))
        np.testing.assert_array_equal(
            other.reconstruct(np.arange(2000)), first.reconstruct(np.arange(2000))
        )
        same(other.search(q, nprobe=2), first.search(q, nprobe=2))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", ["F32", "SQ8", "EDEN4", "PQ12x4"])
def test_few_rows_are_searched_exactly(spec, metric):
    index, exact = (vq.index_factory(s, metric=metric) for s in (f"IVF{NLIST},{spec}", "F32"))
    for each in (index, exact):
        each.add(vectors(32 * NLIST - 1))
    assert not index.is_fitted
    assert index.nlist is None
    q = vectors(9, seed=1)
    for settings in ({}, {"nprobe": 1}, {"stages": "off"}):
        same(index.search(q, **settings), exact.search(q))
    same(index.search(q[0], 3, [5, 6]), exact.search(q[0], 3, [5, 6]))


def test_the_number_of_lists_follows_the_rows():
    for rows, lists in ((1, 1), (2, 2), (9, 9), (100, 40), (900, 120)):
        index = vq.index_factory("IVF,F32").fit(vectors(rows))
        assert index.nlist == lists  # 4 sqrt(n), and no more than rows
    index = vq.IVFIndex(50, quantizer=vq.LloydMax(bits=2)).fit(vectors(20))
    assert index.nlist == 20


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", ["F32", "EDEN4", "EDEN1", "SAQ2"])
def test_rows_alike_share_a_list_and_tie_by_id(spec, metric):
    """More lists than different rows: most of them stay empty."""
    index = vq.index_factory(f"IVF{NLIST},{spec}", metric=metric).fit(vectors(600, seed=7))
    index.add(np.repeat(vectors(3), 300, axis=0), ids=np.random.default_rng(0).permutation(900))
    for nprobe in (1, 2, NLIST):
        found = index.search(vectors(3), 40, nprobe=nprobe)
        assert (found.ids == np.sort(found.ids, axis=1)).all()
        assert (np.diff(found.scores, axis=1) == 0).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", ["F32", "SQ8", "EDEN4", "PQ12x4", "EDEN1", "LVQ4"])
def test_a_sample_without_differences(spec, metric):
    """All rows alike, or nothing but zeros: lists and codes are of no use, and do no harm."""
    for row in (np.zeros((1, D)), np.ones((1, D)), vectors(1)):
        index = vq.index_factory(f"IVF{NLIST},{spec}", metric=metric)
        index.fit(np.repeat(row, 40, axis=0))
        index.add(np.repeat(row, 50, axis=0))
        index.add(vectors(20))
        for nprobe in (1, NLIST):
            found = index.search(vectors(9, seed=1), 70, nprobe=nprobe)
            assert (np.sort(found.ids, axis=1) == np.arange(70)).all()
            assert np.isfinite(found.distances).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", ["F32", "EDEN4", "EDEN1"])
def test_zeros_are_found(spec, metric):
    """Rows of zeros are coded as well as others, queries of zeros find k rows."""
    x = vectors(700) + 2
    x[[7, 500]] = 0
    index = vq.index_factory(f"IVF{NLIST},{spec}", metric=metric).fit(x)
    index.add(x)
    assert (index.search(-np.ones((3, D)), 2, nprobe=NLIST).ids == [7, 500]).all()
    found = index.search(np.zeros((3, D)), 10, nprobe=1)
    assert (found.counts == 10).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-12, 1e15])
def test_rows_of_any_length(metric, scale):
    index, plain = (vq.index_factory("IVF8,EDEN4", metric=metric) for _ in range(2))
    x, q = vectors(1100), vectors(9, seed=1)
    index.add(x * np.float32(scale))
    plain.add(x)
    got = index.search(q * np.float32(scale), 10, nprobe=NLIST)
    want = plain.search(q, 10, nprobe=NLIST)
    same_found = [np.isin(a, b).mean() for a, b in zip(got.ids, want.ids, strict=True)]
    assert np.mean(same_found) > 0.9


@pytest.mark.parametrize("d", [1, 2, 63, 64, 65, 200])
@pytest.mark.parametrize("metric", METRICS)
def test_any_dimension(d, metric):
    rng = np.random.default_rng(d)
    x, q = rng.standard_normal((700, d)) + 1, rng.standard_normal((9, d))
    for spec in ("F32", "EDEN4"):
        index = vq.index_factory(f"IVF{NLIST},{spec}", metric=metric).fit(x[:600])
        index.add(x)
        whole = index.search(q, 10, nprobe=NLIST, stages="off")
        _, distances, _ = index.range_search(q, np.inf)
        np.testing.assert_array_equal(whole.distances, distances.reshape(9, 700)[:, :10])
        for i in range(9):
            same(index.search(q[i], 10, nprobe=3), index.search(q, 10, nprobe=3), i)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", FINER)
def test_rows_come_back_from_their_lists(made, spec, metric):
    """Nearer than from a flat index; the same whatever the order of ids."""
    index, x = made(spec, metric), vectors(N)
    ids = np.random.default_rng(1).permutation(2 * N)[:N]
    if metric == "cosine":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    flat = vq.index_factory(spec, metric=metric).fit(vectors(600, seed=7))
    flat.add(vectors(N), ids)
    back, whole = index.reconstruct(ids), flat.reconstruct(ids)
    assert ((back - x) ** 2).mean() < ((whole - x) ** 2).mean()
    np.testing.assert_array_equal(index.reconstruct(ids[::-1]), back[::-1])
    with pytest.raises(KeyError, match="is not in the index"):
        index.reconstruct([10**9])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", ["F32", "EDEN4", "RQ4x4"])
def test_ranges(made, spec, metric):
    index, q = made(spec, metric), vectors(9, seed=1)
    found = index.search(q, N, nprobe=NLIST, stages="off")
    radius = float(np.median(found.distances))
    limits, distances, ids = index.range_search(q, radius)
    some = index.ids[::3]
    few = index.range_search(q, radius, some)
    for got, allowed in (((limits, distances, ids), index.ids), (few, some)):
        for i in range(9):
            inside = (found.distances[i] <= radius) & np.isin(found.ids[i], allowed)
            order = np.lexsort((found.ids[i, inside], found.distances[i, inside]))
            part = slice(got[0][i], got[0][i + 1])
            np.testing.assert_array_equal(got[1][part], found.distances[i, inside][order])
            np.testing.assert_array_equal(got[2][part], found.ids[i, inside][order])


def test_more_lists_find_more():
    """Of the ten nearest, and of all where every list is looked into."""
    index, q = filled("F32", n=3000, nlist=32), vectors(100, seed=1)
    exact = index.search(q, 10, nprobe=32).ids
    recalls = []
    for nprobe in (1, 2, 4, 8, 32):
        ids = index.search(q, 10, nprobe=nprobe).ids
        recalls.append(np.mean([np.isin(a, b).mean() for a, b in zip(ids, exact, strict=True)]))
    assert recalls == sorted(recalls)
    assert recalls[0] > 0.3
    assert recalls[-1] == 1
