"""Rows that wait to be scored, because their bounds reach the k-th best score so far.

Once many wait, those of highest bound are scored and raise it for the others. 4-bit codes of a
block's 32 rows are scored together, which takes no longer than one of them by itself.

waiting   a records.Kept; its `reads` are how many rows of a block are scored rather than wait
"""

import numpy as np

from vqindex.kernels.cpu import simd, tables, twins
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import field, int64_at
from vqindex.kernels.cpu.program import BITS, BLOCK, NIBBLES, OPERAND
from vqindex.kernels.cpu.rows import push_rows
from vqindex.kernels.cpu.select import (
    count_of,
    push,
    put,
    reads_of,
    row_of,
    rows_at,
    score_of,
    scores_at,
    shrink,
    swap,
    threshold_of,
)
from vqindex.kernels.cpu.whole import codes_at, columns_of, finished, reached_of

_HALVINGS = 12  # of a range, to find a number between floats
_ANY = np.int64(-1)  # below every id
_MANY = 4  # rows of a block that are scored at once rather than wait


@inlined
def none_waits(waiting, slot, kept, query):
    """Empty a query's room; what rows must reach to enter it."""
    least = threshold_of(kept, query)
    simd.store_int64(waiting.counts + 8 * slot, np.int64(0))
    simd.store_int64(waiting.reads + 8 * slot, np.int64(_MANY))
    simd.store_float(waiting.thresholds + 4 * slot, least)
    twins.forget(waiting, slot)
    return least


@inlined
def _most(waiting):
    """How many rows may wait, and one more block's."""
    return waiting.capacity - twins.PLACES - BLOCK


