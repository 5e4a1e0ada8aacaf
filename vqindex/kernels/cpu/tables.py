"""Tables of a query: sums over sign planes by look-up, four signs at a time.

The signs of four dimensions are a number below 16, which looks up the sum of those of the
query's entries where the row is negative. Look-ups are bytes, so such a sum is kept in steps of
R / 127, where R is the largest span of four entries; a row's total S of them says

    sum of the negative entries = floor + R / 127 * S,  within groups * R / 127 * ROUNDING

A word of 64 dimensions has 256 bytes of tables: sixteen for the low
half of each of its eight bytes, then sixteen for each high half.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import field, segment_at
from vqindex.kernels.cpu.lookups import TABLE_BYTES
from vqindex.kernels.cpu.program import (
    BITS,
    BLOCK,
    FIRST,
    NIBBLES,
    OCTETS,
    OPERAND,
    PLANE_WORDS,
    SPARSE,
    UNBOUND,
    WEIGHTS,
    WORDS,
)

LARGEST = 127  # two look-ups are added as bytes
ROUNDING = 0.51  # a half, and what is cut off the factor that divides by R
BLURRED = np.float32(2.0**-20)  # what a few float32 steps may take of a sum
TINY = 127 * 2.0**-149  # of a group's total: what rounding takes of a step that is denormal


@kernel
def prepare(asked, program, signs, slack):
    """The tables of queries, and what turns a row's total into a bound of its estimate.

        bound = base + unit * S
        of signs   unit = -gamma * R / 127,
                   base = (half - floor) * gamma + rounding, or slack for the first if it is more
        of codes   unit = gamma * 128,  base = half * gamma + rounding
        of outliers   unit = gamma,  base = 0: S is the exact sum, the tables are the entries
        of none    unit = 0,  base = half * gamma

    Entries count times the segment's weights where it has any, and half is half their sum.

    asked      a records.Asked with all but tables (padded, table_bytes), base and unit
               (signs, padded), which are written
    program    (segments, FIELDS), of which the first `signs` are looked up
    slack      (nq,) float32

    Source: reference.sign.tables, reference.table.coarse.
    """
    for q in range(asked.nq):
        prepare_one(asked, simd.address_of(program), signs, slack[q], q)


@inlined
def prepare_one(asked, program, signs, slack, q):
    """`prepare` of one query, by a program at its address."""
    at = asked.tables + q * asked.table_bytes
    for s in range(signs):
        segment = segment_at(program, s)
        bits, words = field(segment, BITS), field(segment, WORDS)
        start, here = asked.entries + q * asked.row_bytes, 4 * (s * asked.padded + q)
        start += field(segment, OPERAND)
        half, gamma = simd.load_float(asked.half + here), simd.load_float(asked.gamma + here)
        if bits == SPARSE:
            for byte in range(0, TABLE_BYTES * words, 64):
                simd.store(at + byte, simd.load(start + byte))
            middle, step, margin = np.float32(0), gamma, np.float32(0)
        elif bits >= NIBBLES:
            tables = 16 * words if bits == NIBBLES else words
            middle, step, margin = _coarsen(start, words, tables, half, gamma, at)
        elif words == 0:
            middle, step, margin = half, np.float32(0), np.float32(0)
        else:
            middle, step, margin = _sums(start, field(segment, WEIGHTS), words, gamma, at)
        if s == 0:
            simd.store_float(asked.middle + 4 * q, middle * gamma)
            simd.store_float(asked.margin + 4 * q, margin)
            margin = max(margin, slack)
        simd.store_float(asked.base + here, middle * gamma + margin)
        simd.store_float(asked.unit + here, step)
        at += TABLE_BYTES * words


@inlined
def _sums(start, weights, words, gamma, at):
    """Write the tables of four entries each; the middle, the step and how far an estimate errs."""
    floor, span, total = np.int64(0), np.int64(1), np.int64(0)
    for group in range(16 * words):
        low, high = _extremes(_four(start, weights, group))
        floor += low
        total += low + high
        span = max(span, high - low)
    factor = np.int32((LARGEST << 16) // span)
    for group in range(16 * words):
        place = group % 16
        to = at + TABLE_BYTES * (group // 16) + 128 * (place % 2) + 16 * (place // 2)
        _write_table(_four(start, weights, group), factor, to)
    step = gamma * (np.float32(span) / np.float32(LARGEST))
    groups = np.float32(16 * words)
    margin = step * groups * np.float32(ROUNDING) + groups * np.float32(TINY)
    middle = np.float32(total) * np.float32(0.5) - np.float32(floor)
    return middle, -step, margin


@inlined
def _coarsen(start, words, tables, half, gamma, at):
    """Write tables in steps of 128, rounded; the middle, the step and how far an estimate errs."""
    for j in range(0, 256 * words, 16):
        eighths = simd.scale_down(simd.load(start + 4 * j), np.int32(1 << 9))
        simd.store_low_bytes(at + j, eighths)
    margin = gamma * (np.float32(64 * tables) + np.float32(8)) + abs(half * gamma) * BLURRED
    return half, gamma * np.float32(128), margin


@inlined
def _four(start, weights, group):
    """Four entries of a query, times their weights where there are any."""
    return (
        _entry(start, weights, 4 * group),
        _entry(start, weights, 4 * group + 1),
        _entry(start, weights, 4 * group + 2),
        _entry(start, weights, 4 * group + 3),
    )


@inlined
def _entry(start, weights, j):
    entry = np.int32(np.int8(simd.load_byte(start + j)))
    return entry if weights == UNBOUND else entry * simd.load_int(weights + 4 * j)


@inlined
def _extremes(four):
    """The least and the largest sum of some of four entries."""
    low = high = np.int64(0)
    for entry in four:
        low += min(entry, np.int64(0))
        high += max(entry, np.int64(0))
    return low, high


@inlined
def _write_table(four, factor, to):
    low, _high = _extremes(four)
    sums = simd.subset_sums(four[0], four[1], four[2], four[3])
    above = simd.subtract(sums, simd.splat(np.int32(low)))
    simd.store_low_bytes(to, simd.scale_down(above, factor))


@inlined
def row_sum(plane, segment, row, tables):
    """The total of one row of a block, as lookups.plane_sums has it."""
    total = np.int64(0)
    at = plane + 64 * ((row >> 3) * field(segment, PLANE_WORDS) + field(segment, FIRST))
    at += 8 * (row & 7)
    for _ in range(field(segment, WORDS)):
        signs = simd.load_word(at)
        for byte in range(8):
            octet = np.int64(signs >> np.uint64(8 * byte)) & np.int64(255)
            total += simd.load_byte(tables + 16 * byte + (octet & np.int64(15)))
            total += simd.load_byte(tables + 128 + 16 * byte + (octet >> np.int64(4)))
        at += 64
        tables += TABLE_BYTES
    return total


@inlined
def row_octets(codes, segment, row, tables):
    """The total of one row of a block of 8-bit codes, as lookups.octet_sums has it."""
    total = np.int64(0)
    for j in range(field(segment, WORDS)):
        total += simd.load_byte(tables + 256 * j + simd.load_byte(codes + 32 * j + row))
    return total


@inlined
def raw_words(plane, segment, row, entries):
    """The sum of one row's entries, looked up by its 4-bit codes."""
    total = np.int64(0)
    at = plane + 64 * ((row >> 3) * field(segment, PLANE_WORDS) + field(segment, FIRST))
    at += 8 * (row & 7)
    for _ in range(field(segment, WORDS)):
        codes = simd.load_word(at)
        for byte in range(8):
            octet = np.int64(codes >> np.uint64(8 * byte)) & np.int64(255)
            total += simd.load_int(entries + 4 * (16 * byte + (octet & np.int64(15))))
            total += simd.load_int(entries + 4 * (128 + 16 * byte + (octet >> np.int64(4))))
        at += 64
        entries += 1024
    return total


