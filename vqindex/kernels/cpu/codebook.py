"""Codes of a codebook on the CPU: decode rows to bytes, or dot them as they lie.

A row is a stream of bits, lowest first. Code j is the WINDOW bits from bit j * STRIDE on, which
wrap round the end of the stream, and stands for GROUP entries of a codebook, kept as 4 or 8 bytes.
"""

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import field
from vqindex.kernels.cpu.program import (
    CODES,
    EASY,
    GROUP,
    LOOKUPS,
    REST_BYTES,
    STRIDE,
    TABLE,
    WINDOW,
    WORDS,
)

SHORTEST = 8  # bytes of a row, which are read at once
ALL = np.uint64(2**64 - 1)
PIECE = 256  # codes decoded on the stack at a time: whole vectors, whatever the group


def lookup_tables(table: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """What LOOKUPS names, for words of at most 8 bits that do not overlap, and 2 to 5 entries.

        bytes     (64,): the bytes that eight codes lie in, for eight times eight codes
        shifts    (64,): where among those bits a code begins
        entries   (group, 256): the i-th byte of every word, over and over
        order     (group, 128): of the k-th 64 levels, which code each belongs to, 64 uint8, and
                  for each entry of a word the levels that are of it, 8 uint64 of bits

    table   (ksub, group), the words' bytes
    """
    group, bits = table.shape[1], len(table).bit_length() - 1
    eight = np.arange(8)
    entries = np.resize(table, (256, group)).T
    codes, which = np.divmod(np.arange(64 * group).reshape(group, 64), group)
    masks = np.zeros((group, 8, 8), np.uint8)
    for i in range(group):
        masks[:, i] = np.packbits(which == i, axis=1, bitorder="little")
    order = np.concatenate([codes, masks.reshape(group, 64)], axis=1)
    parts = (eight[:, None] * bits + eight) % 64, np.tile(eight * bits, 8), entries, order
    return np.concatenate([part.astype(np.uint8).ravel() for part in parts])


@kernel
def decode_row(rest, segment, out):
    """Write a row's levels as bytes offset by ROW_BIAS, up to 64 * WORDS bytes, the last ones any.

    rest   address of the row's bits
    """
    if simd.WIDE and field(segment, LOOKUPS) != 0:
        group, words, word = field(segment, GROUP), field(segment, WORDS), np.int64(0)
        for first in range(0, field(segment, CODES), 64):
            found = _look_up(rest, segment, first)
            for k in range(min(group, words - word)):
                simd.store(out + 64 * word, _woven(segment, found, k))
                word += 1
    else:
        decode(rest, segment, np.int64(0), field(segment, CODES), out)


@inlined
def _look_up(rest, segment, first):
    """The levels of 64 codes: the first entries of all, the second ones, ..., up to five."""
    bits, table, group = field(segment, WINDOW), field(segment, LOOKUPS), field(segment, GROUP)
    at, none = bits * (first >> 3), simd.splat(np.int32(0))
    index = simd.load_head(rest + at, field(segment, REST_BYTES) - at)
    index = simd.merge(none, ALL, simd.load(table), index)
    index = simd.shift_bytes(index, simd.load(table + 64))
    x0, x1 = _entries(table, bits, index, 0), _entries(table, bits, index, 1)
    x2 = x3 = x4 = none
    if group > 2:
        x2 = _entries(table, bits, index, 2)
    if group > 3:
        x3 = _entries(table, bits, index, 3)
    if group > 4:
        x4 = _entries(table, bits, index, 4)
    return x0, x1, x2, x3, x4


@inlined
def _entries(table, bits, index, i):
    """Entry i of words; bits of an index beyond its own count for nothing."""
    at = table + 128 + 256 * i
    return simd.lookup128(at, index) if bits < 8 else simd.lookup256(at, index)


@inlined
def _woven(segment, levels, k):
    """The k-th 64 of those levels, word by word."""
    group = field(segment, GROUP)
    order = field(segment, LOOKUPS) + 128 + 256 * group + 128 * k
    index, masks = simd.load(order), order + 64
    out = simd.merge(simd.splat(np.int32(0)), simd.load_word(masks), index, levels[0])
    out = simd.merge(out, simd.load_word(masks + 8), index, levels[1])
    if group > 2:
        out = simd.merge(out, simd.load_word(masks + 16), index, levels[2])
    if group > 3:
        out = simd.merge(out, simd.load_word(masks + 24), index, levels[3])
    if group > 4:
        out = simd.merge(out, simd.load_word(masks + 32), index, levels[4])
    return out


@inlined
def decode(rest, segment, first, last, out):
    """Write the levels of codes first..last-1 of a row."""
    table, group, stride = field(segment, TABLE), field(segment, GROUP), field(segment, STRIDE)
    mask = np.int64((1 << field(segment, WINDOW)) - 1)
    easy = min(field(segment, EASY), last)
    bit, to = first * stride, out
    if group > 4:
        for _ in range(first, easy):
            code = np.int64(simd.load_int(rest + (bit >> 3)) >> np.int32(bit & 7)) & mask
            simd.store_word(to, simd.load_word(table + 8 * code))
            bit, to = bit + stride, to + group
    else:
        for _ in range(first, easy):
            code = np.int64(simd.load_int(rest + (bit >> 3)) >> np.int32(bit & 7)) & mask
            simd.store_int(to, simd.load_int(table + 4 * code))
            bit, to = bit + stride, to + group
    for j in range(max(easy, first), last):
        entry = table + (8 if group > 4 else 4) * _last_code(rest, segment, j)
        for i in range(group):
            simd.store_byte(to + i, simd.load_byte(entry + i))
        to += group


@inlined
def _last_code(rest, segment, j):
    """One of the last codes, which the easy way would read or write too far for."""
    window, start = field(segment, WINDOW), j * field(segment, STRIDE)
    at = field(segment, REST_BYTES) - SHORTEST
    left = field(segment, CODES) * field(segment, STRIDE) - start
    bits = simd.load_word(rest + at) >> np.uint64(start - 8 * at)
    if left < window:
        bits |= simd.load_word(rest) << np.uint64(left)
    return np.int64(bits & np.uint64((1 << window) - 1))


@kernel
def dot_row(rest, segment, query):
    """Sum over one row of level byte * query byte, ROW_BIAS included.

    query   address of the segment's 64 * words int8, zero beyond the last entry
    """
    codes, words, piece = field(segment, CODES), field(segment, WORDS), simd.stack()
    total, word = simd.splat(np.int32(0)), np.int64(0)
    if simd.WIDE and field(segment, LOOKUPS) != 0:
        for first in range(0, codes, 64):
            found = _look_up(rest, segment, first)
            for k in range(min(field(segment, GROUP), words - word)):
                levels = _woven(segment, found, k)
                total = simd.dot4(total, levels, simd.load(query + 64 * word))
                word += 1
        return simd.sum_lanes(total)
    for first in range(0, codes, PIECE):
        decode(rest, segment, first, min(first + PIECE, codes), piece)
        end = min(word + PIECE // 64 * field(segment, GROUP), words)
        at = piece
        while word < end:
            total = simd.dot4(total, simd.load(at), simd.load(query + 64 * word))
            word, at = word + 1, at + 64
    return simd.sum_lanes(total)


@kernel
def decode_rows(rows, segment, out):
    """Write the levels of many rows, as the segment's table has them.

    rows      (n, REST_BYTES) uint8; segment (1, FIELDS)
    out       (n, CODES * GROUP) int8
    """
    at, codes = simd.address_of(segment), segment[0, CODES]
    for i in range(rows.shape[0]):
        rest = simd.address_of(rows) + i * rows.shape[1]
        decode(rest, at, np.int64(0), codes, simd.address_of(out) + i * out.shape[1])
