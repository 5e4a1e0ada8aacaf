"""Rows come and go among lists; whatever stops a change half-way, all is as it was before."""

import pickle

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import vqindex as vq
from tests.indexes.listed import NLIST, SPECS, fitted, same, state, vectors


class AsUsersDo(RuleBasedStateMachine):
    """The model is a dict from ids to rows; an index made of it at once must answer alike."""

    spec = "F32"

    def __init__(self):
        super().__init__()
        self.index, self.rows, self.next_id, self.seed = fitted(self.spec), {}, 0, 0

    def fresh(self, n):
        self.seed += 1
        return vectors(n, seed=1000 + self.seed)

    def put(self, ids, x):
        self.rows |= dict(zip(ids, x, strict=True))
        self.next_id = max([self.next_id, *(i + 1 for i in ids)])

    @rule(n=st.sampled_from([0, 1, 5, 33, 200]))
    def add(self, n):
        x = self.fresh(n)
        ids = self.index.add(x).tolist()
        assert ids == list(range(self.next_id, self.next_id + n))
        self.put(ids, x)

    @rule(ids=st.lists(st.integers(0, 60), unique=True))
    def add_under_ids(self, ids):
        ids = [i for i in ids if i not in self.rows]
        x = self.fresh(len(ids))
        self.index.add(x, ids)
        self.put(ids, x)

    @rule(ids=st.lists(st.integers(0, 300), unique=True, max_size=80))
    def upsert(self, ids):
        x = self.fresh(len(ids))
        self.index.upsert(x, ids)
        self.put(ids, x)

    @rule(ids=st.lists(st.integers(-2, 300), max_size=80))
    def remove(self, ids):
        there = {i for i in ids if i in self.rows}
        assert self.index.remove(ids) == len(there)
        for i in there:
            del self.rows[i]

    @rule(share=st.floats(0, 1))
    def remove_many(self, share):
        gone = np.random.default_rng(self.seed).permutation(list(self.rows))
        gone = gone[: int(share * len(gone))].tolist()
        self.index.remove(gone)
        for i in gone:
            del self.rows[i]

    @rule()
    def compact(self):
        self.index.compact()
        assert (np.diff(self.index._rows.lists.owners) >= 0).all()

    @rule()
    def save_and_load(self):
        self.index = pickle.loads(pickle.dumps(self.index))

    @invariant()
    def agrees(self):
        ids = sorted(self.rows)
        assert len(self.index) == len(ids)
        assert sorted(self.index.ids.tolist()) == ids
        assert all(i in self.index for i in ids[:20])
        assert 10**6 not in self.index
        if not ids:
            return
        whole = fitted(self.spec)
        whole.add(np.array(list(self.rows.values())), list(self.rows))
        np.testing.assert_array_equal(self.index.reconstruct(ids), whole.reconstruct(ids))
        q = vectors(3, seed=5)
        for nprobe in (1, NLIST):
            same(self.index.search(q, 7, nprobe=nprobe), whole.search(q, 7, nprobe=nprobe))


class WithCodes(AsUsersDo):
    spec = "EDEN2,Rerank(SQ8)"


AsUsersDo.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
WithCodes.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestAsUsersDo = AsUsersDo.TestCase
TestWithCodes = WithCodes.TestCase


