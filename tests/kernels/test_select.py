"""Selection against a full sort, with ties everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.codes import Codes
from vqindex.kernels.cpu import select
from vqindex.kernels.cpu.program import table
from vqindex.kernels.reference.select import top_k
from vqindex.layouts.base import Column


class Ids:
    """An id column, whose slab table the kernels read."""

    def __init__(self, ids):
        self.codes = Codes([Column("id", np.dtype(np.int64))])
        self.codes.append({"id": ids})
        self.table = table(self.codes.addresses, 0)


def candidates(nq, capacity):
    """Empty buffers: scores and rows poisoned, counts, thresholds."""
    return (
        np.full((nq, capacity), np.nan, np.float32),
        np.full((nq, capacity), 2**40, np.int64),
        np.zeros(nq, np.int64),
        np.full(nq, -np.inf, np.float32),
    )


def kept(scores, rows, ids, k, capacity):
    """What is left of rows pushed one by one, as the kernels do it: (nq, k) scores and ids."""
    nq = len(scores)
    found, found_rows, counts, thresholds = candidates(nq, capacity)
    for query in range(nq):
        for row in rows:
            if scores[query, row] >= thresholds[query]:
                select.push(
                    found, found_rows, counts, thresholds, query, scores[query, row], row, k,
                    ids.table,
                )  # fmt: skip
    out = np.full((nq, k), np.nan, np.float32), np.full((nq, k), -77, np.int64)
    select.finish(found, found_rows, counts, k, ids.table, *out)
    return *out, thresholds


def case(n, distinct, seed, nq=3):
    """Scores of few different values, so that most are ties, and permuted ids."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(distinct).astype(np.float32)
    return rng.choice(values, (nq, n)), rng.permutation(5 * n)[:n].astype(np.int64), rng


@pytest.mark.parametrize("spare", [1, 32])
@pytest.mark.parametrize("distinct", [1, 2, 5, 1000])
@pytest.mark.parametrize("n", [0, 1, 2, 33, 500])
@pytest.mark.parametrize("k", [1, 2, 10, 501])
def test_kept_rows_equal_a_full_sort(k, n, distinct, spare):
    scores, ids, _ = case(n, distinct, n + distinct)
    best, best_ids, thresholds = kept(scores, range(n), Ids(ids), k, k + spare)
    want, want_ids = top_k(scores, ids, k)
    assert best.tobytes() == want.tobytes()
    assert (best_ids == want_ids).all()
    assert (thresholds <= want[:, -1]).all()


@given(
    scores=st.lists(st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 1e-45, 1.0, 3e38]), max_size=60),
    k=st.integers(1, 70),
    spare=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_order_of_arrival_does_not_matter(scores, k, spare, seed):
    rng = np.random.default_rng(seed)
    n = len(scores)
    ids = rng.permutation(n)
    scores = np.float32([scores])
    best, best_ids, _ = kept(scores, rng.permutation(n), Ids(ids), k, k + spare)
    want, want_ids = top_k(scores, ids, k)
    assert (best == want).all()
    assert (best_ids == want_ids).all()


@pytest.mark.parametrize("distinct", [1, 3, 1000])
def test_partition_moves_the_best_to_the_front(distinct):
    for count in (1, 2, 3, 64, 200):
        scores, ids, rng = case(count, distinct, count, nq=1)
        stored = Ids(ids)
        for k in {1, min(2, count), count // 2 or 1, count}:
            found = np.append(scores[0], np.float32([np.nan, 7]))
            rows = np.append(np.arange(count), [2**40, 2**40])
            rng.shuffle(rows[:count])
            found[:count] = scores[0][rows[:count]]
            select.partition_best(found, rows, count, k, stored.table)
            assert sorted(rows[:count]) == list(range(count))
            assert (found[:count] == scores[0][rows[:count]]).all()
            want, want_ids = top_k(scores, ids, k)
            assert sorted(ids[rows[:k]]) == sorted(want_ids[0, :k])
            assert found[:k].min() == want[0, -1]
            assert (rows[count:] == 2**40).all()


@pytest.mark.parametrize("distinct", [1, 3, 1000])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_sort_best(count, distinct):
    scores, ids, _ = case(count, distinct, count, nq=1)
    found, rows = np.append(scores[0], np.float32(np.nan)), np.arange(count + 1)
    stored = Ids(ids)
    select.sort_best(found, rows, count, stored.table)
    want, want_ids = top_k(scores, ids, count)
    assert (found[:count] == want[0]).all()
    assert (ids[rows[:count]] == want_ids[0]).all()
    assert rows[count] == count


def test_a_full_buffer_raises_the_threshold_to_the_kth_score():
    ids = Ids(np.arange(10))
    found, rows, counts, thresholds = candidates(2, 4)
    scores = np.float32([5, 1, 4, 2, 3])
    for row, score in enumerate(scores):
        select.push(found, rows, counts, thresholds, 1, score, row, 3, ids.table)
    assert thresholds.tolist() == [-np.inf, 2]
    assert counts.tolist() == [0, 4]
    assert sorted(rows[1, :4]) == [0, 2, 3, 4]
    assert np.isnan(found[0]).all()


def test_a_tie_at_the_kth_score_still_goes_to_the_lower_id():
    ids = Ids(np.array([9, 8, 7, 6, 5]))
    best, best_ids, _ = kept(np.ones((1, 5), np.float32), range(5), ids, 2, 3)
    assert best_ids.tolist() == [[5, 6]]
    assert best.tolist() == [[1, 1]]


def test_rows_of_any_slab_have_ids():
    n = 9000
    scores, ids, _ = case(n, 3, 0, nq=1)
    best, best_ids, _ = kept(scores, range(n), Ids(ids), 5, 37)
    want, want_ids = top_k(scores, ids, 5)
    assert (best == want).all()
    assert (best_ids == want_ids).all()
