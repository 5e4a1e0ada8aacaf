"""Pyramid codes on the CPU: find the pulses of a group, number them, and back to int8 levels.

A row is coded in groups of up to 64 dimensions: for each the number of a point, some 64-bit words
with the lowest first, and at the row's end a 3-bit index of each group's gain. A plan tells how,
int64 fields: those of `HEAD`, then those of `GROUP` for each group. U(n, k) of kernels.reference
stands in a table of such words.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import field
from vqindex.kernels.cpu.program import TABLE

(
    GROUPS,  # how many there are
    COUNTS,  # address of the table of U: n = 0.., k = 0.., words
    ACROSS,  # bytes from n to n + 1 in it
    ENTRY,  # bytes from k to k + 1
    GAINS,  # byte of a row where the gains' bits begin
) = range(5)
HEAD = 5
(
    DIMS,  # entries of the group
    PULSES,  # k
    WORDS,  # of its number
    CODE,  # byte of a row where that stands
    GAIN,  # address of 8 float32, in steps of the levels' grid
    EDGES,  # address of 7 float32: between the norms that have one gain and the next
) = range(6)
GROUP = 6
WIDEST = 64  # entries of a group
GAIN_BITS = 3
_SCRATCH = WIDEST + 8  # pulses of a group, and words of its number


@inlined
def _group(plan, g):
    return plan + 8 * (HEAD + GROUP * g)


@inlined
def _entry(plan, n, k):
    """The address of U(n, k)."""
    return field(plan, COUNTS) + n * field(plan, ACROSS) + k * field(plan, ENTRY)


@inlined
def _reaches(index, entry, words):
    """Whether one number is at least another."""
    for w in range(words - 1, -1, -1):
        a, b = simd.load_word(index + 8 * w), simd.load_word(entry + 8 * w)
        if a != b:
            return a > b
    return True


@inlined
def _add(index, entry, words):
    carry = np.uint64(0)
    for w in range(words):
        a, b = simd.load_word(index + 8 * w), simd.load_word(entry + 8 * w)
        low = a + b
        total = low + carry
        carry = np.uint64(low < a) | np.uint64(total < low)
        simd.store_word(index + 8 * w, total)


@inlined
def _subtract(index, entry, words):
    borrow = np.uint64(0)
    for w in range(words):
        a, b = simd.load_word(index + 8 * w), simd.load_word(entry + 8 * w)
        low = a - b
        total = low - borrow
        borrow = np.uint64(a < b) | np.uint64(low < borrow)
        simd.store_word(index + 8 * w, total)


@kernel
def rank(plan, group, y, index):
    """reference.pyramid.rank: y, int64 entries, to the words of a number."""
    n, words = field(group, DIMS), field(group, WORDS)
    for w in range(words):
        simd.store_word(index + 8 * w, np.uint64(0))
    last = field(y, n - 1)
    k = abs(last)
    if last < 0:
        simd.store_word(index, np.uint64(1))
    for j in range(n - 2, -1, -1):
        _add(index, _entry(plan, n - j, k), words)
        entry = field(y, j)
        k += abs(entry)
        if entry < 0:
            _add(index, _entry(plan, n - j, k + 1), words)


@kernel
def unrank(plan, group, index, y):
    """reference.pyramid.unrank; the words of the number are lost. Returns the sum of y^2."""
    n, words = field(group, DIMS), field(group, WORDS)
    k, square = field(group, PULSES), 0
    step = field(plan, ENTRY)
    for j in range(n):
        at = _entry(plan, n - j, k)
        negative = _reaches(index, at + step, words)
        if negative:
            _subtract(index, at + step, words)
        before = k
        while k > 0 and not _reaches(index, at, words):
            k -= 1
            at -= step
        _subtract(index, at, words)
        value = before - k
        square += value * value
        simd.store_int64(y + 8 * j, -value if negative else value)
    return square


@kernel
def search(x, n, k, y):
    """reference.pyramid.search: x, n float32, to y, n int64. Returns the sum of y^2."""
    total = 0.0
    for j in range(n):
        total += abs(np.float64(simd.load_float(x + 4 * j)))
        simd.store_int64(y + 8 * j, 0)
    if total == 0:
        simd.store_int64(y, k)
        return k * k
    left, dot, square = k, 0.0, 0.0
    if 2 * k > n:
        factor = (k + 0.8) / total
        for j in range(n):
            size = abs(np.float64(simd.load_float(x + 4 * j)))
            pulses = np.floor(factor * size)
            dot += size * pulses
            square += pulses * pulses
            left -= np.int64(pulses)
            simd.store_int64(y + 8 * j, np.int64(pulses))
    for _ in range(left):
        best, top, bottom = 0, -1.0, 1.0
        for j in range(n):
            above = dot + abs(np.float64(simd.load_float(x + 4 * j)))
            above *= above
            under = square + 2.0 * field(y, j) + 1.0
            if above * bottom > top * under:
                best, top, bottom = j, above, under
        dot += abs(np.float64(simd.load_float(x + 4 * best)))
        square += 2.0 * field(y, best) + 1.0
        simd.store_int64(y + 8 * best, field(y, best) + 1)
    for j in range(n):
        if simd.load_float(x + 4 * j) < 0:
            simd.store_int64(y + 8 * j, -field(y, j))
    return np.int64(square)


@inlined
def _level(pulses, factor):
    t = np.floor(np.float32(pulses) * factor)
    return np.int64(min(max(t, np.float32(-128)), np.float32(127)))


@inlined
def _factor(group, gain, square):
    # A number beyond the last, as a damaged file may hold, can leave no pulse at all.
    return simd.load_float(field(group, GAIN) + 4 * gain) / np.sqrt(np.float32(max(square, 1)))


@inlined
def _unpack(row, plan, group, g, scratch):
    """The pulses of a group of a row, to `scratch`; returns what a pulse is worth."""
    index, words = scratch + 8 * WIDEST, field(group, WORDS)
    for w in range(words):
        simd.store_word(index + 8 * w, simd.load_word(row + field(group, CODE) + 8 * w))
    square = unrank(plan, group, index, scratch)
    bit = GAIN_BITS * g
    at = row + field(plan, GAINS) + bit // 8
    pair = simd.load_byte(at)
    if bit % 8 > 8 - GAIN_BITS:
        pair |= simd.load_byte(at + 1) << 8
    return _factor(group, (pair >> (bit % 8)) & 7, square)


@inlined
def _level_bytes(row, plan, g, scratch, octets):
    """64 level bytes of a group, offset by ROW_BIAS."""
    group = _group(plan, g)
    factor = _unpack(row, plan, group, g, scratch)
    for j in range(field(group, DIMS)):
        octets[j] = np.uint8(_level(field(scratch, j), factor) + simd.ROW_BIAS)


@kernel
def decode_row(rest, segment, out):
    """Write the levels of a row as bytes offset by ROW_BIAS, 64 for each group."""
    plan, octets = field(segment, TABLE), np.zeros(WIDEST, np.uint8)
    memory = np.empty(_SCRATCH, np.int64)
    for g in range(field(plan, GROUPS)):
        _level_bytes(rest, plan, g, simd.address_of(memory), octets)
        simd.store(out + 64 * g, simd.load(simd.address_of(octets)))


@kernel
def dot_row(rest, segment, query):
    """Sum over one row of level byte * query byte, ROW_BIAS included."""
    plan, octets = field(segment, TABLE), np.zeros(WIDEST, np.uint8)
    memory = np.empty(_SCRATCH, np.int64)
    total = simd.splat(np.int32(0))
    for g in range(field(plan, GROUPS)):
        _level_bytes(rest, plan, g, simd.address_of(memory), octets)
        levels = simd.load(simd.address_of(octets))
        total = simd.dot4(total, levels, simd.load(query + 64 * g))
    return simd.sum_lanes(total)


@kernel
def levels(codes, plan, scales, out):
    """Write scale * level of each entry; codes (n, bytes) uint8, scales (n,), out (n, d) float32.

    plan   an address, as everywhere here
    """
    memory = np.empty(_SCRATCH, np.int64)
    for i in range(out.shape[0]):
        row, scratch = simd.address_of(codes) + codes.shape[1] * i, simd.address_of(memory)
        for g in range(field(plan, GROUPS)):
            group = _group(plan, g)
            factor = _unpack(row, plan, group, g, scratch)
            for j in range(field(group, DIMS)):
                level = np.float32(_level(field(scratch, j), factor)) + np.float32(0.5)
                out[i, WIDEST * g + j] = level * scales[i]


@kernel
def encode(values, plan, codes, dots):
    """Code rows: the pulses of each group, and the gain of its norm.

    values   (n, d) float32; codes (n, bytes) uint8, zeros; dots (n,) float64: sums of value * level
    """
    memory = np.empty(_SCRATCH, np.int64)
    for i in range(values.shape[0]):
        row, y = simd.address_of(codes) + codes.shape[1] * i, simd.address_of(memory)
        index, total = y + 8 * WIDEST, 0.0
        for g in range(field(plan, GROUPS)):
            group = _group(plan, g)
            n, words = field(group, DIMS), field(group, WORDS)
            x = simd.address_of(values) + 4 * (values.shape[1] * i + WIDEST * g)
            square = search(x, n, field(group, PULSES), y)
            gain = _gain(x, n, field(group, EDGES))
            rank(plan, group, y, index)
            for w in range(words):
                simd.store_word(row + field(group, CODE) + 8 * w, simd.load_word(index + 8 * w))
            for b in range(GAIN_BITS):
                bit = GAIN_BITS * g + b
                codes[i, field(plan, GAINS) + bit // 8] |= np.uint8(((gain >> b) & 1) << (bit % 8))
            factor = _factor(group, gain, square)
            for j in range(n):
                level = _level(field(y, j), factor) + 0.5
                total += level * np.float64(simd.load_float(x + 4 * j))
        dots[i] = total


@inlined
def _gain(x, n, edges):
    """How many of 7 edges the norm of x passes."""
    square, gain = 0.0, 0
    for j in range(n):
        value = np.float64(simd.load_float(x + 4 * j))
        square += value * value
    norm = np.sqrt(square)
    for e in range(7):
        if norm > np.float64(simd.load_float(edges + 4 * e)):
            gain += 1
    return gain
