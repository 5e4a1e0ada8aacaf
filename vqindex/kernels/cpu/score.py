"""Scores of rows and of blocks, whatever their segments: the one formula, in its one order.

    score = sum over segments of ((float(raw) + half) * gamma) * scale, + bias

raw is exact in int32; each float32 step rounds once, in this order, so that one row or a block,
one query or many, give the same bits. Arguments that are not arrays are addresses.
"""

import numpy as np

from vqindex.kernels.cpu import (
    codebook,
    decoded,
    mixed,
    polar,
    pyramid,
    scalar,
    simd,
    sparse,
    tables,
)
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import block_at, field, float_at, half_at, segment_at
from vqindex.kernels.cpu.program import (
    BITS,
    BLOCK,
    BYTE_ROWS,
    CODE_ROWS,
    MIXED,
    NIBBLES,
    OCTETS,
    OPERAND,
    PLANE,
    PLANE_WORDS,
    PLANES,
    POLAR_ROWS,
    PYRAMID_ROWS,
    RATIO,
    REPEAT,
    REST,
    REST_BYTES,
    SCALE,
    SPARSE,
    UNBOUND,
    WORDS,
)

CHUNK = 64  # queries scored together against a decoded block
LINE = 4 * CHUNK


@inlined
def _scale(segment, row):
    """What a segment's part of a row is multiplied by."""
    scale = float_at(field(segment, SCALE), row)
    if field(segment, RATIO) != UNBOUND:
        scale *= half_at(field(segment, RATIO), row)
    return scale


@kernel
def score_row(program, segments, bias, row, query, seed, half, gamma, step):
    """The score of one row with one query.

    program             a bound program of `segments` segments; bias, a slab table or UNBOUND
    query               the prepared query, all segments one after another
    seed, half, gamma   int32, float32, float32 of this query, those of further segments `step`
                        bytes on
    """
    block, inside = row // BLOCK, row % BLOCK
    score = np.float32(-0.0)  # x + -0.0 is x, of either zero, as in score_tile
    repeated = np.int32(0)
    for s in range(segments):
        segment = segment_at(program, s)
        operand = query + field(segment, OPERAND)
        row_bytes = field(segment, REST_BYTES)
        rest = block_at(field(segment, REST), block, row_bytes) + inside * row_bytes
        if field(segment, BITS) < BYTE_ROWS:
            part = decoded.dot_floats(rest, segment, operand)
        else:
            if field(segment, BITS) == BYTE_ROWS:
                raw = decoded.dot_bytes(rest, segment, operand)
            elif field(segment, BITS) == CODE_ROWS:
                raw = codebook.dot_row(rest, segment, operand)
            elif field(segment, BITS) == PYRAMID_ROWS:
                raw = pyramid.dot_row(rest, segment, operand)
            elif field(segment, BITS) == POLAR_ROWS:
                raw = polar.dot_row(rest, segment, operand)
            elif field(segment, BITS) >= OCTETS:
                codes = block_at(field(segment, REST), block, row_bytes)
                if field(segment, BITS) == SPARSE:
                    raw = sparse.raw_row(codes, segment, inside, operand)
                else:
                    raw = tables.raw_octets(codes, segment, inside, operand)
            else:
                plane = block_at(field(segment, PLANE), block, 8 * field(segment, PLANE_WORDS))
                if field(segment, BITS) == NIBBLES:
                    raw = tables.raw_words(plane, segment, inside, operand)
                elif field(segment, BITS) == MIXED:
                    raw, repeated = mixed.dot_row(plane, rest, segment, inside, operand)
                elif field(segment, BITS) == REPEAT:
                    raw = repeated
                else:
                    raw = scalar.dot_row(plane, rest, segment, inside, operand)
            raw = np.int32(raw + simd.load_int(seed + step * s))  # wraps, as in a tile
            middle, unit = simd.load_float(half + step * s), simd.load_float(gamma + step * s)
            part = (np.float32(raw) + middle) * unit
        if field(segment, SCALE) != UNBOUND:
            part *= _scale(segment, row)
        score += part
    if bias != UNBOUND:
        score += float_at(bias, row)
    return score


