"""Rows in several lists: found in fewer of them, and never twice."""

import pickle

import numpy as np
import pytest
from hypothesis import settings

import vqindex as vq
from tests.indexes.listed import NLIST, SPECS, D, fitted, same, state, vectors
from tests.indexes.test_ivf_updates import AsUsersDo
from vqindex import container
from vqindex.indexes import centroids as centroids_
from vqindex.indexes.probe import Probe
from vqindex.indexes.questions import questions
from vqindex.indexes.stored import scores_of_blocks
from vqindex.kernels.cpu.bounds import row_bound
from vqindex.kernels.reference import routing
from vqindex.memory import workspace
from vqindex.results import shown

METRICS = ("l2", "ip", "cosine")
WHOLE = ["F32", "SQ8"]  # rows as they are, not from the origins of their lists
RESIDUAL = ["EDEN4", "EDEN1", "PQ3x4", "EDEN2+QJL"]
N = 900
IDS = np.random.default_rng(1).permutation(2 * N)[:N]


def spilled(spec, spill=1, nlist=NLIST):
    return f"IVF{nlist}(spill={spill}),{spec}"


def filled(spec, metric="l2", spill=1):
    index = fitted(spilled(spec, spill), metric)
    index.add(vectors(N), IDS)
    return index


@pytest.fixture(scope="module")
def made():
    """Indexes that tests only look at."""
    cache = {}

    def get(spec, metric="l2", spill=1):
        key = spec, metric, spill
        if key not in cache:
            cache[key] = filled(*key)
        return cache[key]

    return get


def scores_of_copies(index, q):
    """Scores (nq, copies) as kernels have them, less alpha; alpha; ids; lists; shares."""
    rows = index._rows
    codec, codes = rows.codec, rows.codes
    operands, owners = codec.operands(q), rows.owners(rows.slots)
    scores = scores_of_blocks(codes, codec, operands, 0, codes.nblocks)[rows.slots].T
    shares = rows.model.centroids.shares(codec.asked(q))
    if codec.residual:
        scores = scores + shares[:, owners]
    return scores, operands.alpha, codes.column("id")[rows.slots], owners, shares


def best_rows(scores, ids, k):
    """The best k ids by the best of their scores (copies,), ties by lower id; and those scores."""
    order = np.lexsort((ids, -scores))
    order = order[np.sort(np.unique(ids[order], return_index=True)[1])][:k]
    return ids[order], scores[order]


def test_how_it_is_spelled():
    index = vq.index_factory(" IVF64( spill = 2 ) , EDEN4,Rerank(f16)")
    assert index.spec == "IVF64(spill=2),EDEN4,Rerank(f16)"
    assert vq.IVFIndex(64, spill=1, quantizer=vq.LloydMax(bits=4)).spec == "IVF64(spill=1),EDEN4"
    assert vq.index_factory("IVF(spill=0),EDEN4").spec == "IVF,EDEN4"
    for wrong in ("8", "-1", "yes", "1.5", "x"):
        with pytest.raises(vq.SpecError, match="spill must be an integer from 0 to 7"):
            vq.index_factory(f"IVF8(spill={wrong}),EDEN4")
    with pytest.raises(vq.SpecError, match=r"IVF has no option 'split'; it has spill\."):
        vq.index_factory("IVF8(split=1),EDEN4")


