"""Rows scored again while they are found: those alone whose bounds leave them a chance."""

import numpy as np
import pytest

import vqindex as vq
from tests.indexes.test_rerank import same
from vqindex.indexes.probe import Probe
from vqindex.indexes.questions import questions
from vqindex.indexes.scan import Scan
from vqindex.kernels.cpu.bounds import row_bound
from vqindex.kernels.cpu.compile import kernel
from vqindex.kernels.cpu.fields import share_of
from vqindex.kernels.cpu.finer import finer_at, finer_score, lift_of, reach_of, spread_of
from vqindex.kernels.cpu.program import BLOCK
from vqindex.kernels.cpu.score import score_row
from vqindex.memory import workspace

METRICS = ("l2", "ip", "cosine")
FLAT = ["EDEN4", "EDEN2", "EDEN1", "EDEN2.5", "RaBitQ4"]
LISTS = ["IVF24,EDEN4", "IVF24,EDEN2", "IVF24,EDEN1", "IVF24,EDEN2.5", "IVF24,RaBitQ3"]
N, D, NQ = 3000, 72, 40


def vectors(n, seed=0):
    """In clusters of different widths, one of them of rows that are all but equal."""
    rng = np.random.default_rng(seed)
    middles = np.random.default_rng(99).standard_normal((30, D)) * 2 + 0.5
    widths = np.geomspace(1e-3, 1.5, 30)
    which = rng.integers(0, 30, n)
    return (middles[which] + rng.standard_normal((n, D)) * widths[which, None]).astype(np.float32)


def filled(spec, metric="l2"):
    index = vq.index_factory(spec, metric=metric).fit(vectors(1500, seed=7))
    index.add(vectors(N), np.random.default_rng(1).permutation(2 * N)[:N])
    return index


