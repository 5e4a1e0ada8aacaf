"""Polar codes on the CPU: sixteen entries in a word of 64 bits, to it and back to int8 levels.

    bits 0..31    8 codes of 4 bits, angles of pairs of entries
    bits 32..39   4 codes of 2 bits, of pairs of their radii
    bits 40..43   2 codes of 2 bits
    bits 44..45   1 code of 2 bits
    bits 48..63   the radius, float16, in steps of the levels' grid

Levels are 28 pairs of a cosine and a sine, float32: 16 of the first step, 4 of each further one.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import field
from vqindex.kernels.cpu.program import REST_BYTES, TABLE

BLOCK_DIMS = 16
RADIUS_BYTE = 6
_STEPS = 4


@inlined
def _levels(step):
    """The first pair of a step's levels, how many there are, and the bits of a code."""
    return (0, 16, 4) if step == 0 else (12 + 4 * step, 4, 2)


@inlined
def _first_bit(step):
    """Where the codes of a step begin."""
    return 32 if step == 1 else 40 if step == 2 else 44 if step == 3 else 0


@inlined
def _decode(word, levels, values):
    """Write the 16 entries of a word, at the address `word`, to values (32,) float32."""
    bits = simd.load_word(word)
    values[0] = simd.load_half(word + RADIUS_BYTE)
    count = 1
    for step in range(_STEPS - 1, -1, -1):
        start, _, width = _levels(step)
        for i in range(count - 1, -1, -1):
            shift = np.uint64(_first_bit(step) + width * i)
            code = np.int64((bits >> shift) & np.uint64((1 << width) - 1))
            at, radius = levels + 8 * (start + code), values[i]
            values[2 * i] = radius * simd.load_float(at)
            values[2 * i + 1] = radius * simd.load_float(at + 4)
        count *= 2


@inlined
def _level(value):
    t = np.floor(value)
    if not t > np.float32(-128):  # nor is NaN, which a damaged file's radius may be
        return -128
    return np.int64(min(t, np.float32(127)))


@inlined
def _level_bytes(word, levels, values, octets, start):
    _decode(word, levels, values)
    for j in range(BLOCK_DIMS):
        octets[start + j] = np.uint8(_level(values[j]) + simd.ROW_BIAS)


@kernel
def decode_row(rest, segment, out):
    """Write the levels of a row as bytes offset by ROW_BIAS, whole vectors of 64."""
    levels, row_bytes = field(segment, TABLE), field(segment, REST_BYTES)
    values, octets = np.empty(BLOCK_DIMS, np.float32), np.zeros(64, np.uint8)
    for first in range(0, row_bytes, 32):
        for b in range(first, min(first + 32, row_bytes), 8):
            _level_bytes(rest + b, levels, values, octets, 2 * (b - first))
        simd.store(out + 2 * first, simd.load(simd.address_of(octets)))


@kernel
def dot_row(rest, segment, query):
    """Sum over one row of level byte * query byte, ROW_BIAS included."""
    levels, row_bytes = field(segment, TABLE), field(segment, REST_BYTES)
    values, octets = np.empty(BLOCK_DIMS, np.float32), np.zeros(64, np.uint8)
    total = simd.splat(np.int32(0))
    for first in range(0, row_bytes, 32):
        for b in range(first, min(first + 32, row_bytes), 8):
            _level_bytes(rest + b, levels, values, octets, 2 * (b - first))
        row = simd.load(simd.address_of(octets))
        total = simd.dot4(total, row, simd.load(query + 2 * first))
    return simd.sum_lanes(total)


@kernel
def unpack(words, levels, scales, out):
    """Write scale * level of each entry; words (n, w) uint64, scales (n,), out (n, d) float32.

    levels   an address, as everywhere here
    """
    values = np.empty(BLOCK_DIMS, np.float32)
    for i in range(out.shape[0]):
        for b in range(words.shape[1]):
            _decode(simd.address_of(words) + 8 * (words.shape[1] * i + b), levels, values)
            for j in range(min(BLOCK_DIMS, out.shape[1] - BLOCK_DIMS * b)):
                level = np.float32(_level(values[j])) + np.float32(0.5)
                out[i, BLOCK_DIMS * b + j] = level * scales[i]


@kernel
def encode(values, levels, words, radii):
    """Code the angles of blocks (n, 16) float32: bits 0..45 of words (n,) uint64, radii (n,)."""
    entries = np.empty(BLOCK_DIMS, np.float64)
    for i in range(values.shape[0]):
        for j in range(BLOCK_DIMS):
            entries[j] = values[i, j]
        word, count = np.uint64(0), BLOCK_DIMS
        for step in range(_STEPS):
            start, size, width = _levels(step)
            count //= 2
            for p in range(count):
                first, second = entries[2 * p], entries[2 * p + 1]
                code = _nearest(levels + 8 * start, size, first, second)
                word |= np.uint64(code) << np.uint64(_first_bit(step) + width * p)
                entries[p] = np.sqrt(first * first + second * second)
        words[i], radii[i] = word, entries[0]


@inlined
def _nearest(levels, size, first, second):
    code, best = 0, -np.inf
    for t in range(size):
        at = levels + 8 * t
        cosine, sine = np.float64(simd.load_float(at)), np.float64(simd.load_float(at + 4))
        along = cosine * first + sine * second
        if along > best:
            code, best = t, along
    return code
