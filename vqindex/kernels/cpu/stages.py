"""One query in two stages: bounds from the sign plane of every row, full codes for survivors."""

import numpy as np

from vqindex.kernels.cpu import scalar, simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import block_at, field, segment_at
from vqindex.kernels.cpu.program import BLOCK, PLANE, PLANE_WORDS, SCALE, UNBOUND, WORDS
from vqindex.kernels.cpu.search import push_rows
from vqindex.kernels.cpu.select import better, lowest_of, partition_best, push


@kernel
def plane_bounds(
    program, segments, bias, ratio, blocks, masks, bit_planes, half, gamma, slack, sums, out
):  # fmt: skip
    """An upper bound of every row's score, from the signs of its first `segments` segments.

        bound = (sum over segments of (raw + half) * gamma + slack) * scale * ratio + bias

    raw is minus the sum of the query's entries where the sign is negative. For a code of one bit,
    ratio UNBOUND and slack 0, this is the score itself.

    bias, ratio   slab tables of a float32 and a float16 column, or UNBOUND
    bit_planes    address of the query's bit planes, segment after segment of (8, words) uint64
    half, gamma   addresses of (segments,) float32
    sums          scratch (32,) int32; out (blocks, 32) float32, -inf for rows not in the mask
    """
    zero = simd.splat(np.int32(0))
    more = simd.splat_float(slack)
    sums_at, program_at = simd.address_of(sums), simd.address_of(program)
    scales = field(program_at, SCALE)
    for i in range(blocks.size):
        block = blocks[i]
        if masks[i] == 0:
            out[i] = -np.inf
            continue
        low = high = simd.splat_float(np.float32(0))
        planes = bit_planes
        for s in range(segments):
            segment = segment_at(program_at, s)
            plane = block_at(field(segment, PLANE), block, 8 * field(segment, PLANE_WORDS))
            scalar.plane_sums(plane, segment, planes, sums_at)
            planes += 64 * field(segment, WORDS)
            middle = simd.splat_float(simd.load_float(half + 4 * s))
            unit = simd.splat_float(simd.load_float(gamma + 4 * s))
            part = simd.add_float(simd.to_float(simd.subtract(zero, simd.load(sums_at))), middle)
            low = simd.add_float(low, simd.multiply_float(part, unit))
            part = simd.add_float(
                simd.to_float(simd.subtract(zero, simd.load(sums_at + 64))), middle
            )
            high = simd.add_float(high, simd.multiply_float(part, unit))
        scale = block_at(scales, block, 4)
        low = simd.multiply_float(simd.add_float(low, more), simd.load(scale))
        high = simd.multiply_float(simd.add_float(high, more), simd.load(scale + 64))
        if ratio != UNBOUND:
            factor = block_at(ratio, block, 2)
            low = simd.multiply_float(low, simd.load_half(factor))
            high = simd.multiply_float(high, simd.load_half(factor + 32))
        if bias != UNBOUND:
            offset = block_at(bias, block, 4)
            low = simd.add_float(low, simd.load(offset))
            high = simd.add_float(high, simd.load(offset + 64))
        at = simd.address_of(out) + 4 * BLOCK * i
        simd.store(at, low)
        simd.store(at + 64, high)
        if masks[i] != np.uint32(0xFFFFFFFF):
            for r in range(BLOCK):
                if (masks[i] >> np.uint32(r)) & np.uint32(1) == 0:
                    out[i, r] = -np.inf


@inlined
def _hits(bounds, i, threshold):
    """Bit r is set where bound r of block i reaches the threshold and is not -inf."""
    at = simd.address_of(bounds) + 4 * BLOCK * i
    least = simd.splat_float(max(threshold, np.float32(-3.4028235e38)))
    low = simd.at_least(simd.load(at), least)
    return low | (simd.at_least(simd.load(at + 64), least) << np.uint32(16))


def shortlist(k: int) -> int:
    """How many rows of highest bound are scored first."""
    return 2 * k + 32


@kernel
def keep_bounds(bounds, blocks, k, ids, scores, rows, counts, thresholds):
    """Keep the k rows of highest bound; candidates as in search.top_k_blocks, nq = 1."""
    for i in range(blocks.size):
        hits = _hits(bounds, i, thresholds[0])
        while hits != 0:
            r = simd.lowest_bit(hits)
            hits &= hits - np.uint32(1)
            row = blocks[i] * BLOCK + r
            push(scores, rows, counts, thresholds, np.int64(0), bounds[i, r], row, k, ids)


@kernel
def top_k_staged(
    program, bias, ids, bounds, blocks, query, seed, half, gamma, k,
    first, first_rows, found, least, listed, scores, rows, counts, thresholds,
):  # fmt: skip
    """Keep the best k rows by full score among those whose bound allows it; how many were read.

    The rows of highest bound are scored first; the k-th best of those scores is a score that k
    rows reach, so another row whose bound is below it cannot be among the best unless its bound
    fails. That threshold depends on no order of visit.

    first, first_rows, found, least   candidates of their own, of capacity 2 * s + 32, for the s
                                      rows of highest bound
    listed                            scratch (>= 64,) int64
    """
    program_at, segments = simd.address_of(program), program.shape[0]
    wanted = (first.shape[1] - 32) // 2
    keep_bounds(bounds, blocks, wanted, ids, first, first_rows, found, least)
    count = found[0]
    if count > wanted:
        partition_best(first[0], first_rows[0], count, wanted, ids)
        count = wanted
    last = 0
    for i in range(count):
        if better(first[0, last], first_rows[0, last], first[0, i], first_rows[0, i], ids):
            last = i
    push_rows(
        program_at, segments, bias, ids, first_rows[0], count, query, seed, half, gamma, k,
        scores, rows, counts, thresholds,
    )  # fmt: skip
    if counts[0] >= k:
        partition_best(scores[0], rows[0], counts[0], k, ids)
        thresholds[0] = lowest_of(scores[0], k)
    bar = thresholds[0]
    read, waiting = count, 0
    for i in range(blocks.size):
        hits = _hits(bounds, i, bar)
        while hits != 0:
            r = simd.lowest_bit(hits)
            hits &= hits - np.uint32(1)
            row = blocks[i] * BLOCK + r
            if better(first[0, last], first_rows[0, last], bounds[i, r], row, ids):
                listed[waiting] = row
                waiting += 1
        if waiting + BLOCK > listed.size or (i + 1 == blocks.size and waiting > 0):
            read += waiting
            push_rows(
                program_at, segments, bias, ids, listed, waiting, query, seed, half, gamma, k,
                scores, rows, counts, thresholds,
            )  # fmt: skip
            waiting = 0
    return read
