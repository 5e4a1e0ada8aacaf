"""Scores of rows and of blocks, whatever their segments: the one formula, in its one order.

    score = sum over segments of ((float(raw) + half) * gamma) * scale, + bias

raw is exact in int32; each float32 step rounds once, in this order, so that one row or a block,
one query or many, give the same bits.
"""

import numpy as np

from vqindex.kernels.cpu import decoded, scalar, simd
from vqindex.kernels.cpu.compile import kernel
from vqindex.kernels.cpu.program import (
    BITS,
    BLOCK,
    BYTE_ROWS,
    NONE,
    OPERAND,
    PLANE,
    PLANE_WORDS,
    REST,
    REST_WORDS,
    SCALE,
    SLAB,
    SLAB_ROWS,
    WORDS,
)


@kernel
def block_at(columns, column, block, row_bytes):
    """The address of a block in a column of `row_bytes` bytes a row."""
    return columns[column, block // SLAB] + (block % SLAB) * (BLOCK * row_bytes)


@kernel
def float_at(columns, column, row):
    """A row's entry of a float32 column."""
    return simd.load_float(columns[column, row // SLAB_ROWS] + 4 * (row % SLAB_ROWS))


@kernel
def score_row(columns, program, bias, row, query, seed, half, gamma):
    """The score of one row.

    columns   (columns, slabs) int64 addresses; program (segments, FIELDS) int64
    bias      column of the bias, or NONE
    query     address of the prepared query, all segments one after another
    seed, half, gamma   (segments,) int32, float32, float32 of this query
    """
    block, inside = row // BLOCK, row % BLOCK
    score = np.float32(0)
    for s in range(program.shape[0]):
        segment = program[s]
        operand = query + segment[OPERAND]
        row_bytes = 8 * segment[REST_WORDS]
        rest = block_at(columns, segment[REST], block, row_bytes) + inside * row_bytes
        if segment[BITS] < BYTE_ROWS:
            part = decoded.dot_floats(rest, segment, operand)
        else:
            if segment[BITS] == BYTE_ROWS:
                raw = decoded.dot_bytes(rest, segment, operand)
            else:
                plane = block_at(columns, segment[PLANE], block, 8 * segment[PLANE_WORDS])
                raw = scalar.dot_row(plane, rest, segment, inside, operand)
            part = (np.float32(raw + seed[s]) + half[s]) * gamma[s]
        if segment[SCALE] != NONE:
            part *= float_at(columns, segment[SCALE], row)
        score += part
    if bias != NONE:
        score += float_at(columns, bias, row)
    return score


@kernel
def decode_block(columns, program, block, out, stride):
    """Decode the 32 rows of a block: each row's segments one after another, `stride` bytes."""
    for s in range(program.shape[0]):
        segment = program[s]
        row_bytes = 8 * segment[REST_WORDS]
        rest = block_at(columns, segment[REST], block, row_bytes)
        plane = np.int64(0)
        if segment[BITS] > BYTE_ROWS:
            plane = block_at(columns, segment[PLANE], block, 8 * segment[PLANE_WORDS])
        for row in range(BLOCK):
            to = out + row * stride + segment[OPERAND]
            if segment[BITS] > BYTE_ROWS:
                scalar.decode_row(plane, rest + row * row_bytes, segment, row, to)
            elif segment[BITS] == BYTE_ROWS:
                decoded.copy_bytes(rest + row * row_bytes, segment, to)
            else:
                decoded.copy_floats(rest + row * row_bytes, segment, to)


@kernel
def raw_tile(segment, levels, stride, packed, group_stride, vectors, seed, out, out_stride):
    """Raw sums of a decoded block of 32 rows with 16 * vectors queries, as int32 or float32.

    levels   address of the block's decoded rows of this segment, `stride` bytes apart
    packed   address of the queries: groups of 16, `group_stride` bytes apart
    seed     address of (16 * vectors,) int32; out address of (32, out_stride / 4)
    """
    operand = segment[OPERAND]
    steps = 16 * segment[WORDS]
    if segment[BITS] < BYTE_ROWS:
        query_bytes = group_stride // 16
        for row in range(0, BLOCK, simd.FLOAT_ROWS):
            at = levels + row * stride
            for query in range(0, 16 * vectors, simd.FLOAT_QUERIES):
                asked = packed + query * query_bytes + operand
                to = out + row * out_stride + 4 * query
                simd.dot_float_tile(at, stride, asked, query_bytes, segment[WORDS], to, out_stride)
        return
    asked = packed + 16 * operand
    full = vectors - vectors % simd.TILE_QUERIES
    for row in range(0, BLOCK, simd.TILE_ROWS):
        at = levels + row * stride
        for v in range(0, full, simd.TILE_QUERIES):
            simd.dot_tile(
                at, stride, asked + v * group_stride, group_stride, steps,
                seed + 64 * v, out + row * out_stride + 64 * v, out_stride,
            )  # fmt: skip
    for v in range(full, vectors):
        for row in range(0, BLOCK, simd.NARROW_ROWS):
            simd.dot_narrow(
                levels + row * stride, stride, asked + v * group_stride, group_stride, steps,
                seed + 64 * v, out + row * out_stride + 64 * v, out_stride,
            )  # fmt: skip


@kernel
def combine(segment, columns, row, raw, half, gamma, previous):
    """One segment's part of a row's scores with 16 queries, added to those before it."""
    part = simd.load(raw)
    if segment[BITS] >= BYTE_ROWS:
        part = simd.add_float(simd.to_float(part), simd.load(half))
        part = simd.multiply_float(part, simd.load(gamma))
    if segment[SCALE] != NONE:
        scale = float_at(columns, segment[SCALE], row)
        part = simd.multiply_float(part, simd.splat_float(scale))
    return simd.add_float(previous, part)