@pytest.mark.parametrize("spec", SPECS)
def test_upserts_are_like_removing_and_adding(spec):
    x, y = vectors(1500), vectors(900, seed=1)
    index, other = fitted(spec), fitted(spec)
    for each in (index, other):
        each.add(x)
    ids = np.random.default_rng(2).permutation(np.arange(1200, 2100))
    assert index.upsert(y, ids).tolist() == ids.tolist()
    assert other.remove(ids) == 300
    other.add(y, ids)
    assert len(index) == 2100
    np.testing.assert_array_equal(index.reconstruct(ids), other.reconstruct(ids))
    for nprobe in (1, NLIST):
        same(index.search(y[:20], 30, nprobe=nprobe), other.search(y[:20], 30, nprobe=nprobe))


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("spec", SPECS)
def test_rows_that_stay_answer_as_before(spec, metric):
    rng = np.random.default_rng(0)
    index, q = fitted(spec, metric), vectors(10, seed=1)
    index.add(vectors(2000))
    for share in (0.05, 0.5, 1.0):
        ids = index.ids
        gone = rng.permutation(ids)[: int(np.ceil(share * len(ids)))]
        before = index.search(q, 2000, nprobe=NLIST, stages="off", **finest(index))
        assert index.remove(np.concatenate([gone, gone[:3], [-1, 2000]])) == len(gone)
        after = index.search(q, 2000, nprobe=NLIST, stages="off", **finest(index))
        for i in range(len(q)):
            stays = before.ids[i][~np.isin(before.ids[i], [*gone, -1])]
            np.testing.assert_array_equal(after.ids[i][: len(stays)], stays)
        assert index.remove(gone) == 0
    assert len(index) == 0
    assert index.nbytes["codes"] == index.nbytes["id_map"] == 0
    index.add(vectors(100))
    assert index.search(q, 100, nprobe=1).counts.tolist() == [100] * 10


def finest(index):
    return {"oversample": 1e6} if "oversample" in index.settings else {}


def test_upserts_may_cross_the_boundary_of_fitting():
    x = vectors(1100)
    index, steps = (vq.index_factory(f"IVF{NLIST},EDEN4", metric="l2") for _ in range(2))
    for each in (index, steps):
        each.add(x[:1000])
    ids = np.arange(950, 1050)
    index.upsert(x[950:1050] + 1, ids)
    steps.upsert(x[1000:1050] + 1, ids[50:])
    steps.upsert(x[950:1000] + 1, ids[:50])
    assert index.is_fitted
    for each in (index, steps):
        assert sorted(each.ids.tolist()) == list(range(1050))
    every = np.arange(1050)
    np.testing.assert_array_equal(index.reconstruct(every), steps.reconstruct(every))
    same(index.search(x[:9], 20, nprobe=2), steps.search(x[:9], 20, nprobe=2))


def test_rows_with_any_ids_keep_them_across_fitting():
    x, ids = vectors(500), np.random.default_rng(0).permutation(500) * 3
    index = vq.index_factory(f"IVF{NLIST},F32", metric="l2")
    index.add(x[:150], ids[:150])
    index.remove(ids[:20])
    index.add(x[150:], ids[150:])
    assert index.is_fitted
    assert sorted(index.ids.tolist()) == sorted(ids[20:].tolist())
    np.testing.assert_array_equal(index.reconstruct(ids[20:]), x[20:])
    assert ids[0] not in index


def test_memory_is_given_back():
    index = fitted("F32")
    index.add(vectors(40_000))
    row = index.bytes_per_row
    assert index.nbytes["codes"] < (40_000 + 32 * NLIST) * row
    index.remove(np.arange(100, 40_000))
    assert index.nbytes["codes"] <= (100 + 32 * NLIST) * row
    index.remove(np.arange(100))
    assert index.nbytes["codes"] == index.nbytes["id_map"] == 0


def test_what_was_removed_leaves_no_trace():
    """Nothing of rows that are gone is in the file, wherever they were."""
    secret = np.float32(12345.678)
    index = fitted("F32,Keep(f32)")
    x = vectors(1000)
    x[::3, 0] = secret
    for change in ("remove", "upsert"):
        index.add(x, np.arange(1000))
        assert secret.tobytes() in state(index)
        if change == "remove":
            index.remove(np.arange(0, 1000, 3))
        else:
            index.upsert(vectors(334, seed=1), np.arange(0, 1000, 3))
        assert secret.tobytes() not in state(index)
        index.remove(index.ids)
    assert index.nbytes["codes"] == 0


class Interrupted(Exception):
    pass


class FailingFile:
    """Stands for a dataset in a file: sliced by rows, until it fails at one."""

    def __init__(self, values, spared=1, fails_at=None):
        self.values, self.spared, self.fails_at = values, spared, fails_at
        self.shape, self.dtype = values.shape, values.dtype
        self.reads = 0

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        self.reads += 1
        if self.fails_at is not None and rows.stop > self.fails_at and self.reads > self.spared:
            raise OSError("the disk is gone")
        return self.values[rows]