@inlined
def word_sums(plane, group, words, entries):
    """The sums of a block's rows, looked up by their 4-bit codes: two vectors of int32.

    plane, group   address of the first word of eight rows, and how far on the next eight are
    """
    low = high = simd.splat(np.int32(0))
    for _ in range(words):
        a, b = simd.load(plane), simd.load(plane + group)
        c, d = simd.load(plane + 2 * group), simd.load(plane + 3 * group)
        for first in range(2):  # four bytes of sixteen rows
            x = simd.odd_lanes(a, b) if first else simd.even_lanes(a, b)
            y = simd.odd_lanes(c, d) if first else simd.even_lanes(c, d)
            for code in range(8):
                table = entries + 4 * (128 * (code & 1) + 16 * (4 * first + (code >> 1)))
                bit = np.int32(4 * code)
                low = simd.add(low, simd.lookup_ints(table, x, bit))
                high = simd.add(high, simd.lookup_ints(table, y, bit))
        plane, entries = plane + 64, entries + 1024
    return low, high


@inlined
def raw_octets(codes, segment, row, entries):
    """The sum of one row's entries, looked up by its 8-bit codes."""
    total = np.int64(0)
    for j in range(field(segment, WORDS)):
        code = simd.load_byte(codes + 32 * j + row)
        total += simd.load_int(entries + 4 * (256 * j + code))
    return total


@inlined
def raw_vector(codes, segment, packed, out, line):
    """Sums of a block's rows with 16 queries, int32, a row every `line` bytes of `out`.

    codes    address of the block's codes as they lie
    packed   the segment's entries of those queries side by side
    """
    words = field(segment, WORDS)
    for row in range(BLOCK):
        total, entries = simd.splat(np.int32(0)), packed
        if field(segment, BITS) == OCTETS:
            for j in range(words):
                code = simd.load_byte(codes + BLOCK * j + row)
                total = simd.add(total, simd.load(entries + 64 * code))
                entries += 64 * 256
        else:
            at = codes + 64 * (row >> 3) * words + 8 * (row & 7)
            for _ in range(words):
                four_bits = simd.load_word(at)
                for byte in range(8):
                    octet = np.int64(four_bits >> np.uint64(8 * byte)) & np.int64(255)
                    low = entries + 64 * (16 * byte + (octet & np.int64(15)))
                    high = entries + 64 * (128 + 16 * byte + (octet >> np.int64(4)))
                    total = simd.add(total, simd.add(simd.load(low), simd.load(high)))
                at, entries = at + 64, entries + 64 * 256
        simd.store(out + line * row, total)
