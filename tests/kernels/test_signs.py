"""Whole searches by signs: the best by the smaller of score and bound, whatever the way there."""

import ctypes

import numpy as np
import pytest

from tests.kernels.cases import F32, SLACKS, Case, empty, masks_of, same
from tests.kernels.programs import SIGNED, one, scalar_layout
from vqindex.kernels.cpu import records, rows, signs
from vqindex.kernels.reference.select import top_k_limited
from vqindex.memory import Workspace

SHARES = [0, 0.02, 0.5, 1]
MULTIPLE = ["scalar", "several segments", "a sketch", "one dimension"]


def search(case, asked, k, masks=None, blocks=None, slab=signs.SLAB_BLOCKS, held=None):
    """What a search keeps of some blocks, and how many rows it scored."""
    blocks = case.blocks if blocks is None else blocks
    masks = masks_of(case.n) if masks is None else masks
    held = empty(asked.nq, k, asked.padded, spare=3) if held is None else held
    group = min(asked.nq, signs.GROUP)
    scored = signs.top_k_signs(
        case.stored, blocks, masks, asked, k, held.at,
        records.highest(group, k),
        records.sign_scratch(case.stored, asked.row_bytes, group, min(len(blocks), slab)),
    )  # fmt: skip
    return held, scored


def found(case, asked, k, *more, **named):
    """Ids and true scores, best first, and how many rows were scored."""
    held, scored = search(case, asked, k, *more, **named)
    rows.unlimit(case.stored, asked, 0, k, held.at)
    return case.finish(held, k), scored


def expected(case, operands, slack, k, allowed=None):
    allowed = np.ones(case.n, bool) if allowed is None else allowed
    scores, bounds = case.scores(operands)[allowed].T, case.bounds(operands, slack)[allowed].T
    return top_k_limited(scores.copy(), bounds, case.ids[allowed], k)


@pytest.mark.parametrize("nq", [1, 2, 3, 17])
@pytest.mark.parametrize("name", SIGNED)
def test_the_best_by_the_smaller_of_score_and_bound(name, nq):
    for n, k in ((1, 1), (33, 5), (300, 10), (1000, 1)):
        case = Case(name, n)
        operands = case.prepare(nq)
        for slack in SLACKS:
            got, _ = found(case, case.asked(operands, slack), k)
            assert same(got, expected(case, operands, slack, k)), (n, k, slack)


@pytest.mark.parametrize("nq", [1, 5])
@pytest.mark.parametrize("k", [1, 16, 299, 300, 301, 1000])
@pytest.mark.parametrize("name", MULTIPLE)
def test_any_k(name, k, nq):
    case = Case(name, 300)
    operands = case.prepare(nq)
    for slack in SLACKS:
        got, _ = found(case, case.asked(operands, slack), k)
        assert same(got, expected(case, operands, slack, k))


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("nq", [1, 6])
def test_masked_rows_are_never_found(nq, share):
    for n in (1, 31, 33, 1000):
        case = Case("several segments", n)
        operands, allowed = case.prepare(nq), case.rng.random(n) < share
        for slack in SLACKS:
            got, scored = found(case, case.asked(operands, slack), 7, masks_of(n, allowed))
            assert same(got, expected(case, operands, slack, 7, allowed))
            assert scored <= nq * allowed.sum()


@pytest.mark.parametrize("nq", [2, 15, 16, 17, 32, 33, 40])
def test_queries_together_find_what_each_finds_alone(nq):
    case = Case("scalar", 500)
    queries = case.rng.standard_normal((nq, 65))
    operands = case.prepare([queries])
    got, scored = found(case, case.asked(operands, 300.0), 4)
    assert same(got, expected(case, operands, 300.0, 4))
    for query in range(nq):
        single = case.prepare([queries[query : query + 1]])
        alone, count = found(case, case.asked(single, 300.0), 4)
        assert same(alone, [part[query : query + 1] for part in got])
        scored -= count
    assert scored == 0


@pytest.mark.parametrize("slab", [1, 3, 8, 9, 1000])
@pytest.mark.parametrize("nq", [1, 3])
def test_how_blocks_are_cut_into_slabs_changes_nothing(nq, slab):
    case = Case("a sketch", 700)
    operands, allowed = case.prepare(nq), case.rng.random(700) < 0.7
    allowed[96:128] = False
    for slack in SLACKS:
        asked = case.asked(operands, slack)
        got, _ = found(case, asked, 6, masks_of(700, allowed), slab=slab)
        assert same(got, expected(case, operands, slack, 6, allowed))


