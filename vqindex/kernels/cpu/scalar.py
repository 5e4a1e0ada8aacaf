"""Scalar codes on the CPU: decode rows to bytes, scan sign planes.

Rows lie in blocks of 32. The sign plane of a block holds, for 8 rows at a time and each 64
dimensions, eight words side by side; a row's other bit planes lie together, most significant
first. A decoded level is the byte t + ROW_BIAS of the half-integer level t + 1/2.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import field
from vqindex.kernels.cpu.program import (
    BITS,
    FIRST,
    PLANE_WORDS,
    PLANES,
    TABLE,
    WORDS,
)


@inlined
def decode_word(sign, rest, segment, word):
    """64 levels of one row, from its sign word and the address of its other planes."""
    index = simd.splat(np.int32(0))
    bits = field(segment, BITS)
    for plane in range(1, bits):
        index = simd.append_bits(
            index, simd.load_word(rest + 8 * (field(segment, PLANES + plane) + word))
        )
    if bits <= 5:
        levels = simd.lookup16(simd.load(field(segment, TABLE)), index)
    else:
        levels = simd.lookup128(field(segment, TABLE), index)
    return simd.invert_where(levels, sign)


@inlined
def sign_words(plane, segment, row):
    """The address of a row's first sign word of a segment; the next ones follow by 64 bytes."""
    return (
        plane
        + 64 * ((row >> 3) * field(segment, PLANE_WORDS) + field(segment, FIRST))
        + 8 * (row & 7)
    )


@kernel
def decode_row(plane, rest, segment, row, out):
    """Write the levels of row `row` of a block: 64 * words bytes at `out`.

    plane, rest   addresses of the block's sign plane and of this row's other planes
    """
    signs = sign_words(plane, segment, row)
    for word in range(field(segment, WORDS)):
        levels = decode_word(simd.load_word(signs + 64 * word), rest, segment, word)
        simd.store(out + 64 * word, levels)


@inlined
def dot_row(plane, rest, segment, row, query):
    """Sum over one row of level byte * query byte, ROW_BIAS included.

    query   address of the segment's 64 * words int8
    """
    signs = sign_words(plane, segment, row)
    total = simd.splat(np.int32(0))
    for word in range(field(segment, WORDS)):
        levels = decode_word(simd.load_word(signs + 64 * word), rest, segment, word)
        total = simd.dot4(total, levels, simd.load(query + 64 * word))
    return simd.sum_lanes(total)


@inlined
def plane_sums(plane, segment, bit_planes, out):
    """For the 32 rows of a block, the sum of the query's entries where the sign bit is set.

    plane        address of the block's sign plane
    bit_planes   address of the query's eight two's complement bit planes, (8, words) uint64
    out          address of 32 int32

    Source: reference.sign.bit_sliced.
    """
    words = field(segment, WORDS)
    step = 8 * words
    for group in range(4):
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = simd.splat(np.int32(0))
        at = plane + 64 * (group * field(segment, PLANE_WORDS) + field(segment, FIRST))
        for word in range(words):
            signs = simd.load(at + 64 * word)
            query = bit_planes + 8 * word
            s0 = _count(s0, signs, query)
            s1 = _count(s1, signs, query + step)
            s2 = _count(s2, signs, query + 2 * step)
            s3 = _count(s3, signs, query + 3 * step)
            s4 = _count(s4, signs, query + 4 * step)
            s5 = _count(s5, signs, query + 5 * step)
            s6 = _count(s6, signs, query + 6 * step)
            s7 = _count(s7, signs, query + 7 * step)
        total = simd.subtract_words(s6, simd.double_words(s7))
        total = simd.add_words(s5, simd.double_words(total))
        total = simd.add_words(s4, simd.double_words(total))
        total = simd.add_words(s3, simd.double_words(total))
        total = simd.add_words(s2, simd.double_words(total))
        total = simd.add_words(s1, simd.double_words(total))
        total = simd.add_words(s0, simd.double_words(total))
        simd.store_low_ints(out + 32 * group, total)


@inlined
def _count(total, signs, query_word):
    both = simd.and_(signs, simd.splat_word(simd.load_word(query_word)))
    return simd.add_words(total, simd.popcount_words(both))
