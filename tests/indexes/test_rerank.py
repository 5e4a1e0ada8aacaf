"""The best rows by coarse codes, scored again by finer ones."""

import numpy as np
import pytest

import vqindex as vq

METRICS = ("l2", "ip", "cosine")
FINER = ["f32", "f16", "SQ8", "EDEN8"]
COARSE = ["EDEN1", "EDEN4", "IVF8,EDEN1", "IVF8,PQ6x4", "IVF8,F32"]
N, D = 900, 24


def vectors(n, seed=0):
    return (np.random.default_rng(seed).standard_normal((n, D)) + 0.3).astype(np.float32)


def filled(spec, metric="l2", n=N):
    index = vq.index_factory(spec, metric=metric).fit(vectors(600, seed=7))
    index.add(vectors(n), np.random.default_rng(1).permutation(2 * n)[:n])
    return index


def everything(index):
    return {"nprobe": 8} if isinstance(index, vq.IVFIndex) else {}


def same(got, want, part=slice(None)):
    assert got.ids.tobytes() == want.ids[part].tobytes()
    assert got.scores.tobytes() == want.scores[part].tobytes()
    assert got.distances.tobytes() == want.distances[part].tobytes()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("finer", FINER)
@pytest.mark.parametrize("coarse", COARSE)
def test_all_rows_scored_again_are_a_search_by_the_finer_codes(coarse, finer, metric):
    """Of exact ones: exact search; of each kind, to the last bit."""
    index = filled(f"{coarse},Rerank({finer})", metric)
    spec = finer.upper() if finer in ("f32", "f16") else finer
    want = filled(spec, metric)
    q = vectors(20, seed=1)
    for k in (1, 10, N + 3):
        whole = index.search(q, k, oversample=N, **everything(index))
        same(whole, want.search(q, k, stages="off"))
        for i in (0, 19):
            same(index.search(q[i], k, oversample=N, **everything(index)), whole, i)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("finer", ["f32", "EDEN8"])
@pytest.mark.parametrize("coarse", COARSE)
def test_so_many_of_the_best_are_scored_again(coarse, finer, metric):
    """The candidates are those of a search without, and k of them, rounded up, times k."""
    index, plain = filled(f"{coarse},Rerank({finer})", metric), filled(coarse, metric)
    finest = filled(finer.upper(), metric)
    q = vectors(20, seed=1)
    for settings in ({}, {"nprobe": 2}, {"stages": "off"}):
        if "nprobe" in settings and not everything(index):
            continue
        for k, oversample, some in ((10, 1.0, 10), (10, 2.55, 26), (3, 7, 21), (1, 1.01, 2)):
            got = index.search(q, k, oversample=oversample, **settings)
            candidates = plain.search(q, some, **settings)
            for i in range(len(q)):
                want = finest.search(q[i], k, candidates.ids[i], stages="off")
                np.testing.assert_array_equal(got.ids[i], want.ids)
                np.testing.assert_array_equal(got.scores[i], want.scores)


@pytest.mark.parametrize("coarse", COARSE)
def test_the_same_for_one_query_and_many_on_any_threads(coarse):
    index, q = filled(f"{coarse},Rerank(f16)"), vectors(70, seed=1)
    each = [None, index.ids[:50], index.ids[::2], []] * 17 + [None, []]
    for settings in ({}, {"filter": index.ids[::3]}, {"filter": each}):
        whole = index.search(q, 5, **settings)
        for threads in (1, 2, 3):
            same(index.search(q, 5, threads=threads, **settings), whole)
        if settings.get("filter") is each:
            continue
        for part in (slice(0, 1), slice(5, 21), slice(33, 66)):
            same(index.search(q[part], 5, **settings), whole, part)
        same(index.search(q[4], 5, **settings), whole, 4)


@pytest.mark.parametrize("coarse", COARSE)
def test_filters_and_ranges_go_by_the_finer_codes(coarse):
    index, exact = filled(f"{coarse},Rerank(f32)"), filled("F32")
    q, some = vectors(9, seed=1), exact.ids[::4]
    for few in (some, some[:40], some[:7]):
        for queries in (q, q[:3]):
            got = index.search(queries, 10, few, oversample=N, **everything(index))
            same(got, exact.search(queries, 10, few))
    assert (got.counts == 7).all()
    each = [few, None, some, []]
    got = index.search(q[:4], 10, each, oversample=N, **everything(index))
    same(got, exact.search(q[:4], 10, each))
    for filters in (None, some):
        ranges = zip(
            index.range_search(q, 20.0, filters), exact.range_search(q, 20.0, filters), strict=True
        )
        for a, b in ranges:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("coarse", COARSE)
