"""Whole searches in one call: decoded blocks against many queries, or listed rows against one."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import kernel
from vqindex.kernels.cpu.program import BLOCK
from vqindex.kernels.cpu.score import (
    CHUNK,
    LINE,
    decode_block,
    prefetch_row,
    score_row,
    score_tile,
)
from vqindex.kernels.cpu.select import push

AHEAD = 8  # rows whose codes are on their way while one is scored


@kernel
def score_blocks(program, bias, blocks, packed, group, seed, half, gamma, levels, raw, out):
    """Scores of whole blocks with at most CHUNK queries, (blocks, 32, CHUNK) float32 in `out`.

    program (segments, FIELDS) bound; the rest as in top_k_blocks
    """
    segments, padded = seed.shape
    stride = levels.shape[1]
    program_at, levels_at = simd.address_of(program), simd.address_of(levels)
    simd.tiles_begin()
    for i in range(blocks.size):
        decode_block(program_at, segments, blocks[i], levels_at, stride)
        score_tile(
            program_at, segments, bias, blocks[i], levels_at, stride, simd.address_of(packed),
            group, padded // 16, simd.address_of(seed), simd.address_of(half),
            simd.address_of(gamma), padded, simd.address_of(raw),
            simd.address_of(out) + i * (BLOCK * LINE),
        )  # fmt: skip
    simd.tiles_end()


@kernel
def top_k_blocks(
    program, bias, ids, blocks, masks, packed, group, seed, half, gamma, k,
    scores, rows, counts, thresholds, levels, raw, tile,
):  # fmt: skip
    """Keep each query's best rows among those of some blocks.

    program             (segments, FIELDS) int64, bound; bias, ids: slab tables
    blocks, masks       (b,) int64, (b,) uint32: bit r of a mask says whether row r takes part
    packed, group       queries in groups of 16, and the bytes of a group
    seed, half, gamma   (segments, padded) int32 and float32; padded a multiple of 16
    scores, rows        (nq, capacity) float32 and int64: candidates, see select
    counts, thresholds  (nq,) int64, (padded,) float32: infinity beyond the last query
    levels, raw, tile   scratch: (32, stride) uint8, (32, CHUNK) int32, (32, CHUNK) float32
    """
    segments, padded = seed.shape
    stride = levels.shape[1]
    program_at, levels_at = simd.address_of(program), simd.address_of(levels)
    tile_at, thresholds_at = simd.address_of(tile), simd.address_of(thresholds)
    simd.tiles_begin()
    for i in range(blocks.size):
        mask = masks[i]
        if mask == 0:
            continue
        decode_block(program_at, segments, blocks[i], levels_at, stride)
        for first in range(0, padded, CHUNK):
            vectors = min(CHUNK, padded - first) // 16
            skip = 4 * first
            score_tile(
                program_at, segments, bias, blocks[i], levels_at, stride,
                simd.address_of(packed) + (first // 16) * group, group, vectors,
                simd.address_of(seed) + skip, simd.address_of(half) + skip,
                simd.address_of(gamma) + skip, padded, simd.address_of(raw), tile_at,
            )  # fmt: skip
            for r in range(BLOCK):
                if (mask >> np.uint32(r)) & np.uint32(1) == 0:
                    continue
                for v in range(vectors):
                    threshold = simd.load(thresholds_at + skip + 64 * v)
                    hits = simd.at_least(simd.load(tile_at + LINE * r + 64 * v), threshold)
                    while hits != 0:
                        lane = 16 * v + simd.lowest_bit(hits)
                        hits &= hits - np.uint32(1)
                        row, query = blocks[i] * BLOCK + r, first + lane
                        found = tile[r, lane]
                        push(scores, rows, counts, thresholds, query, found, row, k, ids)
    simd.tiles_end()


@kernel
def score_rows(program, bias, rows, query, seed, half, gamma, out):
    """Scores of listed rows with one query, float32 in `out`; see score.score_row."""
    for i in range(rows.size):
        out[i] = score_row(
            simd.address_of(program), program.shape[0], bias, rows[i], query, seed, half, gamma
        )  # fmt: skip


@kernel
def push_rows(
    program, segments, bias, ids, listed, count, query, seed, half, gamma, k,
    scores, rows, counts, thresholds,
):  # fmt: skip
    """Score the first `count` listed rows with one query, their codes asked for well ahead."""
    for i in range(min(count, AHEAD)):
        prefetch_row(program, segments, listed[i])
    for i in range(count):
        if i + AHEAD < count:
            prefetch_row(program, segments, listed[i + AHEAD])
        score = score_row(program, segments, bias, listed[i], query, seed, half, gamma)
        if score >= thresholds[0]:
            push(scores, rows, counts, thresholds, np.int64(0), score, listed[i], k, ids)


@kernel
def top_k_rows(
    program, bias, ids, listed, query, seed, half, gamma, k, scores, rows, counts, thresholds
):  # fmt: skip
    """Keep one query's best rows among those listed; candidates as in top_k_blocks, nq = 1."""
    push_rows(
        simd.address_of(program), program.shape[0], bias, ids, listed, listed.size, query, seed,
        half, gamma, k, scores, rows, counts, thresholds,
    )  # fmt: skip
