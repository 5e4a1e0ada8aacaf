"""Rows named one by one: score them with one query, their codes asked for well ahead."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.bounds import row_bound
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import share_of
from vqindex.kernels.cpu.finer import again, finer_at, finer_score, reach_of, spread_of
from vqindex.kernels.cpu.program import BLOCK, UNBOUND
from vqindex.kernels.cpu.score import prefetch_row, score_row
from vqindex.kernels.cpu.select import (
    count_of,
    finish,
    partition_best,
    push,
    reads_of,
    row_of,
    rows_at,
    score_of,
    scores_at,
    shrink,
    threshold_of,
)
from vqindex.kernels.cpu.whole import is_whole

AHEAD = 8  # rows whose codes are on their way while one is scored
_WAITING = 64  # rows that may be scored by finer codes before they are


@inlined
def _score_for(stored, row, asked, query):
    score = score_row(
        stored.program, stored.segments, stored.bias, row, asked.entries + query * asked.row_bytes,
        asked.seed + 4 * query, asked.half + 4 * query, asked.gamma + 4 * query, 4 * asked.padded,
    )  # fmt: skip
    return score + share_of(stored, asked, row // BLOCK, query)


@kernel
def push_rows(stored, rows, count, asked, query, k, kept, slot):
    """Score some rows; keep the best by score or, where there are bounds, the smaller of the two.

    rows   address of `count` int64
    slot   the query's place in `kept`
    """
    if asked.finer != UNBOUND:
        _push_twice(stored, rows, count, asked, query, k, kept, slot)
        return
    for i in range(min(count, AHEAD)):
        prefetch_row(stored.program, stored.segments, row_of(rows, i))
    for i in range(count):
        if i + AHEAD < count:
            prefetch_row(stored.program, stored.segments, row_of(rows, i + AHEAD))
        row = row_of(rows, i)
        score = _score_for(stored, row, asked, query)
        if score >= threshold_of(kept, slot):
            if stored.signs > 0:
                score = min(score, row_bound(stored, row, asked, query))
            if score >= threshold_of(kept, slot):
                push(kept, slot, score, row, k, stored.ids)


@kernel
def _push_twice(stored, rows, count, asked, query, k, kept, slot):
    """Of rows that are scored again by finer codes."""
    finer = finer_at(asked.finer)
    reach, before = np.float32(0), np.int64(-1)
    limits, named = np.empty(_WAITING, np.float32), np.empty(_WAITING, np.int64)
    waiting = np.int64(0)
    for i in range(min(count, AHEAD)):
        prefetch_row(stored.program, stored.segments, row_of(rows, i))
    for i in range(count):
        if i + AHEAD < count:
            prefetch_row(stored.program, stored.segments, row_of(rows, i + AHEAD))
        row = row_of(rows, i)
        if row // BLOCK != before:
            before = row // BLOCK
            reach = reach_of(stored, asked, finer, query, before)
        limit = _score_for(stored, row, asked, query) + reach * spread_of(stored, row)
        if limit >= threshold_of(kept, slot):
            limit = min(limit, row_bound(stored, row, asked, query))
            if limit >= threshold_of(kept, slot):
                prefetch_row(finer.program, finer.segments, row)
                limits[waiting], named[waiting] = limit, row
                waiting += 1
        if waiting == _WAITING or (i == count - 1 and waiting > 0):
            _push_waiting(stored, limits, named, waiting, finer, asked, query, k, kept, slot)
            waiting = np.int64(0)


@inlined
def _push_waiting(stored, limits, named, count, finer, asked, query, k, kept, slot):
    """Score rows by finer codes, those of highest bound first: few others reach the best of them.

    limits, named   (>= count,): bounds and rows
    """
    scores, rows = simd.address_of(limits), simd.address_of(named)
    if k < count:
        partition_best(scores, rows, count, k, stored.ids)
    for i in range(count):
        if i == k:
            shrink(kept, slot, k, stored.ids)
        if score_of(scores, i) >= threshold_of(kept, slot):
            row = row_of(rows, i)
            score = again(finer, row, score_of(scores, i), asked, query, kept, slot)
            if score >= threshold_of(kept, slot):
                push(kept, slot, score, row, k, stored.ids)
    limits[0], named[0] = 0, 0  # or Numba frees them before they are read


@kernel
def top_k_rows(stored, rows, asked, query, k, kept):
    """Keep one query's best rows among those listed; kept is of that query alone."""
    at, slot = simd.address_of(rows), np.int64(0)
    push_rows(stored, at, rows.size, asked, query, k, kept, slot)


@kernel
def unlimit(stored, asked, first, k, kept):
    """Put the scores of each query's best k in place of those that bounds have limited.

    first   the query of `asked` that is the first of `kept`
    """
    for query in range(kept.nq):
        shrink(kept, query, k, stored.ids)
        for i in range(count_of(kept, query)):
            row = row_of(rows_at(kept, query), i)
            if asked.finer != UNBOUND:
                score = finer_score(finer_at(asked.finer), row, first + query)
            else:
                score = _score_for(stored, row, asked, first + query)
            simd.store_float(scores_at(kept, query) + 4 * i, score)


@kernel
def answer(stored, asked, first, k, kept, answers):
    """Write each query's best k, by bounds where there are any, with their true scores.

    first   the query of `asked` that is the first of `kept` and of `answers`
    returns how many rows were scored by finer codes
    """
    alpha, reads = asked.alpha, np.int64(0)
    if asked.finer != UNBOUND:
        alpha = finer_at(asked.finer).alpha
    if stored.signs > 0 and not is_whole(stored, asked):
        unlimit(stored, asked, first, k, kept)
    finish(kept, k, stored.ids, alpha + 4 * first, answers)
    for query in range(kept.nq):
        reads += reads_of(kept, query)
    return reads
