"""Rows named one by one, against a full sort of them."""

import numpy as np
import pytest

from tests.kernels.cases import SLACKS, Case, empty, same
from tests.kernels.programs import PROGRAMS, SIGNED
from vqindex.kernels.cpu import rows
from vqindex.kernels.reference.select import top_k


@pytest.mark.parametrize("count", [0, 1, 8, 9, 200])
@pytest.mark.parametrize("name", PROGRAMS)
def test_pushed_rows_are_kept_by_the_smaller_of_score_and_bound(name, count):
    case = Case(name, 300)
    operands, listed = case.prepare(3), case.rng.permutation(300)[:count]
    for slack in SLACKS:
        asked, want = case.asked(operands, slack), case.limited(operands, slack)
        held = empty(4, 10)
        for query, slot in ((0, 3), (2, 1)):
            at = listed.ctypes.data
            rows.push_rows(case.stored, at, count, asked, query, 10, held.at, slot)
        got = case.finish(held, 10)
        for query, slot in ((0, 3), (2, 1)):
            best = top_k(want[query : query + 1, listed], case.ids[listed], 10)
            assert same([part[slot : slot + 1] for part in got], best)
        assert (got[1][[0, 2]] == -1).all()


@pytest.mark.parametrize("name", PROGRAMS)
def test_top_k_rows_equals_a_full_sort_of_those_listed(name):
    case = Case(name, 300)
    operands, listed = case.prepare(2), case.rng.permutation(300)[:200]
    asked = case.asked(operands, 3.0)
    for stored, want in (
        (case.stored, case.limited(operands, 3.0)),
        (case.unbounded, case.scores(operands).T),
    ):
        for query, k in ((0, 5), (1, 201)):
            held = empty(1, k, spare=1)
            rows.top_k_rows(stored, listed, asked, query, k, held.at)
            best = top_k(want[query : query + 1, listed], case.ids[listed], k)
            assert same(case.finish(held, k), best)


def test_rows_of_any_slab_and_rows_named_twice():
    case = Case("several segments", 4200)
    operands, listed = case.prepare(1), np.array([4199, 0, 4095, 4096, 4096])
    held = empty(1, 5)
    rows.top_k_rows(case.unbounded, listed, case.asked(operands), 0, 5, held.at)
    want = case.scores(operands)[listed, 0]
    order = np.lexsort((case.ids[listed], -want))
    got, ids = case.finish(held, 5)
    assert got.tobytes() == want[order].tobytes()
    assert (ids == case.ids[listed[order]]).all()


def test_rows_below_the_threshold_are_not_kept():
    case = Case("scalar", 300)
    operands = case.prepare(1)
    want = case.limited(operands, 300.0)
    held = empty(1, 10)
    held.arrays[3][0] = least = np.sort(want[0])[-4]
    rows.top_k_rows(case.stored, np.arange(300), case.asked(operands, 300.0), 0, 10, held.at)
    assert held.arrays[2][0] == (want[0] >= least).sum() < 10


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("name", SIGNED)
def test_unlimit_puts_scores_in_place_of_what_is_there(name, first):
    case = Case(name, 70)
    operands = case.prepare(5)
    scores = case.scores(operands).T
    for count, k in ((3, 5), (12, 5), (5, 5)):
        held = empty(3, k)
        found, named, counts, _ = held.arrays
        chosen = np.stack([case.rng.permutation(70)[:count] for _ in range(3)])
        found[:, :count], named[:, :count], counts[:] = chosen, chosen, count  # a row's number
        rows.unlimit(case.stored, case.asked(operands), first, k, held.at)
        left = np.sort(chosen, axis=1)[:, -k:]
        assert (counts == min(count, k)).all()
        for query in range(3):
            here = named[query, : counts[query]]
            assert sorted(here) == left[query].tolist()
            want = scores[first + query, here]
            assert found[query, : counts[query]].tobytes() == want.tobytes()
