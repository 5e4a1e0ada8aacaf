"""Rows named one by one: score them with one query, their codes asked for well ahead."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.bounds import row_bound
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import share_of
from vqindex.kernels.cpu.program import BLOCK
from vqindex.kernels.cpu.score import prefetch_row, score_row
from vqindex.kernels.cpu.select import (
    count_of,
    finish,
    push,
    row_of,
    rows_at,
    scores_at,
    shrink,
    threshold_of,
)

AHEAD = 8  # rows whose codes are on their way while one is scored


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
            score = _score_for(stored, row_of(rows_at(kept, query), i), asked, first + query)
            simd.store_float(scores_at(kept, query) + 4 * i, score)


@kernel
def answer(stored, asked, first, k, kept, answers):
    """Write each query's best k, by bounds where there are any, with their true scores.

    first   the query of `asked` that is the first of `kept` and of `answers`
    """
    if stored.signs > 0:
        unlimit(stored, asked, first, k, kept)
    finish(kept, k, stored.ids, asked.alpha + 4 * first, answers)