def test_rows_come_back_by_the_finest_codes(coarse, metric):
    ids = np.random.default_rng(1).permutation(2 * N)[:N]
    exact, coded = filled("F32", metric), filled("EDEN8", metric)
    for finer, want in (("f32", exact), ("EDEN8", coded)):
        index = filled(f"{coarse},Rerank({finer})", metric)
        np.testing.assert_array_equal(index.reconstruct(ids), want.reconstruct(ids))
    kept = filled(f"{coarse},Rerank(EDEN8),Keep(f32)", metric)
    np.testing.assert_array_equal(kept.reconstruct(ids), vectors(N))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("coarse", ["EDEN1", "IVF8,EDEN1"])
def test_finer_codes_find_more(coarse, metric):
    """Each of these codes is finer than the one before, and so are the answers."""
    q, exact = vectors(100, seed=1), filled("F32", metric)
    truth = exact.search(q, 10).ids
    recalls = []
    for spec in (coarse, f"{coarse},Rerank(EDEN4)", f"{coarse},Rerank(f32)"):
        index = filled(spec, metric)
        settings = {"oversample": 20} if "Rerank" in spec else {}
        ids = index.search(q, 10, **settings, **everything(index)).ids
        recalls.append(np.mean([np.isin(a, b).mean() for a, b in zip(ids, truth, strict=True)]))
    assert recalls[0] < recalls[1] < recalls[2]


@pytest.mark.parametrize("coarse", ["EDEN2", "IVF8,EDEN2"])
def test_rows_that_wait_are_searched_exactly(coarse):
    index, exact = (vq.index_factory(s, metric="l2") for s in (f"{coarse},Rerank(f16)", "F32"))
    for each in (index, exact):
        each.add(vectors(200))
    same(index.search(vectors(9), 5), exact.search(vectors(9), 5))
    index.add(vectors(1000, seed=2))
    assert index.is_fitted
    want = np.float32(np.float16(vectors(200)))
    np.testing.assert_array_equal(index.reconstruct(np.arange(200)), want)


@pytest.mark.parametrize("coarse", ["EDEN2", "IVF8,EDEN2"])
def test_settings(coarse):
    index = filled(f"{coarse},Rerank(f16)")
    names = ["nprobe"] if "IVF" in coarse else []
    assert list(index.settings) == [*names, "eps0", "stages", "bits", "oversample"]
    assert index.settings["oversample"] is None
    for error, message, value in (
        (ValueError, "oversample must be finite and at least 1, got 0.99", 0.99),
        (ValueError, "oversample must be finite and at least 1, got nan", np.nan),
        (ValueError, "oversample must be finite and at least 1, got inf", np.inf),
        (ValueError, "oversample must be finite and at least 1, got -3", -3),
        (TypeError, "oversample must be a number, got '3'", "3"),
        (TypeError, "oversample must be a number, got True", True),
    ):
        for refused in (index.configure, lambda **given: index.search(vectors(1), **given)):
            with pytest.raises(error, match=message):
                refused(oversample=value)
    index.configure(oversample=np.float32(8))
    assert index.settings["oversample"] == 8.0
    index.configure(oversample=None)
    assert index.settings["oversample"] is None
    for much in (1e9, 1e300, 1.7e308):
        same(index.search(vectors(3), 12, oversample=much), index.search(vectors(3), 12,
             oversample=N))  # fmt: skip
    with pytest.raises(TypeError, match="unknown search setting 'oversample'"):
        filled(coarse).configure(oversample=2)


def test_what_rows_cost():
    flat, finer = filled("EDEN4"), filled("F16")
    index = filled("EDEN4,Rerank(f16)")
    assert index.bytes_per_row == flat.bytes_per_row + finer.bytes_per_row - 8  # one id
    assert index.nbytes["codes"] == index.bytes_per_row * 32 * -(-N // 32)


@pytest.mark.parametrize("coarse", ["EDEN2", "EDEN2,Keep(f16)"])
def test_rows_come_and_go(coarse):
    first, *keep = coarse.split(",")
    spec = ",".join([first, "Rerank(f32)", *keep])
    index, exact = filled(spec), filled("F32")
    for each in (index, exact):
        each.remove(each.ids[::3])
        each.upsert(vectors(300, seed=4), np.arange(300))
    q = vectors(9, seed=1)
    assert sorted(index.ids.tolist()) == sorted(exact.ids.tolist())
    same(index.search(q, 10, oversample=N), exact.search(q, 10))
