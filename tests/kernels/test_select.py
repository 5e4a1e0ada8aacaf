"""Selection against a full sort, with ties everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.cases import empty, finished, same
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


def pushed(scores, rows, ids, k, spare):
    """A Kept of rows pushed one by one, as the kernels do it, and its arrays."""
    held = empty(len(scores), k, spare=spare)
    thresholds = held.arrays[3]
    for query in range(len(scores)):
        for row in rows:
            if scores[query, row] >= thresholds[query]:
                select.push(held.at, query, scores[query, row], row, k, ids.table)
    return held


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
    stored = Ids(ids)
    held = pushed(scores, range(n), stored, k, spare)
    want = top_k(scores, ids, k)
    assert (held.arrays[3] <= want[0][:, -1]).all()
    assert same(finished(held, k, stored.table), want)


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
    stored = Ids(ids)
    held = pushed(scores, rng.permutation(n), stored, k, spare)
    best, best_ids = finished(held, k, stored.table)
    want, want_ids = top_k(scores, ids, k)
    assert (best == want).all()
    assert (best_ids == want_ids).all()


@given(
    scores=st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 1.0, 2.5]), max_size=60),
    k=st.integers(1, 30),
    parts=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_merged_parts_are_like_the_whole(scores, k, parts, seed):
    rng = np.random.default_rng(seed)
    n = len(scores)
    scores, ids = np.float32([scores, scores[::-1]]), rng.permutation(n)
    stored = Ids(ids)
    first, *others = [
        pushed(scores, rows, stored, k, int(rng.integers(1, 9)))
        for rows in np.array_split(rng.permutation(n), parts)
    ]
    for other in others:
        before = [array.copy() for array in other.arrays]
        select.merge(first.at, other.at, k, stored.table)
        for array, kept in zip(other.arrays, before, strict=True):
            np.testing.assert_array_equal(array, kept)
    assert same(finished(first, k, stored.table), top_k(scores, ids, k))


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
            at = found.ctypes.data, rows.ctypes.data
            select.partition_best(*at, count, k, stored.table)
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
    select.sort_best(found.ctypes.data, rows.ctypes.data, count, stored.table)
    want, want_ids = top_k(scores, ids, count)
    assert (found[:count] == want[0]).all()
    assert (ids[rows[:count]] == want_ids[0]).all()
    assert rows[count] == count


def test_a_full_buffer_raises_the_threshold_to_the_kth_score():
    ids, held = Ids(np.arange(10)), empty(2, 3, 16, spare=1)
    found, rows, counts, thresholds = held.arrays
    for row, score in enumerate(np.float32([5, 1, 4, 2, 3])):
        select.push(held.at, 1, score, row, 3, ids.table)
    assert thresholds[:2].tolist() == [-np.inf, 2]
    assert np.isnan(thresholds[2:]).all()
    assert counts.tolist() == [0, 4]
    assert sorted(rows[1, :4]) == [0, 2, 3, 4]
    assert np.isnan(found[0]).all()


def test_a_shrunk_buffer_has_the_best_k_and_their_least_score():
    ids, held = Ids(np.arange(10)), empty(1, 3, spare=5)
    _, rows, counts, thresholds = held.arrays
    for row, score in enumerate(np.float32([5, 1])):
        select.push(held.at, 0, score, row, 3, ids.table)
    select.shrink(held.at, 0, 3, ids.table)
    assert (counts[0], thresholds[0]) == (2, -np.inf)  # it has fewer
    for row, score in enumerate(np.float32([4, 2, 5]), 2):
        select.push(held.at, 0, score, row, 3, ids.table)
    select.shrink(held.at, 0, 3, ids.table)
    assert (counts[0], thresholds[0]) == (3, 4)
    assert sorted(rows[0, :3]) == [0, 2, 4]


def test_a_tie_at_the_kth_score_still_goes_to_the_lower_id():
    ids = Ids(np.array([9, 8, 7, 6, 5]))
    held = pushed(np.ones((1, 5), np.float32), range(5), ids, 2, 1)
    best, best_ids = finished(held, 2, ids.table)
    assert best_ids.tolist() == [[5, 6]]
    assert best.tolist() == [[1, 1]]


def test_rows_of_any_slab_have_ids():
    n = 9000
    scores, ids, _ = case(n, 3, 0, nq=1)
    stored = Ids(ids)
    assert same(
        finished(pushed(scores, range(n), stored, 5, 32), 5, stored.table), top_k(scores, ids, 5)
    )
