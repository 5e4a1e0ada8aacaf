"""Rows found by the first bits of their codes, and scored again by the whole of the same codes."""

import pickle

import numpy as np
import pytest

import vqindex as vq
from vqindex import datasets

METRICS = ("l2", "ip", "cosine")
FLAT = [("EDEN4", 4), ("EDEN4(nested=yes)", 4), ("EDEN2.5", 2), ("TQ3", 3), ("RaBitQ4", 4),
        ("LVQ8", 8), ("LVQ4x8", 4), ("Coarse8,EDEN4", 4), ("Coarse8,LVQ3x4", 3)]  # fmt: skip
LISTS = [("IVF8,EDEN4", 4), ("IVF8,LVQ4x8", 4), ("IVF8(spill=1),EDEN4", 4),
         ("IVF8(spill=2),LVQ4x4", 4)]  # fmt: skip
N, D = 1100, 70
specs = pytest.mark.parametrize(("spec", "most"), FLAT + LISTS)


def vectors(n, seed=0):
    return (np.random.default_rng(seed).standard_normal((n, D)) + 0.3).astype(np.float32)


def filled(spec, metric="l2", n=N):
    index = vq.index_factory(spec, metric=metric).fit(vectors(1050, seed=7))
    index.add(vectors(n), np.random.default_rng(1).permutation(2 * n)[:n])
    return index


def everything(index):
    return {"nprobe": 8} if isinstance(index, vq.IVFIndex) else {}


def same(got, want, part=slice(None)):
    assert got.ids.tobytes() == want.ids[part].tobytes()
    assert got.scores.tobytes() == want.scores[part].tobytes()
    assert got.distances.tobytes() == want.distances[part].tobytes()


@pytest.mark.parametrize("metric", METRICS)
@specs
def test_all_rows_scored_again_are_a_search_by_whole_codes(spec, most, metric):
    index, q = filled(spec, metric), vectors(20, seed=1)
    for k in (1, 10, N + 3):
        want = index.search(q, k, stages="off", **everything(index))
        for bits in (1, most):
            settings = {"bits": bits, "oversample": N} | everything(index)
            same(index.search(q, k, **settings), want)
            same(index.search(q[:3], k, **settings), want, slice(0, 3))
            for i in (0, 19):
                same(index.search(q[i], k, **settings), want, i)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("spec", "most"), FLAT + LISTS[:2])
def test_so_many_of_the_best_by_first_bits_are_scored_again(spec, most, metric):
    index, q = filled(spec, metric), vectors(20, seed=1)
    ways = [{}, {"stages": "off"}, {"nprobe": 2}][: 3 if "IVF" in spec else 2]
    for settings in ways:
        for bits, k, oversample, some in ((1, 10, 1.0, 10), (2, 10, 2.55, 26), (most, 3, 7, 21)):
            got = index.search(q, k, bits=bits, oversample=oversample, **settings)
            assert got.stats["rescored"] == len(q) * some
            candidates = index.search(q, some, bits=bits, **settings)
            for i in range(len(q)):
                among = candidates.ids[i]
                want = index.search(q[i], k, among, stages="off", **everything(index))
                np.testing.assert_array_equal(got.ids[i], want.ids)
                np.testing.assert_array_equal(got.scores[i], want.scores)
                one = index.search(q[i], k, bits=bits, oversample=oversample, **settings)
                same(one, got, i)


@specs
def test_the_same_for_one_query_and_many_on_any_threads(spec, most):
    index, q = filled(spec), vectors(70, seed=1)
    index.configure(bits=1, oversample=3, **({"nprobe": 2} if "IVF" in spec else {}))
    each = [None, index.ids[:50], index.ids[::2], []] * 17 + [None, []]
    for settings in ({}, {"filter": index.ids[::3]}, {"filter": each}):
        whole = index.search(q, 5, **settings)
        for threads in (1, 2, 3):
            same(index.search(q, 5, threads=threads, **settings), whole)
        if settings.get("filter") is each:
            continue
        for part in (slice(0, 1), slice(5, 21), slice(33, 66)):
            same(index.search(q[part], 5, **settings), whole, part)
        for i in range(0, 70, 7):
            same(index.search(q[i], 5, **settings), whole, i)


