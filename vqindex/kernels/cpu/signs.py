"""Whole searches by signs: bounds of every row first, full codes for the rows they leave.

The rows of highest bound are scored first: they give a threshold that few other bounds reach. Rows
are taken by the slab, so that a slab's bounds, cut to half of their bits, stay in the cache;
queries by the GROUP.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.bounds import (
    LANES,
    group_bounds,
    prefetch_codes,
    row_bound,
    run_bounds,
    store_factors,
    store_indexes,
)
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fastscan import FEW, scan_one, scan_some
from vqindex.kernels.cpu.fields import block_at, int64_at, share_of
from vqindex.kernels.cpu.lookups import TOGETHER
from vqindex.kernels.cpu.program import BLOCK, SLAB, UNBOUND
from vqindex.kernels.cpu.records import HIGHEST, RUN
from vqindex.kernels.cpu.rows import push_rows
from vqindex.kernels.cpu.score import is_multiplied
from vqindex.kernels.cpu.search import push_block
from vqindex.kernels.cpu.select import (
    count_of,
    push,
    row_of,
    rows_at,
    score_of,
    scores_at,
    shrink,
    threshold_of,
)
from vqindex.kernels.cpu.whole import is_whole

GROUP = 32  # queries whose bounds are kept at a time
SLAB_BLOCKS = 4096  # bounded at a time
_LISTED = 256  # rows that are listed before they are scored
_DENSE = 8  # rows of a block from which all of it is decoded
_AHEAD = 1  # blocks whose codes are asked for ahead of their use
_RUNS_AHEAD = 2  # blocks of the next run whose codes are asked for
_CUT = 64  # bytes of a block's bounds
_LOWEST = np.float32(-3.4028235e38)


@kernel
def top_k_one(stored, blocks, masks, count, asked, query, k, kept, highest, scratch):
    """Keep one query's best rows among those of the first `count` blocks; how many were scored.

    Arguments as those of `top_k_signs`.
    """
    if k <= FEW and is_whole(stored, asked):
        return scan_one(stored, blocks, masks, count, asked, query, k, kept, highest, scratch)
    scored = np.int64(0)
    for top in range(0, count, scratch.slab):
        here = min(scratch.slab, count - top)
        _start(highest, np.int64(0), kept, query)
        _bounds_of_one(stored, blocks, masks, top, here, asked, query, k, highest, scratch)
        scored += _score(
            stored, blocks, top, here, asked, query, np.int64(0), k, kept, highest, scratch
        )
    return scored


@inlined
def _start(highest, slot, kept, query):
    """No row is among a query's highest, and those below its threshold never will be."""
    simd.store_int64(highest.counts + 8 * slot, np.int64(0))
    simd.store_float(highest.thresholds + 4 * slot, max(threshold_of(kept, query), _LOWEST))


@kernel
def top_k_signs(stored, blocks, masks, asked, k, kept, highest, scratch):
    """Keep each query's best rows among those of some blocks; how many were scored.

    blocks, masks   (b,) int64, (b,) uint32: bit r of a mask says whether row r takes part
    stored, asked, kept, scratch   see records
    highest         see records.highest
    """
    if asked.nq == 1:
        return top_k_one(
            stored, blocks, masks, blocks.size, asked, np.int64(0), k, kept, highest, scratch
        )
    scored = np.int64(0)
    for first in range(0, asked.nq, GROUP):
        count = min(np.int64(GROUP), asked.nq - first)
        if k <= FEW and is_whole(stored, asked):
            scored += scan_some(
                stored, blocks, masks, asked, first, count, k, kept, highest, scratch
            )
            continue
        for top in range(0, blocks.size, scratch.slab):
            here = min(scratch.slab, blocks.size - top)
            for slot in range(count):
                _start(highest, slot, kept, first + slot)
            _bounds_of_many(
                stored, blocks, masks, top, here, asked, first, count, k, highest, scratch
            )
            for slot in range(count):
                scored += _score(stored, blocks, top, here, asked, first, slot, k, kept, highest,
                                 scratch)  # fmt: skip
    return scored


