"""What lists add to the scores of their rows: every query with every list's origin, in integers.

Roles are exchanged: queries are coded as rows are, origins prepared as queries are. So one query
meets many origins side by side, and many queries share what is read of an origin.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.program import UNBOUND
from vqindex.kernels.cpu.records import Kept
from vqindex.kernels.cpu.select import count_of, push, row_of, rows_at, shrink, threshold_of

PADDED = 16 * max(simd.SINGLE_QUERIES, simd.TILE_QUERIES)  # lists are a multiple of so many
RAW = 64 * simd.SINGLE_QUERIES  # bytes of a query's sums
_TILE = 64 * simd.TILE_QUERIES


@kernel
def shares(rows, scales, origins, out):
    """reference.routing.shares: of n queries with all lists.

    rows      (n, width) int8, width a multiple of 64; scales (n,) float32
    origins   a records.Asked of one segment, packed; its queries are a multiple of PADDED
    out       (n, >= lists padded) float32
    """
    n, width = rows.shape
    levels = np.empty((n, width), np.uint8)
    raw = np.empty(max(simd.TILE_ROWS * _TILE, RAW) // 4, np.int32)
    source, bytes_, sums = simd.address_of(rows), simd.address_of(levels), simd.address_of(raw)
    for at in range(0, n * width, 64):
        simd.store(bytes_ + at, simd.to_row_bytes(simd.load(source + at)))
    tiled = n - n % simd.TILE_ROWS
    simd.tiles_begin()
    for v in range(0, origins.padded // 16 if tiled > 0 else 0, simd.TILE_QUERIES):
        packed, seed = origins.packed + 16 * v * width, origins.seed + 64 * v
        for row in range(0, tiled, simd.TILE_ROWS):
            simd.dot_tile(bytes_ + row * width, width, packed, 16 * width, width // 4, seed, sums,
                          _TILE)  # fmt: skip
            for r in range(simd.TILE_ROWS):
                for i in range(simd.TILE_QUERIES):
                    at = sums + _TILE * r + 64 * i
                    to = simd.address_of(out) + 4 * (row + r) * out.shape[1]
                    _store_shares(at, origins, v + i, scales[row + r], to, False)
    simd.tiles_end()
    for row in range(tiled, n):
        to = simd.address_of(out) + 4 * row * out.shape[1]
        shares_of_one(bytes_ + row * width, width, scales[row], origins, sums, to)
    levels[0, 0] = raw[0]  # or Numba frees them before they are read


@inlined
def shares_of_one(levels, width, scale, origins, sums, to):
    """`shares` of one query at address `to`; sums: RAW bytes of scratch.

    levels   address of its `width` row bytes, see simd.to_row_bytes
    """
    for v in range(0, origins.padded // 16, simd.SINGLE_QUERIES):
        packed, seed = origins.packed + 16 * v * width, origins.seed + 64 * v
        simd.dot_single(levels, width, packed, 16 * width, width // 4, seed, sums, RAW)
        for i in range(simd.SINGLE_QUERIES):
            _store_shares(sums + 64 * i, origins, v + i, scale, to, False)


@inlined
def fine_shares_of_one(levels, fine, width, scale, origins, sums, to):
    """`shares_of_one`, with those of what its bytes leave of a query, see encode.to_fine_bytes."""
    for v in range(0, origins.padded // 16, simd.SINGLE_QUERIES):
        packed, seed = origins.packed + 16 * v * width, origins.seed + 64 * v
        simd.dot_single(levels, width, packed, 16 * width, width // 4, seed, sums, RAW)
        for i in range(simd.SINGLE_QUERIES):
            _store_shares(sums + 64 * i, origins, v + i, scale, to, False)
        simd.dot_single(fine, width, packed, 16 * width, width // 4, seed, sums, RAW)
        for i in range(simd.SINGLE_QUERIES):
            _store_shares(sums + 64 * i, origins, v + i, scale / np.float32(256), to, True)


@inlined
def _store_shares(sums, origins, vector, scale, to, adds):
    skip = 64 * vector
    total = simd.add_float(simd.to_float(simd.load(sums)), simd.load(origins.half + skip))
    total = simd.multiply_float(total, simd.load(origins.gamma + skip))
    total = simd.multiply_float(total, simd.splat_float(scale))
    if adds:
        total = simd.add_float(simd.load(to + skip), total)
    simd.store(to + skip, total)


@kernel
def choose(lists, at, nprobe, chosen):
    """reference.routing.choose: the lists a query prefers, in no order, in place of `chosen`.

    at       address of its shares, as many as lists padded to a multiple of sixteen
    chosen   a records.Kept of one query, with places for twice as many as there are lists
    """
    chosen = Kept(
        chosen.nq, min(chosen.capacity, 2 * nprobe + 16), chosen.scores, chosen.rows, chosen.counts,
        chosen.thresholds, chosen.reads,
    )  # fmt: skip
    first = np.int64(0)
    simd.store_int64(chosen.counts, first)
    simd.store_float(chosen.thresholds, np.float32(-np.inf))
    for start in range(0, lists.lists, 16):
        score = simd.multiply_float(simd.load(at + 4 * start), simd.load(lists.weights + 4 * start))
        score = simd.add_float(score, simd.load(lists.offsets + 4 * start))
        hits = simd.at_least(score, simd.splat_float(threshold_of(chosen, first)))
        while hits != 0:
            lane = simd.lowest_bit(hits)
            hits &= hits - np.uint32(1)
            number = start + np.int64(lane)
            if number < lists.lists and simd.load_int64(lists.sizes + 8 * number) > 0:
                one = simd.load_float(at + 4 * number) * simd.load_float(lists.weights + 4 * number)
                one += simd.load_float(lists.offsets + 4 * number)
                if one >= threshold_of(chosen, first):
                    push(chosen, first, one, number, nprobe, lists.numbers)
    shrink(chosen, first, nprobe, lists.numbers)


@kernel
def gather(lists, chosen, allowed, blocks, masks):
    """The blocks of chosen lists with rows that may be found: how many.

    allowed         address of (blocks,) uint32, a bit for each row that may, or UNBOUND for all
    blocks, masks   (>= lists.blocks,) int64, uint32: written, each list's in ascending order where
                    its blocks were given to it so
    """
    count, first = np.int64(0), np.int64(0)
    for i in range(count_of(chosen, first)):
        number = row_of(rows_at(chosen, first), i)
        count = gather_one(lists, number, allowed, blocks, masks, count)
    return count


@inlined
def gather_one(lists, number, allowed, blocks, masks, start):
    """`gather` of one list after the first `start` blocks: how many there are then."""
    size = simd.load_int64(lists.sizes + 8 * number)
    block, count = simd.load_int64(lists.heads + 8 * number), start + (size + 31) // 32
    mask = np.uint32(0xFFFFFFFF) >> np.uint32((-size) & 31)
    for place in range(count - 1, start - 1, -1):
        blocks[place] = block
        masks[place] = mask
        mask = np.uint32(0xFFFFFFFF)
        block = simd.load_int64(lists.nexts + 8 * block)
    if allowed != UNBOUND:
        end, count = count, start
        for place in range(start, end):
            bits = np.uint32(simd.load_int(allowed + 4 * blocks[place]))
            if masks[place] & bits != 0:
                blocks[count], masks[count] = blocks[place], masks[place] & bits
                count += 1
    return count


@kernel
def prefer(shares, weights, offsets, out):
    """The list that each row prefers, ties to the lower number.

    shares   (n, >= lists) float32; weights, offsets (lists,); out (n,) int64
    """
    for i in range(out.size):
        best, chosen = np.float32(-np.inf), np.int64(0)
        for number in range(weights.size):
            score = shares[i, number] * weights[number] + offsets[number]
            if score > best:
                best, chosen = score, number
        out[i] = chosen


@kernel
def sum_rows(x, numbers, sums):
    """reference.routing.sum_rows: x (n, d) float32, numbers (n,) int64; added to sums."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            sums[numbers[i], j] += x[i, j]