@pytest.mark.parametrize("metric", METRICS)
def test_further_lists_have_residuals_across_those_before(made, metric):
    """No list has a smaller loss, but for what rounding rows to bytes changes in it."""
    index = made("EDEN4", metric, spill=2)
    codec, centroids = index._rows.codec, index._rows.model.centroids
    rows = codec.centred(vectors(300, seed=4))
    found = centroids.assign_all(rows, 2)
    np.testing.assert_array_equal(found[:, 0], centroids.assign(rows))
    assert (np.sort(found, axis=1)[:, 1:] > np.sort(found, axis=1)[:, :-1]).all()
    origins = centroids.origins(np.arange(NLIST)).astype(np.float64)
    rows = rows.astype(np.float64)

    def rounding(x):
        step = np.abs(x).max(axis=1, keepdims=True) / 127
        return (0.5 + 2.0**-10) * step * np.abs(origins).sum(axis=1)

    loss, every = ((rows[:, None] - origins) ** 2).sum(axis=2), np.arange(len(rows))
    slack = rounding(2 * rows)
    for i in (1, 2):
        r = rows - origins[found[:, i - 1]]
        r /= np.linalg.norm(r, axis=1, keepdims=True)
        along = np.einsum("nld,nd->nl", rows[:, None] - origins, r)
        loss += centroids_.LAMBDA * along**2
        slack += centroids_.LAMBDA * (2 * np.abs(along) + rounding(r)) * rounding(r)
        loss[every, found[:, i - 1]] = np.inf
        chosen = loss[every, found[:, i]] - slack[every, found[:, i]]
        assert (chosen <= (loss + slack).min(axis=1)).all()
        assert (found[:, i] == loss.argmin(axis=1)).mean() > 0.9


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", WHOLE)
def test_all_lists_of_whole_rows_are_a_flat_index(made, spec, metric):
    index, flat, q = made(spec, metric), vq.index_factory(spec, metric=metric), vectors(20, seed=1)
    flat.add(vectors(N), IDS)
    for k in (1, 10, N + 5):
        same(index.search(q, k, nprobe=NLIST), flat.search(q, k))
        same(index.search(q[0], k, IDS[:50], nprobe=1), flat.search(q[0], k, IDS[:50]))
    for got, want in zip(index.range_search(q, 2.0), flat.range_search(q, 2.0), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", [*WHOLE, *RESIDUAL])
@pytest.mark.parametrize("spill", [1, 2])
def test_a_row_counts_by_the_best_of_its_copies(made, spec, metric, spill):
    index, q = made(spec, metric, spill), vectors(9, seed=1)
    scores, alpha, ids, owners, shares = scores_of_copies(index, q)
    assert len(ids) == (1 + spill) * N == (1 + spill) * len(index)
    centroids, sizes = index._rows.model.centroids, index._rows.lists.sizes
    for nprobe in (1, 3, NLIST):
        found = index.search(q, 5, nprobe=nprobe, stages="off")
        same(index.search(q, 5, nprobe=nprobe, eps0=1e9), found)
        for i in range(len(q)):
            chosen = routing.choose(
                shares[i, :NLIST], centroids.weights[:NLIST], centroids.offsets[:NLIST],
                sizes, nprobe,
            )  # fmt: skip
            here = np.isin(owners, chosen)
            want, its = best_rows(scores[i, here], ids[here], 5)
            np.testing.assert_array_equal(found.ids[i], want)
            np.testing.assert_array_equal(found.scores[i], shown(its + alpha[i], metric)[1])
    every = index.search(q, N, nprobe=NLIST, stages="off")
    _, distances, in_range = index.range_search(q, np.inf)
    np.testing.assert_array_equal(every.distances.ravel(), distances)
    np.testing.assert_array_equal(np.sort(in_range.reshape(9, N)), [np.sort(IDS)] * 9)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", ["EDEN4", "EDEN1", "EDEN2.5"])
def test_bounds_of_each_copy_lean_on_the_origin_of_its_list(spec, metric):
    """As soon as rows have dimensions enough, whatever the way."""
    rng = np.random.default_rng(0)
    x, q = (rng.standard_normal((n, 70)).astype(np.float32) for n in (400, 20))
    index = vq.index_factory(spilled(spec), metric=metric).fit(x)
    index.add(x, IDS[:400])
    scores, _, ids, _, _ = scores_of_copies(index, q)
    rows = index._rows
    for eps0 in (3.5, 0.2):
        scan = Probe(rows, 5, index._with({"eps0": eps0}))
        with workspace:
            asking = questions(scan.model, q)
            at, asked = scan.stored, scan._asked(asking)
            limits = [[row_bound(at, row, asked, i) for row in rows.slots] for i in range(len(q))]
        limited = np.minimum(scores, np.float32(limits))
        found = index.search(q, 5, nprobe=NLIST, eps0=eps0)
        for i in range(len(q)):
            assert set(found.ids[i]) == set(best_rows(limited[i], ids, 5)[0])
            one = index.search(q[i], 5, nprobe=NLIST, eps0=eps0)
            assert one.ids.tobytes() == found.ids[i].tobytes()
            assert one.scores.tobytes() == found.scores[i].tobytes()
        same(index.search(q, 5, nprobe=NLIST, eps0=eps0, threads=2), found)
    if spec != "EDEN1":
        assert (limited < scores).any()


@pytest.mark.parametrize("spec", SPECS)
def test_one_query_or_many_on_any_threads_find_the_same(made, spec):
    index, q = made(spec), vectors(70, seed=1)
    for nprobe in (1, 3, NLIST):
        for way in ({}, {"eps0": 0.5}, {"stages": "off"}):
            whole = index.search(q, nprobe=nprobe, **way)
            for part in (slice(None), slice(3, 20), slice(5, 6)):
                for threads in (1, 2):
                    some = index.search(q[part], nprobe=nprobe, threads=threads, **way)
                    assert some.ids.tobytes() == whole.ids[part].tobytes()
                    assert some.scores.tobytes() == whole.scores[part].tobytes()


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_k_different_rows_that_pass_come_back(made, spec, share):
    index, q = made(spec), vectors(20, seed=1)
    mask = np.random.default_rng(5).random(N) < share
    passing = index.ids[mask]
    masks = [mask if i % 2 else None for i in range(20)]
    for k in (1, 10, 400, N + 3):
        for nprobe in (1, 3, NLIST):
            found = index.search(q, k, mask, nprobe=nprobe)
            assert (found.counts == min(k, len(passing))).all()
            for ids, count in zip(found.ids, found.counts, strict=True):
                assert len(set(ids[:count].tolist())) == count
                assert np.isin(ids[:count], passing).all()
            same(index.search(q, k, passing, nprobe=nprobe, threads=2), found)
            mixed = index.search(q, k, masks, nprobe=nprobe)
            np.testing.assert_array_equal(mixed.ids[1::2], found.ids[1::2])


@pytest.mark.parametrize("spec", SPECS)
def test_how_rows_are_split_among_adds_changes_no_answer(spec):
    x, q = vectors(N), vectors(20, seed=1)
    whole, parts = fitted(spilled(spec)), fitted(spilled(spec))
    whole.add(x, IDS, threads=2)
    for start in range(0, N, 133):
        parts.add(x[start : start + 133], IDS[start : start + 133])
    np.testing.assert_array_equal(parts.reconstruct(IDS), whole.reconstruct(IDS))
    for nprobe in (1, 3, NLIST):
        same(parts.search(q, nprobe=nprobe), whole.search(q, nprobe=nprobe))


@pytest.mark.parametrize("spec", ["F32", "EDEN4,Rerank(f16)"])
def test_fitting_from_the_first_rows_keeps_ids_and_rows(spec):
    x = vectors(1500)
    ids = np.random.default_rng(0).permutation(1500) * 3
    index, given = (vq.index_factory(spilled(spec), metric="l2") for _ in range(2))
    sample = 1024 if "EDEN" in spec else 32 * NLIST
    given.fit(x[:sample]).add(x, ids)
    for start in range(0, 1500, 170):
        assert index.is_fitted == (start >= sample)
        index.upsert(x[start : start + 170], ids[start : start + 170])
    np.testing.assert_array_equal(index.reconstruct(ids), given.reconstruct(ids))
    same(index.search(x[:9], nprobe=2), given.search(x[:9], nprobe=2))


def test_more_is_found_in_as_many_lists():
    rng = np.random.default_rng(3)
    x, q = (rng.standard_normal((n, 16)).astype(np.float32) for n in (4000, 200))
    exact = vq.index_factory("F32", metric="l2")
    exact.add(x)
    truth, found = exact.search(q).ids, []
    for spill in (0, 1, 2):
        index = vq.index_factory(spilled("F32", spill, 64), metric="l2").fit(x)
        index.add(x)
        near = index.search(q, nprobe=4).ids
        found.append(sum(len(np.intersect1d(a, b)) for a, b in zip(near, truth, strict=True)))
    assert found[0] < found[1] < found[2]


@pytest.mark.parametrize("spec", ["F32", "EDEN4", "EDEN2,Rerank(F32),Keep(f16)"])
def test_what_a_row_costs(made, spec):
    """Codes and ids once for each list; originals, finer codes and lists once."""
    index, plain = made(spec), fitted(spec)
    plain.add(vectors(N), IDS)
    columns = plain._rows.model.columns
    once = sum(c.row_bytes for c in columns if c.name.startswith(("finer.", "kept_")))
    assert (once >= 6 * D) == ("Rerank" in spec)
    coded = plain.bytes_per_row - once
    assert index.bytes_per_row == 2 * coded + once + 8 + 2 * 4
    copies, rows = 32 * index._rows.lists.blocks, 32 * -(-N // 32)
    assert index.nbytes["codes"] == copies * coded + rows * (once + 16)
    assert index.drift() == plain.drift()
    assert 1 <= index.imbalance < NLIST


@pytest.mark.parametrize("spec", ["EDEN1,Rerank(F32)", "EDEN4,Keep(f32)"])
def test_originals_come_back(made, spec):
    index, q = made(spec), vectors(20, seed=1)
    np.testing.assert_array_equal(index.reconstruct(IDS), vectors(N))
    if "Rerank" in spec:
        flat = vq.index_factory("F32", metric="l2")
        flat.add(vectors(N), IDS)
        same(index.search(q, 7, nprobe=NLIST, oversample=1e6), flat.search(q, 7))
        for got, want in zip(index.range_search(q, 2.0), flat.range_search(q, 2.0), strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("spec", ["F32", "EDEN4"])
def test_no_more_lists_than_there_are(spec):
    x = vectors(700)
    for nlist in (1, 2):
        index = vq.index_factory(spilled(spec, 7, nlist), metric="l2").fit(x)
        index.add(x)
        assert index._rows.lists.n == nlist * 700
        found = index.search(x[:9], 700, nprobe=1)
        assert (np.sort(found.ids, axis=1) == np.arange(700)).all()
        assert index.remove(np.arange(650)) == 650
        assert index._rows.lists.n == nlist * 50
        index = pickle.loads(pickle.dumps(index))
        assert (np.sort(index.search(x[0], 50).ids) == np.arange(650, 700)).all()


@pytest.mark.parametrize("spec", SPECS)
def test_what_stops_a_change_leaves_all_as_it_was(spec):
    x = vectors(9000, seed=1)
    for n in (0, 100, 1500):
        index = vq.index_factory(spilled(spec), metric="l2")
        index.add(vectors(n))
        before = state(index)

        def stop(done, total):
            if done > 3000:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            index.add(x, progress=stop, threads=2)
        assert state(index) == before
        with pytest.raises(KeyboardInterrupt):
            index.upsert(x, np.arange(50, 9050), progress=stop)
        assert state(index) == before
        index.upsert(x[:100], np.arange(50, 150))
        assert len(index) == max(n, 50) + 100 - max(0, min(n - 50, 100)) - (50 if n < 50 else 0)


def test_what_was_removed_leaves_no_trace():
    secret = np.float32(12345.678)
    index, x = fitted(spilled("F32,Keep(f32)")), vectors(1000)
    x[::3, 0] = secret
    index.add(x, np.arange(1000))
    assert state(index).count(secret.tobytes()) == 3 * 334
    index.upsert(vectors(167, seed=1), np.arange(0, 501, 3))
    index.remove(np.arange(501, 1000, 3))
    assert secret.tobytes() not in state(index)
    index.remove(index.ids)
    assert index.nbytes["codes"] == index.nbytes["id_map"] == 0


@pytest.mark.parametrize("spec", SPECS)
def test_what_was_saved_comes_back(tmp_path, spec):
    index, q = filled(spec), vectors(20, seed=1)
    index.remove(IDS[::5])
    index.save(tmp_path / "x.vqi")
    vq.verify(tmp_path / "x.vqi")
    for other in (vq.load(tmp_path / "x.vqi"), vq.load(tmp_path / "x.vqi", mmap=True)):
        assert state(other) == state(index)
        for nprobe in (1, NLIST):
            same(other.search(q, nprobe=nprobe), index.search(q, nprobe=nprobe))
        np.testing.assert_array_equal(other.reconstruct(other.ids), index.reconstruct(index.ids))
    with pytest.raises(vq.ReadOnlyError):
        other.remove(other.ids[:1])


@pytest.mark.parametrize("spec", ["F32", "EDEN2,Rerank(SQ8)"])
def test_any_bytes_at_all_are_refused_or_searched(tmp_path, spec):
    rng = np.random.default_rng(0)
    contents = container.from_bytes(state(filled(spec)))
    arrays = dict(contents.arrays)
    names = [name for name in arrays if name.startswith(("lists.", "once.", "codes.id"))]
    outcomes = set()
    for _ in range(60):
        name = rng.choice(names)
        wrong = arrays[name].copy()
        octets = wrong.reshape(-1).view(np.uint8)
        octets[rng.integers(0, octets.size, 3)] = rng.integers(0, 256, 3)
        container.write(tmp_path / "x.vqi", arrays | {name: wrong}, contents.metadata)
        try:
            index = vq.load(tmp_path / "x.vqi")
        except vq.CorruptFileError:
            outcomes.add("refused")
            continue
        outcomes.add("answered")
        with np.errstate(all="ignore"):
            ids = index.search(np.ones((9, D)), 20, nprobe=1).ids
            assert np.isin(ids, [-1, *index.ids]).all()
            index.reconstruct(index.ids)
    assert outcomes == {"refused", "answered"}


class InTwoLists(AsUsersDo):
    spec = spilled("EDEN2,Rerank(SQ8)")


class InThreeLists(AsUsersDo):
    spec = spilled("EDEN4", spill=2)


for _each in (InTwoLists, InThreeLists):
    _each.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestInTwoLists = InTwoLists.TestCase
TestInThreeLists = InThreeLists.TestCase