@inlined
def _bounds_of_one(stored, blocks, masks, top, here, asked, query, k, highest, scratch):
    """Of one query, that has the first place among the highest."""
    b = np.int64(0)
    while b < here:
        count, block = _run(blocks, masks, top + b, top + here), blocks[top + b]
        for i in range(_RUNS_AHEAD):  # lists lie anywhere: nothing else foresees the next one
            prefetch_codes(stored, blocks[top + min(b + count + i, here - 1)])
        if masks[top + b] != 0:
            run_bounds(stored, block, count, asked, query, scratch.indexes, scratch.lines)
        for i in range(count):
            lines, out = scratch.lines + LANES * i, scratch.bounds + _CUT * (b + i)
            share = share_of(stored, asked, block + i, query)
            _keep(stored, block + i, masks[top + b + i], share, lines, out, k, highest)
        b += count


@inlined
def _run(blocks, masks, start, stop):
    """How many blocks follow each other in one slab, all with rows that take part or all without.

    At most RUN.
    """
    count = np.int64(1)
    last = min(stop, start + RUN)
    while (
        start + count < last
        and blocks[start + count] == blocks[start] + count
        and blocks[start + count] % SLAB != 0
        and (masks[start + count] == 0) == (masks[start] == 0)
    ):
        count += 1
    return count


@inlined
def _bounds_of_many(stored, blocks, masks, top, here, asked, first, count, k, highest, scratch):
    width = LANES * (stored.signs + 1)
    for start in range(0, here, scratch.span):
        span = min(scratch.span, here - start)
        for b in range(span):
            block, mask = blocks[top + start + b], masks[top + start + b]
            store_indexes(stored, block, scratch.indexes + scratch.index_bytes * b)
            store_factors(stored, block, mask, scratch.factors + width * b)
        for slot in range(0, count, TOGETHER):
            query, some = first + slot, min(np.int64(TOGETHER), count - slot)
            for b in range(span):
                block, factors = blocks[top + start + b], scratch.factors + width * b
                if slot == 0:  # those after it find them in a nearer cache
                    prefetch_codes(stored, blocks[min(top + start + b + _AHEAD, blocks.size - 1)])
                indexes = scratch.indexes + scratch.index_bytes * b
                group_bounds(stored, block, indexes, factors, asked, query, some, scratch.sums,
                             scratch.lines)  # fmt: skip
                bias, out = factors + width - LANES, scratch.bounds + _CUT * (start + b)
                out, step = out + _CUT * scratch.slab * slot, _CUT * scratch.slab
                for i in range(some):
                    share = share_of(stored, asked, block, query + i)
                    simd.store_float(scratch.sums + 4 * i, share)
                least = highest.thresholds + 4 * slot
                hits = _cut(scratch.lines, bias, scratch.sums, out, step, least, some)
                while hits != 0:
                    i = simd.lowest_bit(hits)
                    hits &= hits - np.uint32(1)
                    lines = scratch.lines + LANES * i
                    _push_reached(lines, k, highest, slot + i, block, stored.ids)


@kernel
def _cut(lines, biases, shares, out, step, thresholds, some):
    """Add biases and shares to a block's bounds for some queries, and write them cut as well.

    returns bit i set where a bound reaches the i-th threshold
    """
    hits = np.uint32(0)
    bias, more = simd.load(biases), simd.load(biases + 64)
    for i in range(some):
        low = simd.add_float(simd.load(lines), bias)
        high = simd.add_float(simd.load(lines + 64), more)
        share = simd.splat_float(simd.load_float(shares + 4 * i))
        low, high = simd.add_float(low, share), simd.add_float(high, share)
        simd.store(lines, low)
        simd.store(lines + 64, high)
        simd.store(out, simd.cut_keys(low, high))
        reached = _reached(low, high, simd.load_float(thresholds + 4 * i)) != 0
        hits |= np.uint32(reached) << np.uint32(i)
        lines += LANES
        out += step
    return hits


@inlined
def _keep(stored, block, mask, share, lines, out, k, highest):
    """Write a block's bounds, cut, and let those that are high enough be among the highest."""
    low, high = simd.load(lines), simd.load(lines + 64)
    if stored.bias != UNBOUND:
        at = block_at(stored.bias, block, 4)
        low, high = simd.add_float(low, simd.load(at)), simd.add_float(high, simd.load(at + 64))
    if stored.owners != UNBOUND:
        more = simd.splat_float(share)
        low, high = simd.add_float(low, more), simd.add_float(high, more)
    if mask != np.uint32(0xFFFFFFFF):
        none = simd.splat_float(np.float32(-np.inf))
        low = simd.choose(low, mask, none)
        high = simd.choose(high, mask >> np.uint32(16), none)
    simd.store(out, simd.cut_keys(low, high))
    if _reached(low, high, threshold_of(highest, 0)) != 0:
        simd.store(lines, low)
        simd.store(lines + 64, high)
        _push_reached(lines, k, highest, np.int64(0), block, stored.ids)