@specs
def test_filters_are_those_of_a_search_by_whole_codes(spec, most):
    index, q = filled(spec), vectors(12, seed=1)
    some = index.ids[::4]
    for allowed in (some, some[:40], some[:7], [some[:7], None, some, []] * 3):
        want = index.search(q, 10, allowed, stages="off", **everything(index))
        got = index.search(q, 10, allowed, bits=1, oversample=N, **everything(index))
        same(got, want)


@specs
def test_after_rows_have_come_and_gone(spec, most):
    """What a search made of the addresses is made anew."""
    index, q, more = filled(spec), vectors(9, seed=1), vectors(3000, seed=2)
    staged = {"bits": 1, "oversample": 4000} | everything(index)
    for change in (lambda: index.remove(index.ids[::3]),
                   lambda: index.upsert(more, np.arange(3000))):  # fmt: skip
        index.search(q[0], **staged)
        change()
        want = index.search(q, stages="off", **everything(index))
        same(index.search(q, **staged), want)
        same(index.search(q[0], **staged), want, 0)


@pytest.mark.parametrize("spec", ["LVQ4x8", "IVF16,LVQ4x8"])
def test_whole_codes_of_few_candidates_find_what_they_find_of_all_rows(spec):
    """Of the sample's neighbours; the first bits alone find fewer."""
    data = datasets.load("sample")
    index = vq.index_factory(spec, metric="cosine")
    index.add(data.base)
    q, truth = data.queries[:200], data.neighbors[:200, :10].tolist()
    recalls = []
    for settings in ({"bits": 4}, {"bits": 4, "oversample": 4}, {}):
        found = index.search(q, 10, **settings).ids.tolist()
        recalls.append(sum(len({*a} & {*b}) for a, b in zip(found, truth, strict=True)) / 2000)
    first, staged, whole = recalls
    assert whole - staged < 0.05 * (whole - first), recalls


@pytest.mark.parametrize("spec", ["EDEN4", "IVF8,EDEN4"])
def test_settings(spec, tmp_path):
    index, q = filled(spec), vectors(9, seed=1)
    whole = index.search(q)
    message = "'oversample': in an index of .*EDEN4.*; give bits from 1 to 4 as well, or make it"
    for refused in (index.configure, lambda **given: index.search(q, **given)):
        with pytest.raises(TypeError, match=message):
            refused(oversample=4)
        with pytest.raises(ValueError, match="oversample must be finite and at least 1, got 0"):
            refused(bits=2, oversample=0.5)
    assert "oversample" not in index.settings
    staged = index.search(q, bits=1, oversample=2)
    index.configure(bits=1, oversample=2)
    index.save(tmp_path / "index")
    loaded = vq.load(tmp_path / "index", mmap=True)
    for other in (index, pickle.loads(pickle.dumps(index)), loaded):
        assert (other.settings["bits"], other.settings["oversample"]) == (1, 2.0)
        same(other.search(q), staged)
        same(other.search(q, bits=None), whole)
        with pytest.raises(TypeError, match=message):
            other.search(q, bits=None, oversample=2)
    index.configure(bits=None)
    assert "oversample" not in index.settings
    index.configure(bits=1)
    assert index.settings["oversample"] is None
    same(index.search(q), filled(spec).search(q, bits=1))


def test_codes_that_are_read_whole_have_nothing_finer():
    index = vq.index_factory("SAQ4", metric="l2")
    with pytest.raises(
        TypeError, match="nothing finer to score rows again by; make it with Rerank"
    ):
        index.configure(oversample=4)
    with pytest.raises(vq.SpecError, match="are read whole: leave bits=1 out"):
        index.configure(bits=1, oversample=4)


def test_rows_that_wait_are_searched_exactly():
    index, x = vq.index_factory("LVQ4x8", metric="l2"), vectors(100)
    index.configure(bits=4, oversample=4)
    index.add(x)
    assert not index.is_fitted
    assert (index.search(x, k=1).ids.ravel() == np.arange(100)).all()


def test_finer_codes_score_again_where_there_are_some():
    index, exact, q = filled("EDEN4,Rerank(f32)"), filled("F32"), vectors(9, seed=1)
    same(index.search(q, bits=1, oversample=N), exact.search(q))
