"""Scalar codes on the CPU: decode rows to bytes, or dot them as they lie.

Rows lie in blocks of 32. The sign plane of a block holds, for 8 rows at a time and each 64
dimensions, eight words side by side; a row's other bit planes lie together, most significant
first. A decoded level is the byte t + ROW_BIAS of the half-integer level t + 1/2.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import field
from vqindex.kernels.cpu.program import BITS, FIRST, PLANE_WORDS, PLANES, TABLE, WORDS


@inlined
def _levels(sign, rest, first, second, third, bits, segment, table, word):
    """64 levels of one row, from its sign word and the addresses of its other planes.

    table   the first 64 bytes of the segment's table
    """
    index = simd.splat(np.int32(0))
    at = 8 * word
    if bits == 4:
        index = simd.add_where(index, simd.load_word(first + at), np.uint8(4))
        index = simd.add_where(index, simd.load_word(second + at), np.uint8(2))
        index = simd.add_where(index, simd.load_word(third + at), np.uint8(1))
    elif bits == 3:
        index = simd.add_where(index, simd.load_word(first + at), np.uint8(2))
        index = simd.add_where(index, simd.load_word(second + at), np.uint8(1))
    elif bits == 2:
        index = simd.add_where(index, simd.load_word(first + at), np.uint8(1))
    elif bits > 4:
        for plane in range(1, bits):
            mask = simd.load_word(rest + 8 * field(segment, PLANES + plane) + at)
            index = simd.add_where(simd.double_bytes(index), mask, np.uint8(1))
    if bits <= 5:
        levels = simd.lookup16(table, index)
    else:
        levels = simd.lookup128(field(segment, TABLE), index)
    return simd.invert_where(levels, simd.load_word(sign + 64 * word))


@inlined
def sign_words(plane, segment, row):
    """The address of a row's first sign word of a segment; the next ones follow by 64 bytes."""
    return (
        plane
        + 64 * ((row >> 3) * field(segment, PLANE_WORDS) + field(segment, FIRST))
        + 8 * (row & 7)
    )


@inlined
def _planes(rest, segment):
    """The addresses of a row's first three planes beyond the sign; not all need be there."""
    first = rest + 8 * field(segment, PLANES + 1)
    second = rest + 8 * field(segment, PLANES + 2)
    return first, second, rest + 8 * field(segment, PLANES + 3)


@kernel
def decode_row(plane, rest, segment, row, out):
    """Write the levels of row `row` of a block: 64 * words bytes at `out`.

    plane, rest   addresses of the block's sign plane and of this row's other planes
    """
    sign, bits = sign_words(plane, segment, row), field(segment, BITS)
    first, second, third = _planes(rest, segment)
    table = simd.load(field(segment, TABLE))
    for word in range(field(segment, WORDS)):
        levels = _levels(sign, rest, first, second, third, bits, segment, table, word)
        simd.store(out + 64 * word, levels)


@inlined
def dot_row(plane, rest, segment, row, query):
    """Sum over one row of level byte * query byte, ROW_BIAS included.

    query   address of the segment's 64 * words int8
    """
    sign, bits = sign_words(plane, segment, row), field(segment, BITS)
    first, second, third = _planes(rest, segment)
    table = simd.load(field(segment, TABLE))
    total = simd.splat(np.int32(0))
    for word in range(field(segment, WORDS)):
        levels = _levels(sign, rest, first, second, third, bits, segment, table, word)
        total = simd.dot4(total, levels, simd.load(query + 64 * word))
    return simd.sum_lanes(total)