@inlined
def _push_reached(lines, k, highest, slot, block, ids):
    """Let those of a block's bounds that are high enough be among the highest."""
    hits = _reached(simd.load(lines), simd.load(lines + 64), threshold_of(highest, slot))
    while hits != 0:
        r = simd.lowest_bit(hits)
        hits &= hits - np.uint32(1)
        push(highest, slot, score_of(lines, r), block * BLOCK + r, k + HIGHEST, ids)


@inlined
def _reached(low, high, threshold):
    """Bit r is set where bound r reaches the threshold."""
    least = simd.splat_float(threshold)
    return simd.at_least(low, least) | (simd.at_least(high, least) << np.uint32(16))


@kernel
def _score(stored, blocks, top, here, asked, first, slot, k, kept, highest, scratch):
    """Score the rows of a slab whose bounds reach a query's threshold; how many."""
    query, wanted = first + slot, k + HIGHEST
    shrink(highest, slot, wanted, stored.ids)
    scored = count_of(highest, slot)
    best = rows_at(highest, slot)
    push_rows(stored, best, scored, asked, query, k, kept, query)
    shrink(kept, query, k, stored.ids)
    if scored < wanted:
        return scored  # all that reached the threshold there was before
    lowest = threshold_of(highest, slot)
    last, most = _keys(lowest)  # rows above it are scored, some of those at it
    last_id = _greatest_id(stored, highest, slot, wanted, lowest)
    is_dense = asked.finer == UNBOUND and is_multiplied(stored.program, stored.segments)
    listed, at = np.empty(_LISTED, np.int64), scratch.bounds + _CUT * scratch.slab * slot
    rows, waiting = simd.address_of(listed), np.int64(0)
    for b in range(here):
        keys, tied = simd.load(at + _CUT * b), np.uint32(0)
        hits = simd.keys_at_least(keys, _keys(max(threshold_of(kept, query), _LOWEST))[0])
        if hits != 0:
            hits &= ~simd.keys_at_least(keys, most + np.int32(1))
            tied = hits & simd.keys_at_least(keys, last)
        before, mask = waiting, np.uint32(0)
        while hits != 0:
            bit = simd.lowest_bit(hits)
            hits &= hits - np.uint32(1)
            inside = (bit >> 1) + BLOCK // 2 * (bit & 1)
            row = blocks[top + b] * BLOCK + inside
            is_tied = (tied >> np.uint32(bit)) & np.uint32(1) != 0
            if not is_tied or not _is_scored(stored, row, asked, query, lowest, last_id):
                simd.store_int64(rows + 8 * waiting, row)
                mask |= np.uint32(1) << np.uint32(inside)
                waiting += 1
        if is_dense and waiting - before >= _DENSE:
            push_block(stored, blocks[top + b], mask, asked, query, k, kept, scratch)
            scored += waiting - before
            waiting = before
        if waiting > _LISTED - BLOCK or b == here - 1:
            push_rows(stored, rows, waiting, asked, query, k, kept, query)
            if 8 * count_of(kept, query) > 9 * k:
                shrink(kept, query, k, stored.ids)
            scored += waiting
            waiting = np.int64(0)
    listed[0] = 0  # or Numba frees them before they are read
    return scored


@inlined
def _keys(bound):
    """The least and the greatest key of bounds that are equal to one when cut: zero has two."""
    key = simd.cut_key(bound)
    return key - np.int32(key == 0), key + np.int32(key == -1)


@inlined
def _greatest_id(stored, highest, slot, count, bound):
    """Of the rows of highest bound that have this one, the greatest id."""
    scores, rows, last = scores_at(highest, slot), rows_at(highest, slot), np.int64(-1)
    for i in range(count):
        if score_of(scores, i) == bound:
            last = max(last, int64_at(stored.ids, row_of(rows, i)))
    return last


@inlined
def _is_scored(stored, row, asked, query, lowest, last_id):
    """Whether a row is among those of highest bound: by bound, and then by id."""
    bound = row_bound(stored, row, asked, query)
    return bound > lowest or (bound == lowest and int64_at(stored.ids, row) <= last_id)
