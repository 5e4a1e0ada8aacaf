"""Searches with bounds: the same bits for one query and many, any threads, any way through."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.indexes import scan
from vqindex.indexes.stored import scores_of_blocks, stored
from vqindex.kernels.cpu.bounds import row_bound
from vqindex.kernels.cpu.simd import TILES
from vqindex.kernels.reference.select import top_k, top_k_limited

SPECS = [
    *(f"EDEN{bits}" for bits in range(1, 9)), "TQ4", "TQprod2", "TQprod4", "QJL", "EDEN2+QJL30",
]  # fmt: skip
FEW = ["EDEN1", "EDEN4", "TQprod4", "EDEN2+QJL30"]
METRICS = ("l2", "ip", "cosine")
WIDTHS = (0.0, 0.5, 3.5)  # of which the first fail for half of all rows
D = 70


def vectors(n, d=D, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) + 0.3 * rng.standard_normal(d)).astype(np.float32)


def filled(spec, n, metric="l2", d=D):
    index = vq.index_factory(spec, metric=metric)
    index.add(vectors(n, d), ids=np.random.default_rng(1).permutation(2 * n)[:n])
    return index


def same(got, whole, part=slice(None)):
    """Bit for bit what a larger batch found for these queries."""
    assert got.ids.tobytes() == whole.ids[part].tobytes()
    assert got.scores.tobytes() == whole.scores[part].tobytes()
    assert got.distances.tobytes() == whole.distances[part].tobytes()


def check_parts(index, q, whole, **settings):
    """Queries one by one and in batches, on any threads, find what they find together."""
    for size in (1, 2, 3, 7, 16, 33):
        for threads in (1, 2, 3):
            part = slice(threads, threads + size)
            same(index.search(q[part], threads=threads, **settings), whole, part)
    for i in range(5):
        same(index.search(q[i], **settings), whole, i)
    for threads in (1, 2, 3):
        same(index.search(q, threads=threads, **settings), whole)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", SPECS)
def test_one_query_or_many_find_the_same(spec, metric):
    index, q = filled(spec, 2100, metric), vectors(100, seed=1)
    for eps0 in WIDTHS:
        check_parts(index, q, index.search(q, eps0=eps0), eps0=eps0)


@pytest.mark.parametrize("spec", FEW)
def test_also_after_rows_have_come_and_gone(spec):
    index, q = filled(spec, 2500), vectors(100, seed=1)
    index.search(q[0])
    index.remove(index.ids[::3])
    index.upsert(vectors(40, seed=2), index.ids[:40])
    for eps0 in WIDTHS:
        check_parts(index, q, index.search(q, eps0=eps0), eps0=eps0)
    fresh = vq.index_factory(spec, metric="l2")
    fresh.fit(vectors(2500)[:1024])
    shuffled = np.random.default_rng(3).permutation(2100)
    fresh.add(vectors(2100)[shuffled], ids=shuffled)
    other = vq.index_factory(spec, metric="l2").fit(vectors(2500)[:1024])
    other.add(vectors(2100))
    for eps0 in WIDTHS:
        same(fresh.search(q, eps0=eps0), other.search(q, eps0=eps0))


@pytest.mark.parametrize("share", [0, 0.02, 0.06, 0.07, 0.5, 0.99])
@pytest.mark.parametrize("spec", FEW)
def test_filters_of_any_form_on_any_way(spec, share):
    index, q = filled(spec, 2100), vectors(40, seed=1)
    allowed = np.random.default_rng(2).random(2100) < share
    ids = index.ids[allowed]
    for eps0 in WIDTHS:
        whole = index.search(q, filter=allowed, eps0=eps0)
        assert set(whole.ids.ravel()) <= {-1, *ids.tolist()}
        forms = ids, (lambda given: np.isin(given, ids)), [allowed, *[ids] * 39]
        for form in forms:
            for threads in (1, 2):
                same(index.search(q, filter=form, eps0=eps0, threads=threads), whole)
        for i in range(5):
            same(index.search(q[i], filter=ids, eps0=eps0), whole, i)
        same(index.search(q[3:20], filter=ids, eps0=eps0), whole, slice(3, 20))


@pytest.mark.parametrize("spec", FEW)
def test_a_filter_of_each_query_alone(spec):
    index, q = filled(spec, 2100), vectors(9, seed=1)
    rng = np.random.default_rng(2)
    filters = [rng.random(2100) < share for share in (0, 0.01, 0.06, 0.07, 0.3, 0.5, 0.9, 1, 1)]
    for eps0 in WIDTHS:
        whole = index.search(q, filter=filters, eps0=eps0)
        for i, allowed in enumerate(filters):
            same(index.search(q[i], filter=allowed, eps0=eps0), whole, i)


def definition(index, q, eps0):
    """Scores (nq, n) of all rows, before alpha is added, their bounds, and alpha (nq, 1)."""
    rows = index._rows
    codes, scorer, operands = rows.codes, rows.codec.scorer, rows.codec.operands(q)
    scores = scores_of_blocks(codes, rows.codec, operands, 0, codes.nblocks).T
    slack = np.float32(eps0 * scorer.error * operands.norms)
    held = stored(codes, scorer)
    asked = operands.asked(scorer.signs, slack, packed=False)
    bounds = [[row_bound(held.at, i, asked, j) for i in range(codes.n)] for j in range(len(q))]
    return scores, np.float32(bounds), operands.alpha[:, None]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", SPECS)
def test_found_are_the_best_by_the_smaller_of_score_and_bound(spec, metric):
    index, q = filled(spec, 1100, metric), vectors(4, seed=1)
    allowed = np.random.default_rng(2).random(1100) < 0.5
    for eps0 in WIDTHS:
        scores, bounds, alpha = definition(index, q, eps0)
        failing = (bounds < scores).mean()
        if index._rows.codec.scorer.error == 0:
            assert failing == 0
        else:
            assert failing > 0.2 if eps0 < 1 else failing < 0.002
        for which in (np.ones(1100, bool), allowed):
            want = top_k_limited(scores[:, which], bounds[:, which], index.ids[which], 10)
            got = index.search(q, filter=None if which.all() else which, eps0=eps0)
            np.testing.assert_array_equal(got.ids, want[1])
            np.testing.assert_array_equal(got.scores, want[0] + alpha)
    want = top_k(scores, index.ids, 10)
    got = index.search(q, stages="off")
    np.testing.assert_array_equal(got.ids, want[1])
    np.testing.assert_array_equal(got.scores, want[0] + alpha)


@pytest.mark.parametrize("spec", FEW)
def test_whichever_way_the_first_queries_show(spec, monkeypatch):
    """The first sixteen of 32 queries or more are searched by signs, the others either way."""
    index, q = filled(spec, 1100), vectors(150, seed=1)
    for eps0 in WIDTHS:
        monkeypatch.undo()
        whole = index.search(q, k=7, eps0=eps0)
        for dense in (-1.0, np.inf):
            monkeypatch.setattr(scan, "DENSE", dense)
            for nq, threads in ((31, 1), (32, 1), (33, 1), (150, 1), (150, 2)):
                part = index.search(q[:nq], k=7, eps0=eps0, threads=threads)
                same(part, whole, slice(nq))


@pytest.mark.parametrize(("d", "many"), [(64, True), (1024, False)])
def test_queries_are_multiplied_where_signs_spare_little(d, many):
    """Of uniform data in few dimensions they leave a third, of clusters in many next to none."""
    rng = np.random.default_rng(0)
    x, q = rng.uniform(-1, 1, (3000, d)), rng.uniform(-1, 1, (80, d))
    if not many:
        x, q = (np.repeat(a[::100], 100, axis=0)[: len(a)] + a / 5 for a in (x, x[:80]))
    index = vq.index_factory("TQ4", metric="l2")
    index.add(x)
    whole = index.search(q, threads=1)
    multiplied = 80 * 3000 if TILES else 64 * 3000
    assert (whole.stats["scored"] >= multiplied) == (many or TILES)
    for i in range(80):
        same(index.search(q[i]), whole, i)
    check_parts(index, q, whole)


@pytest.mark.parametrize("spec", ["EDEN2", "QJL", "EDEN2+QJL30"])
def test_threads_share_the_blocks_of_a_large_index(spec):
    index, q = filled(spec, 70_000, d=64), vectors(40, 64, seed=1)
    for eps0 in (0.0, 3.5):
        whole = index.search(q, k=25, threads=1, eps0=eps0)
        for part in (0, slice(1, 4), slice(40)):
            for threads in (1, 2, 3, 7):
                same(index.search(q[part], 25, eps0=eps0, threads=threads), whole, part)


@pytest.mark.parametrize("spec", FEW)
def test_rows_alike_are_found_by_the_lowest_ids(spec):
    """Every score and bound is a tie."""
    index = vq.index_factory(spec, metric="ip")
    index.fit(vectors(100))
    index.add(np.repeat(vectors(3), 500, axis=0), ids=np.random.default_rng(0).permutation(1500))
    q = vectors(40, seed=1)
    for eps0 in WIDTHS:
        whole = index.search(q, k=40, eps0=eps0)
        groups = [np.sort(index.ids[500 * i : 500 * i + 500])[:40].tolist() for i in range(3)]
        assert all(row in groups for row in whole.ids.tolist())
        check_parts(index, q, whole, k=40, eps0=eps0)