@pytest.mark.parametrize("nq", [1, 4])
def test_blocks_may_come_in_any_order_and_in_several_calls(nq):
    case = Case("scalar", 1500)
    operands, masks = case.prepare(nq), masks_of(1500)
    for slack in SLACKS:
        asked, held = case.asked(operands, slack), None
        for blocks in np.array_split(case.rng.permutation(case.blocks), 3):
            held, _ = search(case, asked, 10, masks[blocks], blocks, held=held)
        rows.unlimit(case.stored, asked, 0, 10, held.at)
        assert same(case.finish(held, 10), expected(case, operands, slack, 10))


@pytest.mark.parametrize("nq", [1, 2, 3, 15, 16, 17, 31, 32, 33])
@pytest.mark.parametrize("name", ["a sketch", "tables of 4 bits", "tables of 8 bits", "signs"])
def test_no_more_than_the_given_buffers_are_written(name, nq):
    case, k = Case(name, 700), 5
    asked, sizes = case.asked(case.prepare(nq), 3.0), []

    class Guarded(Workspace):
        def take(self, name, *pieces):
            """Every piece between poisoned ones."""
            at = super().take(name, *(size for piece in pieces for size in (piece, 64)))
            sizes.extend(zip(at[::2], pieces, strict=True))
            for start, size in zip(at[::2], pieces, strict=True):
                ctypes.memset(start, 0xA5, -(-size // 64) * 64 + 64)
            return at[::2]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "workspace", Guarded())
        search(case, asked, k, slab=9)
    assert len(sizes) >= 8
    for start, size in sizes:
        rest = -size % 64 + 64
        assert ctypes.string_at(start + size, rest) == rest * b"\xa5"


def test_many_rows_of_one_bound():
    """Ties at the k-th score and at the last bound that is scored first."""
    for name in ("one dimension", "signs without a scale"):
        case = Case(name, 2000)
        for nq in (1, 3):
            operands = case.prepare(nq)
            for k in (1, 5, 40):
                got, _ = found(case, case.asked(operands), k)
                assert same(got, expected(case, operands, 0.0, k))


@pytest.mark.parametrize("nq", [1, 20])
def test_rows_are_left_out_by_their_bound_alone(nq):
    """Scored are at least those whose bounds pass the k-th best, and of the others only such as
    pass the k-th best of those that were scored first."""
    case, k = Case("scalar", 3000), 10
    operands = case.prepare(nq)
    for slack in SLACKS:
        bounds, limited = case.bounds(operands, slack).T, case.limited(operands, slack)
        _, scored = found(case, case.asked(operands, slack), k)
        least = most = 0
        for query in range(nq):
            order = np.lexsort((case.ids, -bounds[query]))[: k + records.HIGHEST]
            last, reached = (np.sort(x)[-k] for x in (limited[query], limited[query][order]))
            least += len(np.union1d(order, np.flatnonzero(bounds[query] > last)))
            most += len(np.union1d(order, np.flatnonzero(cut(bounds[query]) >= cut(reached))))
        assert least <= scored <= most
        assert slack == SLACKS[-1] or scored < nq * case.n


def cut(x):
    """Bounds are compared by the upper halves of their bits."""
    return (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(F32)


@pytest.mark.parametrize("nq", [1, 3])
def test_rows_below_the_threshold_are_not_even_scored(nq):
    case = Case("scalar", 1000)
    operands = case.prepare(nq)
    limited, bounds = case.limited(operands, 300.0), case.bounds(operands, 300.0).T
    held = empty(nq, 10)
    held.arrays[3][:] = least = np.sort(limited, axis=1)[:, -4]
    _, scored = search(case, case.asked(operands, 300.0), 10, slab=7, held=held)
    assert (held.arrays[2] == (limited >= least[:, None]).sum(axis=1)).all()
    assert scored <= (cut(bounds) >= cut(least)[:, None]).sum() < nq * case.n
    held.arrays[3][:] = 1e30
    assert search(case, case.asked(operands, 300.0), 10, held=held)[1] == 0


def test_bounds_that_fail_cost_at_most_their_own_rows():
    """Where all bounds are far too low, results are the best by bound, with their true scores."""
    case = Case(one(scalar_layout((65, 4)), False, bias=True, ratio=False), 500)
    operands = case.prepare(3)
    scores, bounds = case.scores(operands).T, case.bounds(operands).T
    assert (bounds < scores).any(axis=1).all()
    for k in (5, 500):
        got, _ = found(case, case.asked(operands), k)
        assert same(got, expected(case, operands, 0.0, k))
    assert (got[0] == np.sort(scores)[:, ::-1]).all()


def test_rows_of_several_slabs_of_the_usual_size():
    n = 32 * signs.SLAB_BLOCKS + 100
    case = Case(one(scalar_layout((3, 2)), False, ratio=False), n)
    for nq in (1, 2):
        operands = case.prepare(nq)
        got, _ = found(case, case.asked(operands, 40.0), 20)
        assert same(got, expected(case, operands, 40.0, 20))
