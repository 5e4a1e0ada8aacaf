"""Whole searches by multiplication: blocks are decoded once and scored for all queries."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import owner_of, share_of
from vqindex.kernels.cpu.finer import finer_at, offer, reach_of, spread_of
from vqindex.kernels.cpu.program import BLOCK, UNBOUND
from vqindex.kernels.cpu.score import CHUNK, LINE, decode_block, score_block, score_tile
from vqindex.kernels.cpu.select import threshold_of


@inlined
def decode(stored, block, asked, scratch):
    """Write the rows of a block as the layouts multiply them."""
    decode_block(stored.program, stored.segments, block, scratch.levels, asked.row_bytes)


@inlined
def multiply(stored, block, asked, first, scratch, to):
    """Scores of a decoded block with a chunk of queries."""
    skip = 4 * first
    score_tile(
        stored.program, stored.segments, stored.bias, block,
        scratch.levels, asked.row_bytes,
        asked.packed + first * asked.row_bytes, 16 * asked.row_bytes,
        min(CHUNK, asked.padded - first) // 16, asked.seed + skip, asked.half + skip,
        asked.gamma + skip, asked.padded, scratch.raw, to,
    )  # fmt: skip
    if stored.owners != UNBOUND:
        for query in range(min(CHUNK, asked.nq - first)):
            share = share_of(stored, asked, block, first + query)
            simd.store_float(scratch.raw + 4 * query, share)  # no sums are kept there any more
        for v in range(min(CHUNK, asked.padded - first) // 16):
            shares = simd.load(scratch.raw + 64 * v)
            for r in range(BLOCK):
                at = to + LINE * r + 64 * v
                simd.store(at, simd.add_float(simd.load(at), shares))


@kernel
def score_blocks(stored, blocks, asked, scratch, out):
    """Scores of whole blocks with at most CHUNK queries, (blocks, 32, CHUNK) float32 in `out`."""
    simd.tiles_begin()
    for i in range(blocks.size):
        decode(stored, blocks[i], asked, scratch)
        to = simd.address_of(out) + i * BLOCK * LINE
        multiply(stored, blocks[i], asked, np.int64(0), scratch, to)
    simd.tiles_end()


@inlined
def raise_row(stored, row, reach, scores, count):
    """Make bounds of a row's scores, by which it is scored again; count is rounded up to 16.

    reach, scores   addresses of float32
    """
    spread = simd.splat_float(spread_of(stored, row))
    for at in range(0, 4 * count, 64):
        more = simd.multiply_float(simd.load(reach + at), spread)
        simd.store(scores + at, simd.add_float(simd.load(scores + at), more))


@inlined
def _push_tile(stored, block, mask, asked, first, chunk, reaches, k, kept, tile):
    """Keep the rows of a multiplied block whose scores, and bounds, reach the thresholds."""
    thresholds = kept.thresholds + 4 * first
    for r in range(BLOCK):
        if (mask >> np.uint32(r)) & np.uint32(1) == 0:
            continue
        row = block * BLOCK + r
        if asked.finer != UNBOUND:
            raise_row(stored, row, reaches + 4 * first, tile + LINE * r, chunk)
        for v in range(chunk // 16):
            at = tile + LINE * r + 64 * v
            hits = simd.at_least(simd.load(at), simd.load(thresholds + 64 * v))
            while hits != 0:
                lane = simd.lowest_bit(hits)
                hits &= hits - np.uint32(1)
                score = simd.load_float(at + 4 * lane)
                offer(stored, row, score, asked, first + 16 * v + lane, k, kept)


@kernel
def top_k_blocks(stored, blocks, masks, asked, k, kept, scratch):
    """Keep each query's best rows among those of some blocks.

    blocks, masks   (b,) int64, (b,) uint32: bit r of a mask says whether row r takes part
    stored, asked, kept, scratch   see records
    """
    reaches, before = np.empty(asked.padded, np.float32), np.int64(-1)
    simd.tiles_begin()
    for i in range(blocks.size):
        block, mask = blocks[i], masks[i]
        if mask == 0:
            continue
        owner = owner_of(stored, block) if stored.owners != UNBOUND else np.int64(0)
        if asked.finer != UNBOUND and owner != before:
            before = owner
            for query in range(asked.nq):
                finer = finer_at(asked.finer)
                reaches[query] = reach_of(stored, asked, finer, query, block)
        decode(stored, block, asked, scratch)
        for first in range(0, asked.padded, CHUNK):
            chunk = min(np.int64(CHUNK), asked.padded - first)
            multiply(stored, block, asked, first, scratch, scratch.tile)
            _push_tile(
                stored, block, mask, asked, first, chunk, simd.address_of(reaches),
                k, kept, scratch.tile,
            )  # fmt: skip
    reaches[0] = 0  # or Numba frees them before they are read
    simd.tiles_end()


@inlined
def push_block(stored, block, mask, asked, query, k, kept, scratch):
    """Keep the rows of a block whose scores, and bounds, reach one query's threshold.

    Of codes that are decoded to bytes (score.is_multiplied) and of rows that are scored once.
    """
    decode(stored, block, asked, scratch)
    score_block(
        stored.program, stored.segments, stored.bias, block, scratch.levels, asked.row_bytes,
        asked.entries + query * asked.row_bytes, asked.seed + 4 * query, asked.half + 4 * query,
        asked.gamma + 4 * query, 4 * asked.padded, scratch.raw, scratch.tile,
    )  # fmt: skip
    share = simd.splat_float(share_of(stored, asked, block, query))
    least, hits = simd.splat_float(threshold_of(kept, query)), np.uint32(0)
    for first in range(0, BLOCK, 16):
        at = scratch.tile + 4 * first
        scores = simd.add_float(simd.load(at), share)
        simd.store(at, scores)
        hits |= np.uint32(simd.at_least(scores, least)) << np.uint32(first)
    hits &= mask
    while hits != 0:
        r = simd.lowest_bit(hits)
        hits &= hits - np.uint32(1)
        score = simd.load_float(scratch.tile + 4 * r)
        offer(stored, block * BLOCK + r, score, asked, query, k, kept)


@kernel
def push_blocks(stored, blocks, masks, count, asked, query, k, kept, scratch):
    """Keep one query's best rows among those of the first `count` blocks; how many were scored.

    As `push_block`, with the arguments of `top_k_blocks`.
    """
    scored = np.int64(0)
    for i in range(count):
        if masks[i] != 0:
            push_block(stored, blocks[i], masks[i], asked, query, k, kept, scratch)
            scored += simd.count_bits(masks[i])
    return scored
