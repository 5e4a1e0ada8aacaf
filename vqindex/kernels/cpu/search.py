"""Whole searches in one call: decoded blocks against many queries, or listed rows against one."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import kernel
from vqindex.kernels.cpu.program import BLOCK, NONE, OPERAND
from vqindex.kernels.cpu.score import combine, decode_block, float_at, raw_tile, score_row
from vqindex.kernels.cpu.select import push

CHUNK = 64  # queries scored together against a decoded block
_LINE = 4 * CHUNK
TILE_BYTES = BLOCK * _LINE


@kernel
def score_tile(
    columns, program, bias, block, levels, stride, packed, group, vectors, seed, half, gamma,
    padded, raw, tile,
):  # fmt: skip
    """Scores of a block's 32 rows with 16 * vectors queries, (32, CHUNK) float32 at `tile`.

    levels              address of the decoded block, `stride` bytes a row
    packed              address of the first query's group of 16, `group` bytes each
    seed, half, gamma   addresses of the first query in (segments, padded) int32 and float32
    raw                 address of scratch, (32, CHUNK) int32
    """
    segments = program.shape[0]
    for s in range(segments):
        segment = program[s]
        skip = 4 * s * padded
        raw_tile(
            segment, levels + segment[OPERAND], stride, packed, group, vectors, seed + skip, raw, _LINE
        )  # fmt: skip
        last = bias != NONE and s == segments - 1
        for r in range(BLOCK):
            row = block * BLOCK + r
            offset = simd.splat_float(float_at(columns, bias, row) if last else np.float32(0))
            for v in range(vectors):
                at = _LINE * r + 64 * v
                before = simd.load(tile + at) if s > 0 else simd.splat_float(np.float32(0))
                where = skip + 64 * v
                total = combine(
                    segment, columns, row, raw + at, half + where, gamma + where, before
                )
                if last:
                    total = simd.add_float(total, offset)
                simd.store(tile + at, total)


@kernel
def score_blocks(
    columns, program, bias, blocks, packed, group, seed, half, gamma, levels, raw, out
):  # fmt: skip
    """Scores of whole blocks with at most CHUNK queries, (blocks, 32, CHUNK) float32 in `out`."""
    padded = seed.shape[1]
    stride = levels.shape[1]
    for i in range(blocks.size):
        decode_block(columns, program, blocks[i], simd.address_of(levels), stride)
        score_tile(
            columns, program, bias, blocks[i], simd.address_of(levels), stride,
            simd.address_of(packed), group, padded // 16, simd.address_of(seed),
            simd.address_of(half), simd.address_of(gamma), padded, simd.address_of(raw),
            simd.address_of(out) + i * TILE_BYTES,
        )  # fmt: skip


@kernel
def top_k_blocks(
    columns, program, bias, ids, blocks, masks, packed, group, seed, half, gamma, k,
    scores, rows, counts, thresholds, levels, raw, tile,
):  # fmt: skip
    """Keep each query's best rows among those of some blocks.

    blocks, masks       (b,) int64, (b,) uint32: bit r of a mask says whether row r takes part
    seed, half, gamma   (segments, padded) int32 and float32; padded a multiple of 16
    scores, rows        (nq, capacity) float32 and int64: candidates, see select
    counts, thresholds  (nq,) int64, (padded,) float32: infinity beyond the last query
    levels, raw, tile   scratch: (32, stride) uint8, (32, CHUNK) int32, (32, CHUNK) float32
    """
    padded = seed.shape[1]
    stride = levels.shape[1]
    levels_at, tile_at = simd.address_of(levels), simd.address_of(tile)
    for i in range(blocks.size):
        if masks[i] == 0:
            continue
        decode_block(columns, program, blocks[i], levels_at, stride)
        for first in range(0, padded, CHUNK):
            vectors = min(CHUNK, padded - first) // 16
            skip = 4 * first
            score_tile(
                columns, program, bias, blocks[i], levels_at, stride,
                simd.address_of(packed) + (first // 16) * group, group, vectors,
                simd.address_of(seed) + skip, simd.address_of(half) + skip,
                simd.address_of(gamma) + skip, padded, simd.address_of(raw), tile_at,
            )  # fmt: skip
            for r in range(BLOCK):
                if (masks[i] >> np.uint32(r)) & np.uint32(1) == 0:
                    continue
                for v in range(vectors):
                    threshold = simd.load(simd.address_of(thresholds) + skip + 64 * v)
                    hits = simd.at_least(simd.load(tile_at + _LINE * r + 64 * v), threshold)
                    while hits != 0:
                        lane = 16 * v + simd.lowest_bit(hits)
                        hits &= hits - np.uint32(1)
                        query = first + lane
                        push(
                            scores, rows, counts, thresholds, query, tile[r, lane],
                            blocks[i] * BLOCK + r, k, ids,
                        )  # fmt: skip


@kernel
def score_rows(columns, program, bias, rows, query, seed, half, gamma, out):
    """Scores of listed rows with one query, float32 in `out`; see score.score_row."""
    for i in range(rows.size):
        out[i] = score_row(columns, program, bias, rows[i], query, seed, half, gamma)


@kernel
def top_k_rows(
    columns, program, bias, ids, listed, query, seed, half, gamma, k, scores, rows, counts, thresholds
):  # fmt: skip
    """Keep one query's best rows among those listed; candidates as in top_k_blocks, nq = 1."""
    for i in range(listed.size):
        score = score_row(columns, program, bias, listed[i], query, seed, half, gamma)
        if score >= thresholds[0]:
            push(scores, rows, counts, thresholds, 0, score, listed[i], k, ids)
