"""Whole searches of chosen lists, list after list: each is decoded once for all who prefer it.

A list that one query in sixteen looks into is met by some sixty of a thousand. Multiplying decoded
rows with sixty queries costs each of them less than looking up the rows' signs. Rows are kept by
their scores, some more than are wanted, and bounded at the end.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.bounds import row_bound
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.finer import again, finer_at, reach_of
from vqindex.kernels.cpu.probe import look_into
from vqindex.kernels.cpu.program import BITS, BLOCK, BYTE_ROWS, UNBOUND
from vqindex.kernels.cpu.records import Asked
from vqindex.kernels.cpu.routing import gather_one
from vqindex.kernels.cpu.score import CHUNK, LINE
from vqindex.kernels.cpu.search import decode, multiply, raise_row
from vqindex.kernels.cpu.select import (
    count_of,
    push,
    row_of,
    rows_at,
    scores_at,
    shrink,
    threshold_of,
)
from vqindex.kernels.cpu.signs import top_k_one

SPARE = 8  # rows kept beyond k: bounds may fail for so many before a query is asked by itself


@kernel
def top_k_grouped(
    stored, lists, asked, nprobe, allowed, chosen, k, kept, highest, alone, stats, room, scratch
):  # fmt: skip
    """probe.top_k_lists, list after list.

    stored .. stats  as there, `alone` its scratch; kept has room for k + SPARE
    room             an Asked with places for all queries of `asked`, written over and over
    scratch          records.Scratch
    """
    blocks, masks = np.empty(lists.blocks, np.int64), np.empty(lists.blocks, np.uint32)
    starts, queries = _members(lists, asked, nprobe, allowed, chosen, k, blocks, masks, stats)
    thresholds = np.empty(room.padded, np.float32)
    reaches = np.empty(room.padded, np.float32)
    simd.tiles_begin()
    for number in range(lists.lists):
        members = queries[starts[number] : starts[number + 1]]
        if members.size == 0:
            continue
        count = gather_one(lists, number, allowed, blocks, masks, np.int64(0))
        group = _packed(stored, asked, members, number, room)
        for i in range(thresholds.size if count > 0 else 0):
            some = i < members.size
            thresholds[i] = threshold_of(kept, members[i]) if some else np.float32(np.nan)
            if some and asked.finer != UNBOUND:
                finer = finer_at(asked.finer)
                reaches[i] = reach_of(stored, asked, finer, members[i], blocks[0])
        for b in range(count):
            decode(stored, blocks[b], group, scratch)
            stats[2] += members.size * simd.count_bits(masks[b])
            for first in range(0, group.padded, CHUNK):
                multiply(stored, blocks[b], group, first, scratch, scratch.tile)
                _push_tile(stored, blocks[b], masks[b], asked, members, first, thresholds, reaches,
                           k + SPARE, kept, scratch.tile)  # fmt: skip
    simd.tiles_end()
    for query in range(asked.nq if stored.signs > 0 else 0):
        if not _bounded(stored, asked, query, k, kept):
            simd.store_int64(kept.counts + 8 * query, np.int64(0))
            simd.store_float(kept.thresholds + 4 * query, np.float32(-np.inf))
            at, unseen = asked.shares + 4 * query * asked.lists, np.zeros(3, np.int64)
            count = look_into(lists, at, nprobe, allowed, chosen, k, blocks, masks, unseen)
            stats[2] += top_k_one(
                stored, blocks, masks, count, asked, query, k, kept, highest, alone
            )


@inlined
def _bounded(stored, asked, query, k, kept):
    """Bound the rows that were kept; whether the best k by the smaller of both must be there.

    A row that is not has no better score than any of these, so k whose bounds hold go before it.
    """
    shrink(kept, query, k + SPARE, stored.ids)
    count, failed = count_of(kept, query), np.int64(0)
    for i in range(count):
        at = scores_at(kept, query) + 4 * i
        bound = row_bound(stored, row_of(rows_at(kept, query), i), asked, query)
        if bound < simd.load_float(at):
            simd.store_float(at, bound)
            failed += 1
    return failed <= SPARE or count < k + SPARE


@inlined
def _members(lists, asked, nprobe, allowed, chosen, k, blocks, masks, stats):
    """The queries that look into each list: those of list i at queries[starts[i]:starts[i + 1]]."""
    starts, pairs = np.zeros(lists.lists + 1, np.int64), np.int64(0)
    numbers = np.empty(2 * asked.nq * min(nprobe, lists.lists), np.int64)
    askers = np.empty(numbers.size, np.int64)
    for query in range(asked.nq):
        at = asked.shares + 4 * query * asked.lists
        look_into(lists, at, nprobe, allowed, chosen, k, blocks, masks, stats)
        count = count_of(chosen, np.int64(0))
        if pairs + count > numbers.size:
            more = np.empty(pairs + count, np.int64)
            numbers, askers = np.concatenate((numbers, more)), np.concatenate((askers, more))
        for i in range(count):
            numbers[pairs] = row_of(rows_at(chosen, np.int64(0)), i)
            askers[pairs] = query
            starts[numbers[pairs] + 1] += 1
            pairs += 1
    for number in range(lists.lists):
        starts[number + 1] += starts[number]
    ends, queries = starts.copy(), np.empty(pairs, np.int64)
    for i in range(pairs):
        queries[ends[numbers[i]]] = askers[i]
        ends[numbers[i]] += 1
    return starts, queries


@inlined
def _packed(stored, asked, members, number, room):
    """The queries of a list side by side, as multiplying takes them."""
    count, row_bytes = members.size, asked.row_bytes
    padded = (count + 15) // 16 * 16
    is_float = simd.load_int64(stored.program + 8 * BITS) < BYTE_ROWS
    for i in range(count):
        source = asked.entries + members[i] * row_bytes
        if is_float:
            for at in range(0, row_bytes, 64):
                simd.store(room.packed + i * row_bytes + at, simd.load(source + at))
        else:
            to = room.packed + 16 * (i // 16) * row_bytes + 4 * (i % 16)
            for at in range(0, row_bytes, 4):
                simd.store_int(to + 16 * at, simd.load_int(source + at))
        share = simd.load_float(asked.shares + 4 * (members[i] * asked.lists + number))
        simd.store_float(room.shares + 4 * i, share)
        for s in range(stored.segments):
            here, there = 4 * (s * asked.padded + members[i]), 4 * (s * padded + i)
            simd.store_int(room.seed + there, simd.load_int(asked.seed + here))
            simd.store_float(room.half + there, simd.load_float(asked.half + here))
            simd.store_float(room.gamma + there, simd.load_float(asked.gamma + here))
    return Asked(
        count, padded, room.entries, row_bytes, room.packed, room.seed, room.half, room.gamma,
        room.alpha, room.tables, room.table_bytes, room.base, room.unit,
        room.shares - 4 * number, np.int64(1), np.int64(UNBOUND),
    )  # fmt: skip


@inlined
def _push_tile(stored, block, mask, asked, members, first, thresholds, reaches, k, kept, tile):
    """Keep the rows of a multiplied block whose scores reach the thresholds."""
    last = min(first + CHUNK, members.size)
    least = simd.address_of(thresholds)
    for r in range(BLOCK):
        if (mask >> np.uint32(r)) & np.uint32(1) == 0:
            continue
        row = block * BLOCK + r
        if asked.finer != UNBOUND:
            reach = simd.address_of(reaches) + 4 * first
            raise_row(stored, row, reach, tile + LINE * r, last - first)
        for start in range(first, last, 16):
            at = tile + LINE * r + 4 * (start - first)
            hits = simd.at_least(simd.load(at), simd.load(least + 4 * start))
            while hits != 0:
                lane = simd.lowest_bit(hits)
                hits &= hits - np.uint32(1)
                place = start + np.int64(lane)
                query, score = members[place], simd.load_float(at + 4 * np.int64(lane))
                if asked.finer != UNBOUND:
                    score = again(finer_at(asked.finer), row, score, asked, query, kept, query)
                    if score < thresholds[place]:
                        continue
                push(kept, query, score, row, k, stored.ids)
                thresholds[place] = threshold_of(kept, query)