@inlined
def prefetch_row(program, segments, row):
    """Ask for the codes of a row that `score_row` will read."""
    block, inside = row // BLOCK, row % BLOCK
    for s in range(segments):
        segment = segment_at(program, s)
        row_bytes = field(segment, REST_BYTES)
        rest = block_at(field(segment, REST), block, row_bytes)
        if field(segment, BITS) >= OCTETS:
            for at in range(0, BLOCK * row_bytes, 64):
                simd.prefetch(rest + at)
            continue
        rest += inside * row_bytes
        read, bits = row_bytes, field(segment, BITS)
        if 1 < bits < MIXED:  # the first planes may be all that is read
            read = 8 * (field(segment, PLANES + bits - 1) + field(segment, WORDS))
        for at in range(0, read, 64):
            simd.prefetch(rest + at)
        if field(segment, RATIO) != UNBOUND:
            simd.prefetch(block_at(field(segment, RATIO), block, 2) + 2 * inside)
        if field(segment, BITS) == REPEAT:
            continue
        if field(segment, BITS) > CODE_ROWS:
            plane = block_at(field(segment, PLANE), block, 8 * field(segment, PLANE_WORDS))
            signs = scalar.sign_words(plane, segment, inside)
            for word in range(field(segment, WORDS)):
                simd.prefetch(signs + 64 * word)


@kernel
def decode_block(program, segments, block, out, stride):
    """Decode the 32 rows of a block: each row's segments one after another, `stride` bytes."""
    for s in range(segments):
        segment = segment_at(program, s)
        row_bytes = field(segment, REST_BYTES)
        rest = block_at(field(segment, REST), block, row_bytes)
        plane = np.int64(0)
        if field(segment, BITS) > CODE_ROWS:
            plane = block_at(field(segment, PLANE), block, 8 * field(segment, PLANE_WORDS))
        if field(segment, BITS) == SPARSE:
            sparse.copy_block(rest, segment, out + field(segment, OPERAND))
            continue
        if field(segment, BITS) >= NIBBLES:
            codes, bytes_ = (
                (rest, row_bytes)
                if field(segment, BITS) == OCTETS
                else (plane, 8 * field(segment, WORDS))
            )
            for at in range(0, BLOCK * bytes_, 64):
                simd.store(out + field(segment, OPERAND) + at, simd.load(codes + at))
            continue
        to = out + field(segment, OPERAND)
        if field(segment, BITS) == MIXED:
            mixed.decode_block(plane, rest, row_bytes, segment, to, stride)
            continue
        if field(segment, BITS) == REPEAT:
            mixed.repeat_block(segment, to, stride)
            continue
        for row in range(BLOCK):
            to = out + row * stride + field(segment, OPERAND)
            if field(segment, BITS) > CODE_ROWS:
                scalar.decode_row(plane, rest + row * row_bytes, segment, row, to)
            elif field(segment, BITS) == BYTE_ROWS:
                decoded.copy_bytes(rest + row * row_bytes, segment, to)
            elif field(segment, BITS) == CODE_ROWS:
                codebook.decode_row(rest + row * row_bytes, segment, to)
            elif field(segment, BITS) == PYRAMID_ROWS:
                pyramid.decode_row(rest + row * row_bytes, segment, to)
            elif field(segment, BITS) == POLAR_ROWS:
                polar.decode_row(rest + row * row_bytes, segment, to)
            else:
                decoded.copy_floats(rest + row * row_bytes, segment, to)


@kernel
def raw_tile(segment, levels, stride, packed, group, vectors, seed, out):
    """Raw sums of a decoded block of 32 rows with 16 * vectors queries, as int32 or float32.

    levels   the block's decoded rows of this segment, `stride` bytes apart
    packed   the queries, groups of 16, `group` bytes apart
    seed     (16 * vectors,) int32; out (32, CHUNK)
    """
    operand = field(segment, OPERAND)
    words = field(segment, WORDS)
    if field(segment, BITS) < BYTE_ROWS:
        each = group // 16
        for row in range(0, BLOCK, simd.FLOAT_ROWS):
            for query in range(0, 16 * vectors, simd.FLOAT_QUERIES):
                asked = packed + query * each + operand
                to = out + LINE * row + 4 * query
                simd.dot_float_tile(levels + row * stride, stride, asked, each, words, to, LINE)
        return
    asked = packed + 16 * operand
    if field(segment, BITS) == SPARSE:
        for v in range(vectors):
            sparse.raw_vector(levels, segment, asked + v * group, out + 64 * v, LINE)
        return
    if field(segment, BITS) >= NIBBLES:
        for v in range(vectors):
            tables.raw_vector(levels, segment, asked + v * group, out + 64 * v, LINE)
        return
    full = vectors - vectors % simd.TILE_QUERIES
    for row in range(0, BLOCK, simd.TILE_ROWS):
        at = levels + row * stride
        for v in range(0, full, simd.TILE_QUERIES):
            to = out + LINE * row + 64 * v
            q = asked + v * group
            simd.dot_tile(at, stride, q, group, 16 * words, seed + 64 * v, to, LINE)
    for v in range(full, vectors):
        q = asked + v * group
        for row in range(0, BLOCK, simd.NARROW_ROWS):
            at, to = levels + row * stride, out + LINE * row + 64 * v
            simd.dot_narrow(at, stride, q, group, 16 * words, seed + 64 * v, to, LINE)