def filled(spec, n):
    index = vq.index_factory(f"IVF{NLIST},{spec}", metric="l2")
    index.add(vectors(n))
    return index


def check_as_it_was(index, before, spec, n, x):
    """Untouched, and what comes next is as if nothing had ever gone wrong."""
    assert state(index) == before
    assert len(index) == n
    plain = filled(spec, n)
    for each in (index, plain):
        assert each.add(x).tolist() == list(range(n, n + len(x)))
    assert state(index) == state(plain)


@pytest.mark.parametrize("error", [KeyboardInterrupt, Interrupted])
@pytest.mark.parametrize("n", [0, 100, 1000, 1500])
@pytest.mark.parametrize("spec", SPECS)
def test_a_progress_function_that_raises(spec, n, error):
    index, x = filled(spec, n), vectors(9000, seed=1)
    before = state(index)

    def stop(done, total):
        if done > 3000:
            raise error

    with pytest.raises(error):
        index.add(x, progress=stop, threads=2)
    assert state(index) == before
    with pytest.raises(error):
        index.upsert(x, np.arange(50, 9050), progress=stop, threads=2)
    check_as_it_was(index, before, spec, n, x[:40])


@pytest.mark.parametrize("spec", SPECS)
def test_an_upsert_that_is_stopped(spec):
    index, x = filled(spec, 3000), vectors(9000, seed=1)
    before = state(index)
    for limit in (0, 2000, 8999):

        def stop(done, total, limit=limit):
            if done > limit:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            index.upsert(x, np.arange(9000), progress=stop)
        assert state(index) == before
    check_as_it_was(index, before, spec, 3000, x[:40])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("spared", [1, 2, 4])
@pytest.mark.parametrize("n", [0, 10, 1200])
def test_a_file_that_cannot_be_read_to_its_end(n, spared, threads):
    index = filled("EDEN4", n)
    x, before = vectors(6000, seed=1), state(index)
    for row in (0, 30, 5000):
        with pytest.raises(OSError, match="the disk is gone"):
            index.add(FailingFile(x, spared, row), threads=threads)
    check_as_it_was(index, before, "EDEN4", n, x[:40])


@pytest.mark.parametrize("n", [0, 100, 1500])
def test_files_are_read_by_slices(n):
    x = vectors(6000, seed=1)
    index, plain = filled("EDEN4", n), filled("EDEN4", n)
    for each, source in ((index, FailingFile(x)), (plain, x)):
        each.add(source)
    assert state(index) == state(plain)


@pytest.mark.parametrize(
    ("spec", "n"),
    [(s, n) for s in ("F16", "EDEN4,Keep(f16)", "EDEN4,Rerank(f16)") for n in (10, 3000)],
)
def test_a_refused_row_leaves_all_rows_as_they_were(spec, n):
    x = vectors(n)
    index = vq.index_factory(f"IVF{NLIST},{spec}", metric="ip")
    index.add(x)
    before = state(index)
    ids = np.arange(2 * n)
    for bad in (0, n - 1, n, 2 * n - 1):
        wrong = np.concatenate([x, x]) + 1
        wrong[bad, 3] = 1e6
        for threads in (1, 2):
            with pytest.raises(vq.NonFiniteError, match="float16 holds values up to 65504"):
                index.upsert(wrong, ids, threads=threads)
            with pytest.raises(vq.NonFiniteError, match="float16 holds values up to 65504"):
                index.add(wrong, ids + 2 * n, threads=threads)
        assert state(index) == before


def test_no_row_is_added_beside_one_that_is_not_finite():
    index = fitted()
    index.add(vectors(500))
    before, wrong = state(index), vectors(5000, seed=1)
    wrong[4321, 2] = np.nan
    with pytest.raises(vq.NonFiniteError, match="got nan in row 4321, column 2"):
        index.add(wrong)
    assert state(index) == before
