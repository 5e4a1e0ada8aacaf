"""Any sequence of calls against a dictionary and brute force.

Small integers make every distance exact, so that answers must be equal.
"""

import pickle

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import vqindex as vq

D = 3
IDS = st.integers(0, 150)
seeds = st.integers(0, 2**32 - 1)
ids_of_rows = st.lists(IDS, max_size=70, unique=True)


def rows(seed, n):
    return np.random.default_rng(seed).integers(-2, 3, (n, D)).astype(np.float32)


class Against(RuleBasedStateMachine):
    """`rows` maps ids to vectors; `next_id` is one above the largest there ever was."""

    @initialize(metric=st.sampled_from(["l2", "ip"]))
    def make(self, metric):
        self.index = vq.index_factory("F32", metric=metric)
        self.rows, self.next_id = {}, 0

    @rule(n=st.integers(0, 70), seed=seeds)
    def add(self, n, seed):
        x = rows(seed, n)
        ids = self.index.add(x)
        assert ids.tolist() == list(range(self.next_id, self.next_id + n))
        self.take(ids, x)

    @rule(ids=ids_of_rows, seed=seeds)
    def add_under_ids(self, ids, seed):
        x = rows(seed, len(ids))
        if self.rows.keys() & set(ids):
            with pytest.raises(vq.IdError, match="is already in the index"):
                self.index.add(x, ids=ids)
        else:
            self.index.add(x, ids=ids)
            self.take(ids, x)

    @rule(ids=ids_of_rows, seed=seeds)
    def upsert(self, ids, seed):
        x = rows(seed, len(ids))
        self.index.upsert(x, ids)
        self.take(ids, x)

    @rule(ids=st.lists(st.integers(-2, 152), max_size=90))
    def remove(self, ids):
        there = self.rows.keys() & set(ids)
        assert self.index.remove(ids) == len(there)
        for i in there:
            del self.rows[i]

    @rule(first=IDS, count=st.integers(0, 100))
    def remove_a_run(self, first, count):
        self.remove(list(range(first, first + count)))

    @rule(nq=st.sampled_from([1, 2, 9]), k=st.integers(1, 160), seed=seeds, allowed=ids_of_rows)
    def search(self, nq, k, seed, allowed):
        q = rows(seed, nq)
        for ids, keep in ((None, self.rows), (allowed, self.rows.keys() & set(allowed))):
            result = self.index.search(q, k=k, filter=ids)
            for i in range(nq):
                want = self.ranked(q[i], keep)[:k]
                assert result.ids[i].tolist() == [i for _, i in want] + [-1] * (k - len(want))
                assert result.distances[i, : len(want)].tolist() == [far for far, _ in want]

    @rule(seed=seeds, radius=st.integers(-10, 30))
    def search_a_range(self, seed, radius):
        q = rows(seed, 2)
        limits, distances, ids = self.index.range_search(q, radius)
        for i in range(2):
            want = [pair for pair in self.ranked(q[i], self.rows) if pair[0] <= radius]
            here = slice(limits[i], limits[i + 1])
            assert list(zip(distances[here].tolist(), ids[here].tolist(), strict=True)) == want

    @rule(ids=st.lists(IDS, max_size=5))
    def reconstruct(self, ids):
        missing = [i for i in ids if i not in self.rows]
        if missing:
            with pytest.raises(KeyError, match=f"id {missing[0]} is not in the index"):
                self.index.reconstruct(ids)
        elif ids:
            np.testing.assert_array_equal(self.index.reconstruct(ids), [self.rows[i] for i in ids])

    @rule()
    def pickle(self):
        self.index = pickle.loads(pickle.dumps(self.index))

    @rule(mmap=st.booleans())
    def save_and_load(self, mmap):
        self.index.save(self.path)
        loaded = vq.load(self.path, mmap=mmap)
        self.index = pickle.loads(pickle.dumps(loaded)) if mmap else loaded

    @invariant()
    def holds_what_was_put_in(self):
        assert len(self.index) == len(self.rows)
        assert set(self.index.ids.tolist()) == self.rows.keys()
        assert all((i in self.index) == (i in self.rows) for i in (0, 70, 150, self.next_id))

    def take(self, ids, x):
        self.rows.update(zip(map(int, ids), x, strict=True))
        self.next_id = max([self.next_id, *(int(i) + 1 for i in ids)])

    def ranked(self, q, ids):
        """(distance, id) of rows, nearest first."""
        ids = list(ids)
        x = np.array([self.rows[i] for i in ids]).reshape(-1, D)
        far = ((x - q) ** 2).sum(axis=1) if self.index.metric == "l2" else -(x @ q)
        return sorted(zip(far.tolist(), ids, strict=True))


@pytest.mark.parametrize("examples", [40, pytest.param(1500, marks=pytest.mark.slow)])
def test_against_a_dictionary(tmp_path, examples):
    Against.path = tmp_path / "x.vqi"
    how = settings(max_examples=examples, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(Against, settings=how)