@kernel
def score_tile(
    program, segments, bias, block, levels, stride, packed, group, vectors, seed, half, gamma,
    padded, raw, tile,
):  # fmt: skip
    """Scores of a block's 32 rows with 16 * vectors queries, (32, CHUNK) float32 at `tile`.

    levels              the decoded block, `stride` bytes a row
    packed              the first query's group of 16, `group` bytes each
    seed, half, gamma   at the first query, in (segments, padded) int32 and float32
    raw                 scratch, (32, CHUNK) int32
    """
    for s in range(segments):
        segment = segment_at(program, s)
        skip = 4 * s * padded
        rows = levels + field(segment, OPERAND)
        raw_tile(segment, rows, stride, packed, group, vectors, seed + skip, raw)
        is_float = field(segment, BITS) < BYTE_ROWS
        scaled = field(segment, SCALE) != UNBOUND
        for r in range(BLOCK):
            row = block * BLOCK + r
            scale = simd.splat_float(_scale(segment, row) if scaled else np.float32(1))
            for v in range(vectors):
                at = LINE * r + 64 * v
                part = simd.load(raw + at)
                if not is_float:
                    part = simd.add_float(simd.to_float(part), simd.load(half + skip + 64 * v))
                    part = simd.multiply_float(part, simd.load(gamma + skip + 64 * v))
                part = simd.multiply_float(part, scale)
                if s > 0:
                    part = simd.add_float(simd.load(tile + at), part)
                simd.store(tile + at, part)
    if bias != UNBOUND:
        for r in range(BLOCK):
            offset = simd.splat_float(float_at(bias, block * BLOCK + r))
            for v in range(vectors):
                at = tile + LINE * r + 64 * v
                simd.store(at, simd.add_float(simd.load(at), offset))


@inlined
def is_multiplied(program, segments):
    """Whether all segments are decoded to bytes, which `score_block` multiplies."""
    for s in range(segments):
        bits = field(segment_at(program, s), BITS)
        if bits < BYTE_ROWS or bits >= NIBBLES:
            return False
    return True


@kernel
def score_block(
    program, segments, bias, block, levels, stride, query, seed, half, gamma, step, raw, out
):
    """Scores of a block's decoded rows with one query, (32,) float32 at `out`: see is_multiplied.

    levels, stride          as in score_tile
    query, seed .. step     as in score_row
    raw                     scratch, (32,) int32
    """
    for s in range(segments):
        segment = segment_at(program, s)
        rows, asked = levels + field(segment, OPERAND), query + field(segment, OPERAND)
        for r in range(BLOCK):
            total = simd.splat(np.int32(0))
            for at in range(0, 64 * field(segment, WORDS), 64):
                total = simd.dot4(total, simd.load(rows + at), simd.load(asked + at))
            simd.store_int(raw + 4 * r, simd.sum_lanes(total))
            rows += stride
        start = simd.splat(simd.load_int(seed + step * s))
        middle = simd.splat_float(simd.load_float(half + step * s))
        unit = simd.splat_float(simd.load_float(gamma + step * s))
        for first in range(0, BLOCK, 16):
            to = out + 4 * first
            part = simd.to_float(simd.add(simd.load(raw + 4 * first), start))
            part = simd.multiply_float(simd.add_float(part, middle), unit)
            if field(segment, SCALE) != UNBOUND:
                scale = simd.load(block_at(field(segment, SCALE), block, 4) + 4 * first)
                if field(segment, RATIO) != UNBOUND:
                    own = simd.load_halves(block_at(field(segment, RATIO), block, 2) + 2 * first)
                    scale = simd.multiply_float(scale, own)
                part = simd.multiply_float(part, scale)
            if s > 0:
                part = simd.add_float(simd.load(to), part)
            simd.store(to, part)
    for at in range(0, 4 * BLOCK if bias != UNBOUND else 0, 64):
        more = simd.load(block_at(bias, block, 4) + at)
        simd.store(out + at, simd.add_float(simd.load(out + at), more))
