"""Searches by multiplication, bit for bit, against the reference's scores and a full sort."""

import numpy as np
import pytest

from tests.kernels.cases import F32, SLACKS, Case, empty, masks_of, same, score_blocks
from tests.kernels.programs import PROGRAMS, SIGNED
from vqindex.kernels.cpu import records, rows, score, search, signs
from vqindex.kernels.cpu.program import BLOCK, is_decoded
from vqindex.kernels.reference.select import top_k, top_k_limited


def multiply(case, stored, asked, k, masks=None, blocks=None, held=None, spare=9):
    """What a search keeps of some blocks."""
    blocks = case.blocks if blocks is None else blocks
    masks = masks_of(case.n) if masks is None else masks
    held = empty(asked.nq, k, asked.padded, spare) if held is None else held
    scratch = records.scratch(asked.row_bytes)
    search.top_k_blocks(stored, blocks, masks, asked, k, held.at, scratch)
    assert np.isnan(held.arrays[3][asked.nq :]).all()
    return held


def found(case, operands, k, *more, **named):
    """Scores and ids of a search without bounds."""
    return case.finish(multiply(case, case.unbounded, case.asked(operands), k, *more, **named), k)


@pytest.mark.parametrize("nq", [1, 15, 16, 17, 32, 33, 48, 63, 64])
@pytest.mark.parametrize("name", PROGRAMS)
def test_score_blocks_equals_the_reference(name, nq):
    case = Case(name, 70)
    operands = case.prepare(nq)
    got = score_blocks(case, operands, case.blocks)
    assert got[:70].tobytes() == case.scores(operands).tobytes()


@pytest.mark.parametrize("name", PROGRAMS)
def test_more_queries_than_a_chunk(name):
    case = Case(name, 40)
    operands = case.prepare(70)
    parts = [
        score_blocks(case, operands.select(*part), case.blocks) for part in ((0, 64), (64, 70))
    ]
    assert np.hstack(parts)[:40].tobytes() == case.scores(operands).tobytes()


def test_blocks_of_any_slab_in_any_order():
    case = Case("several segments", 4200)
    operands, blocks = case.prepare(5), np.array([131, 0, 128, 127])
    got = score_blocks(case, operands, blocks)
    named = (blocks[:, None] * BLOCK + np.arange(BLOCK)).reshape(-1)
    there = named < case.n
    assert got[there].tobytes() == case.scores(operands)[named[there]].tobytes()


@pytest.mark.parametrize("nq", [1, 16, 70, 130])
@pytest.mark.parametrize("name", PROGRAMS)
def test_top_k_blocks_equals_a_full_sort(name, nq):
    case = Case(name, 300)
    operands = case.prepare(nq)
    want = case.scores(operands).T
    for k in (1, 10, 301):
        assert same(found(case, operands, k), top_k(want, case.ids, k))
    assert same(found(case, operands, 10, spare=1), top_k(want, case.ids, 10))


@pytest.mark.parametrize("nq", [1, 2, 17, 70])
@pytest.mark.parametrize("name", SIGNED)
def test_with_bounds_the_best_are_those_of_a_search_by_signs(name, nq):
    case = Case(name, 300)
    operands = case.prepare(nq)
    allowed = case.rng.random(300) < 0.8
    masks = masks_of(300, allowed)
    scores = case.scores(operands)[allowed].T
    group = min(nq, signs.GROUP)
    for slack in SLACKS:
        asked = case.asked(operands, slack)
        bounds = case.bounds(operands, slack)[allowed].T
        for k in (1, 10, 301):
            held, other = multiply(case, case.stored, asked, k, masks), empty(nq, k, asked.padded)
            scratch = records.sign_scratch(case.stored, asked.row_bytes, group, len(masks))
            highest = records.highest(group, k)
            signs.top_k_signs(case.stored, case.blocks, masks, asked, k, other.at, highest, scratch)
            want = top_k(np.where(bounds < scores, bounds, scores), case.ids[allowed], k)
            assert same(case.finish(held, k), want)
            assert same(case.finish(other, k), want)
            rows.unlimit(case.stored, asked, 0, k, held.at)
            assert same(case.finish(held, k), top_k_limited(scores, bounds, case.ids[allowed], k))


def push(case, stored, asked, k, masks):
    """What searches of one query after another keep, and how many rows they scored."""
    held, scratch = empty(asked.nq, k, asked.padded), records.scratch(asked.row_bytes)
    scored = sum(
        search.push_blocks(
            stored, case.blocks, masks, len(case.blocks), asked, query, k, held.at, scratch
        )
        for query in range(asked.nq)
    )
    return held, scored


@pytest.mark.parametrize("name", PROGRAMS)
def test_one_query_meets_decoded_blocks(name):
    case = Case(name, 300)
    assert score.is_multiplied(case.stored.program, case.stored.segments) == is_decoded(case.fields)
    if not is_decoded(case.fields):
        return
    operands, allowed = case.prepare(3), case.rng.random(300) < 0.6
    masks = masks_of(300, allowed)
    for k in (1, 10, 301):
        held, scored = push(case, case.unbounded, case.asked(operands), k, masks)
        assert scored == 3 * allowed.sum()
        want = top_k(case.scores(operands)[allowed].T, case.ids[allowed], k)
        assert same(case.finish(held, k), want)
        for slack in SLACKS if case.stored.signs else ():
            held, _ = push(case, case.stored, case.asked(operands, slack), k, masks)
            want = top_k(case.limited(operands, slack)[:, allowed], case.ids[allowed], k)
            assert same(case.finish(held, k), want)


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 1])
@pytest.mark.parametrize("n", [1, 31, 32, 33, 500])
def test_masked_rows_are_never_found(n, share):
    case = Case("scalar", n)
    operands, allowed = case.prepare(9), case.rng.random(n) < share
    want = np.ascontiguousarray(case.scores(operands)[allowed].T)
    got = found(case, operands, 7, masks_of(n, allowed))
    assert same(got, top_k(want, case.ids[allowed], 7))


def test_blocks_may_come_in_any_order_and_in_several_calls():
    case = Case("a sketch", 300)
    operands, masks = case.prepare(20), masks_of(300)
    want, held = found(case, operands, 10), None
    for blocks in np.array_split(case.rng.permutation(case.blocks), 3):
        asked = case.asked(operands)
        held = multiply(case, case.unbounded, asked, 10, masks[blocks], blocks, held)
    assert same(case.finish(held, 10), want)


def test_rows_below_the_threshold_are_not_kept():
    case = Case("scalar", 300)
    operands = case.prepare(20)
    scores = case.scores(operands).T
    held = empty(20, 10, 32)
    held.arrays[3][:20] = least = np.sort(scores, axis=1)[:, -4]
    multiply(case, case.unbounded, case.asked(operands), 10, held=held)
    want = top_k(np.where(scores >= least[:, None], scores, F32(-np.inf)), case.ids, 10)
    want[1][want[0] == -np.inf] = -1
    assert same(case.finish(held, 10), want)