@kernel
def looked(stored, asked, slots, out):
    """Of every query and row: score, its bound, that of its signs, the finer score."""
    finer = finer_at(asked.finer)
    for query in range(out.shape[0]):
        for i in range(slots.size):
            row = slots[i]
            score = score_row(
                stored.program, stored.segments, stored.bias, row,
                asked.entries + query * asked.row_bytes, asked.seed + 4 * query,
                asked.half + 4 * query, asked.gamma + 4 * query, 4 * asked.padded,
            ) + share_of(stored, asked, row // BLOCK, query)  # fmt: skip
            reach = reach_of(stored, asked, finer, query, row // BLOCK)
            out[query, i, 0] = score
            out[query, i, 1] = score + reach * spread_of(stored, row)
            out[query, i, 2] = row_bound(stored, row, asked, query)
            out[query, i, 3] = finer_score(finer, row, query) + lift_of(finer, asked, query)


def everything(index, q, **settings):
    """(nq, n, 4) of `looked`, and the ids of the rows."""
    rows, kind = index._rows, Probe if isinstance(index, vq.IVFIndex) else Scan
    scan = kind(rows, 10, index._with(settings))
    out = np.empty((len(q), rows.n, 4), np.float32)
    with workspace:
        asking = questions(scan.model, q)
        looked(scan.stored, scan._asked(asking), rows.slots, out)
    return out, rows.id_column


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", FLAT + LISTS)
@pytest.mark.parametrize("eps0", [3.5, 1.0])
def test_a_row_counts_by_the_smallest_of_its_score_and_its_bounds(spec, metric, eps0):
    """Whatever the way: alone, among many, by lists, on threads, filtered."""
    index, q = filled(f"{spec},Rerank(f32)", metric), vectors(NQ, seed=1)
    seen, ids = everything(index, q, eps0=eps0)
    limited, exact = seen[..., 1:].min(axis=2), seen[..., 3]
    every = {"nprobe": 24} if "IVF" in spec else {}
    whole = index.search(q, 10, eps0=eps0, **every)
    for i in range(NQ):
        best = np.lexsort((ids, -limited[i]))[:10]
        assert sorted(whole.ids[i]) == sorted(ids[best])
        shown = exact[i, np.argsort(ids)[np.searchsorted(np.sort(ids), whole.ids[i])]]
        assert (np.diff(shown) <= 0).all()
        read = int((limited[i] >= limited[i, best[-1]]).sum())
        one = index.search(q[i], 10, eps0=eps0, **every)
        same(one, whole, i)
        bounds = seen[i, :, 1:3].min(axis=1)
        assert (
            read
            <= one.stats["rescored"]
            <= max(10 + 26, 3 * (bounds >= limited[i, best[-1]]).sum())
        )
    for threads in (2, 3):
        same(index.search(q, 10, eps0=eps0, threads=threads, **every), whole)
    some = index.ids[::3]
    part = index.search(q, 5, some, eps0=eps0, **every)
    allowed = np.isin(ids, some)
    for i in (0, NQ - 1):
        best = np.flatnonzero(allowed)[np.lexsort((ids[allowed], -limited[i, allowed]))[:5]]
        assert sorted(part.ids[i]) == sorted(ids[best])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", LISTS)
def test_of_lists_one_after_another_or_one_query_after_another(spec, metric, monkeypatch):
    index, q = filled(f"{spec},Rerank(f16)", metric), vectors(200, seed=1)
    for nprobe in (3, 9):
        with monkeypatch.context() as patch:
            patch.setattr(Probe, "_together", Probe._one_by_one)
            want = index.search(q, 10, nprobe=nprobe)
        with monkeypatch.context() as patch:
            patch.setattr(Probe, "_one_by_one", Probe._together)
            same(index.search(q, 10, nprobe=nprobe), want)
        for i in (0, 7, 199):
            same(index.search(q[i], 10, nprobe=nprobe), want, i)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", FLAT + LISTS)
def test_true_scores_exceed_bounds_as_seldom_as_those_of_a_normal_law(spec, metric):
    index, q = filled(f"{spec},Rerank(f32)", metric), vectors(NQ, seed=1)
    pairs = NQ * 30  # of a query and a cluster, whose rows err alike
    for eps0, share in ((3.5, 2.3e-4), (2.0, 0.0228)):  # of one side
        most = share + 3 * max(1, np.sqrt(share * pairs)) / pairs
        seen, _ = everything(index, q, eps0=eps0)
        rounding = 1e-5 * np.abs(seen[..., 3]).max()
        for which in (1, 2):
            assert (seen[..., 3] > seen[..., which] + rounding).mean() < most


@pytest.mark.parametrize("spec", FLAT + LISTS)
def test_the_widest_bounds_are_a_search_by_the_finer_codes(spec):
    index, exact, q = filled(f"{spec},Rerank(f32)"), filled("F32"), vectors(NQ, seed=1)
    every = {"nprobe": 24} if "IVF" in spec else {}
    found, want = index.search(q, 10, eps0=1e9, **every), exact.search(q, 10)
    np.testing.assert_array_equal(found.ids, want.ids)
    np.testing.assert_array_equal(found.scores, want.scores)
    assert found.stats["rescored"] >= 10 * NQ


@pytest.mark.parametrize("spec", ["IVF24,TQ4", "IVF24,EDEN4(scale=biased)", "IVF24,EDEN4", "EDEN4"])
def test_first_bits_are_scored_again_by_the_same_finer_codes(spec):
    """Whatever columns codes of so many bits would have."""
    index, exact, q = filled(f"{spec},Rerank(f32)"), filled("F32"), vectors(NQ, seed=1)
    every = {"nprobe": 24} if "IVF" in spec else {}
    for bits in (1, 2, 4):
        found = index.search(q, 10, bits=bits, oversample=N, **every)
        np.testing.assert_array_equal(found.scores, exact.search(q, 10).scores)
        same(index.search(q[3], 10, bits=bits, **every), index.search(q, 10, bits=bits, **every), 3)


@pytest.mark.parametrize("learned", ["LeanVec64", "Calibrated"])
def test_bounds_hold_where_transforms_keep_no_products(learned):
    """They do not say what such a transform loses: then rows are scored again by number."""
    for spec in (f"{learned},EDEN4", f"{learned},IVF24,EDEN4"):
        index, q = filled(f"{spec},Rerank(f32)"), vectors(NQ, seed=1)
        assert not index.is_bounded
        every = {"nprobe": 24} if "IVF" in spec else {}
        found = index.search(q, 10, **every)
        want = index.search(q, 10, stages="off", **every)
        assert np.mean([len({*a} & {*b}) for a, b in zip(found.ids, want.ids, strict=True)]) > 9.9
        assert found.stats["rescored"] == 40 * NQ


def test_codes_without_such_bounds_are_scored_again_so_many_times_k():
    plain = "PQ36x4", "Coarse16,EDEN4", "SAQ4", "TQ4", "IVF24,TQ4", "LVQ4"
    for spec in (*plain, "IVF24(spill=1),EDEN4", "IVF24(spill=2),EDEN1"):
        index, q = filled(f"{spec},Rerank(f32)"), vectors(NQ, seed=1)
        assert not index.is_bounded
        same(index.search(q, 10), index.search(q, 10, oversample=4.0))
        assert index.search(q, 10).stats["rescored"] == 40 * NQ
    bounded = filled("EDEN4,Rerank(f32)")
    assert bounded.is_bounded
    off = bounded.search(q, 10, stages="off")
    same(off, bounded.search(q, 10, stages="off", oversample=4.0))
    assert bounded.search(q, 10, oversample=2.0).stats["rescored"] == 20 * NQ


def test_bounds_are_narrow_in_lists_that_queries_are_near():
    lists, flat, q = (
        filled("IVF24,EDEN4,Rerank(f32)"),
        filled("EDEN4,Rerank(f32)"),
        vectors(NQ, seed=1),
    )
    wide, near = [], []
    for index, widths in ((lists, near), (flat, wide)):
        seen, _ = everything(index, q)
        best = np.argsort(-seen[..., 3], axis=1)[:, :10]
        widths.append(np.take_along_axis(seen[..., 1] - seen[..., 0], best, axis=1))
    assert np.median(near[0]) < np.median(wide[0]) / 3