@inlined
def meet(stored, block, hits, asked, query, slot, k, kept, waiting, lines):
    """Let rows of a block wait, or score them at once; how many were scored.

    hits    bit r is set for row r
    lines   address of the block's 32 bounds
    """
    hits = twins.others(stored, block, hits, waiting, slot)
    many = simd.count_bits(hits)
    if many >= reads_of(waiting, slot) and _crowd(
        stored, block, hits, asked, query, slot, k, kept, waiting, lines
    ):
        return np.int64(many)
    _let_wait(waiting, slot, block, hits, lines)
    if count_of(waiting, slot) <= _most(waiting):
        return np.int64(0)
    return settle(stored, asked, query, slot, k, kept, waiting, _most(waiting) // 2, lines)


@inlined
def _let_wait(waiting, slot, block, hits, lines):
    count, scores, rows = count_of(waiting, slot), scores_at(waiting, slot), rows_at(waiting, slot)
    while hits != 0:
        r = simd.lowest_bit(hits)
        hits &= hits - np.uint32(1)
        put(scores, rows, count, score_of(lines, r), block * BLOCK + r)
        count += 1
    simd.store_int64(waiting.counts + 8 * slot, count)


@kernel
def _crowd(stored, block, hits, asked, query, slot, k, kept, waiting, lines):
    """Score many rows of 4-bit codes at once, when k have been; whether they were."""
    if field(stored.program, BITS) != NIBBLES or threshold_of(kept, query) == -np.inf:
        return False
    _push_block(stored, block, hits, asked, query, slot, k, kept, waiting, lines)
    least = max(threshold_of(waiting, slot), threshold_of(kept, query))
    simd.store_float(waiting.thresholds + 4 * slot, least)
    return True


@kernel
def settle(stored, asked, query, slot, k, kept, waiting, room, lines):
    """Score waiting rows, those of highest bound first, until no more than `room` reach the k-th.

    Where most had to be scored, rows that come later are not made to wait.

    returns how many were scored
    """
    count, least, scored = count_of(waiting, slot), threshold_of(waiting, slot), np.int64(0)
    scores, rows = scores_at(waiting, slot), rows_at(waiting, slot)
    while count > room:
        some = _to_front(scores, rows, count, k) if scored == 0 else count
        _push_waiting(stored, some, asked, query, slot, k, kept, waiting, lines)
        shrink(kept, query, k, stored.ids)
        scored += some
        least, left = max(least, threshold_of(kept, query)), np.int64(0)
        for i in range(some, count):
            if score_of(scores, i) >= least:
                put(scores, rows, left, score_of(scores, i), row_of(rows, i))
                left += 1
        count = left
    simd.store_int64(waiting.counts + 8 * slot, count)
    simd.store_float(waiting.thresholds + 4 * slot, least)
    if 2 * scored > waiting.capacity:
        simd.store_int64(waiting.reads + 8 * slot, np.int64(1))
    return scored


@inlined
def _to_front(scores, rows, count, k):
    """Move at least k of the rows of highest bound to the front, in no order; how many."""
    pivot, some = _pivot(scores, count, k), np.int64(0)
    for i in range(count):
        if score_of(scores, i) >= pivot:
            swap(scores, rows, i, some)
            some += 1
    return some


@inlined
def _pivot(scores, count, k):
    """A number that at least k of some floats reach, all if there are fewer, and few more do."""
    low = high = score_of(scores, 0)
    for i in range(1, count):
        low, high = min(low, score_of(scores, i)), max(high, score_of(scores, i))
    for _ in range(_HALVINGS):
        middle = low + (high - low) * np.float32(0.5)
        reached = _count_reached(scores, count, middle)
        if reached >= k:
            low = middle
            if reached <= 2 * k:
                break
        else:
            high = middle
    return low


@inlined
def _count_reached(scores, count, least):
    reached, each = np.int64(0), simd.splat_float(least)
    for i in range(0, count, 16):
        hits = simd.at_least(simd.load(scores + 4 * i), each)
        left = min(count - i, np.int64(16))
        reached += simd.count_bits(hits & np.uint32((np.int64(1) << left) - 1))
    return reached


@inlined
def _push_waiting(stored, count, asked, query, slot, k, kept, waiting, lines):
    """Score the first rows: of 4-bit codes by the block, which takes no longer than one of them."""
    scores, rows = scores_at(waiting, slot), rows_at(waiting, slot)
    if field(stored.program, BITS) != NIBBLES:
        push_rows(stored, rows, count, asked, query, k, kept, query)
        return
    hits = np.uint32(0)
    for i in range(count):
        row = row_of(rows, i)
        inside = row % BLOCK
        simd.store_float(lines + 4 * inside, score_of(scores, i))
        hits |= np.uint32(1) << np.uint32(inside)
        if i == count - 1 or row_of(rows, i + 1) // BLOCK != row // BLOCK:
            _push_block(stored, row // BLOCK, hits, asked, query, slot, k, kept, waiting, lines)
            hits = np.uint32(0)


@inlined
def _push_block(stored, block, hits, asked, query, slot, k, kept, waiting, lines):
    """Score a block's 32 rows together, and keep those that are wanted and good enough."""
    columns, least = columns_of(stored), threshold_of(kept, query)
    entries = asked.entries + query * asked.row_bytes + field(stored.program, OPERAND)
    low, high = tables.word_sums(
        codes_at(columns, block), 8 * columns.row_bytes, columns.words, entries
    )
    half = simd.splat_float(simd.load_float(asked.half + 4 * query))
    gamma = simd.splat_float(simd.load_float(asked.gamma + 4 * query))
    low = simd.multiply_float(simd.add_float(simd.to_float(low), half), gamma)
    high = simd.multiply_float(simd.add_float(simd.to_float(high), half), gamma)
    low, high = finished(columns, stored, block, asked, query, low, high)
    low = simd.min_float(low, simd.load(lines))
    high = simd.min_float(high, simd.load(lines + 64))
    below = hits & ~reached_of(low, high, least)
    if below != 0:
        twins.remember(stored, waiting, slot, block * BLOCK + simd.lowest_bit(below), _ANY)
    hits ^= below
    if hits == 0:
        return
    simd.store(lines, low)
    simd.store(lines + 64, high)
    most = simd.splat_float(least)
    tied = hits & (simd.at_least(most, low) | (simd.at_least(most, high) << np.uint32(16)))
    if tied != 0:
        before, last = _before(stored, tied, block, kept, query, k)
        if before != tied:
            twin = block * BLOCK + simd.lowest_bit(tied ^ before)
            twins.remember(stored, waiting, slot, twin, last)
        hits ^= tied ^ before
    while hits != 0:
        r = simd.lowest_bit(hits)
        hits &= hits - np.uint32(1)
        if score_of(lines, r) >= threshold_of(kept, query):
            push(kept, query, score_of(lines, r), block * BLOCK + r, k, stored.ids)


@inlined
def _before(stored, hits, block, kept, query, k):
    """Of the rows of a block that have the k-th best score, those of an id below some kept.

    And the highest id of those kept that have it.
    """
    if count_of(kept, query) > k:
        shrink(kept, query, k, stored.ids)
    least, last, found = threshold_of(kept, query), np.int64(-1), np.uint32(0)
    scores, rows = scores_at(kept, query), rows_at(kept, query)
    for i in range(count_of(kept, query)):
        if score_of(scores, i) == least:
            last = max(last, int64_at(stored.ids, row_of(rows, i)))
    while hits != 0:
        r = simd.lowest_bit(hits)
        hits &= hits - np.uint32(1)
        if int64_at(stored.ids, block * BLOCK + r) < last:
            found |= np.uint32(1) << np.uint32(r)
    return found, last
