"""Walsh-Hadamard transforms of one row, by passes that are the same long loop at every stride.

A pass reads two halves of the row and writes pairs, or reads pairs and writes halves, and so
turns the first axis into the last, or the last into the first, bit by bit. Rows are named by
their addresses.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined


@inlined
def spread(x, signs, a, b, width, d):
    """Butterflies along the first axis of a row (width, p), which becomes the last: (p, width).

    x       d float32; signs (d,) float32 of +-1 that it is first multiplied by, or 0 for none
            (where width is 1 or d no multiple of 32)
    a, b    (d,) scratch; x may be b
    returns the address of the result: a or b, or x where width is 1
    """
    while width > 1:
        if width >= 4 and d % 64 == 0:
            _quarters_to_fours(x, signs, a, d)
            width //= 4
        else:
            _halves_to_pairs(x, signs, a, d)
            width //= 2
        x, signs, a, b = a, np.int64(0), b, a
    return x


@inlined
def gather(x, a, b, width, d):
    """`spread` backwards: butterflies along the last axis of (p, width), which becomes the first.

    Arguments and result as there, without signs.
    """
    while width > 1:
        _pairs_to_halves(x, a, d)
        width //= 2
        x, a, b = a, b, a
    return x


@inlined
def _signed(x, signs, j):
    entries = simd.load(x + j)
    return simd.multiply_float(entries, simd.load(signs + j)) if signs else entries


@inlined
def _halves_to_pairs(x, signs, out, d):
    half = 2 * d
    whole = half - half % 64
    for j in range(0, whole, 64):
        _store_pairs(out + 2 * j, _signed(x, signs, j), _signed(x, signs, half + j))
    for j in range(whole, half, 4):
        p, q = simd.load_float(x + j), simd.load_float(x + half + j)
        simd.store_float(out + 2 * j, p + q)
        simd.store_float(out + 2 * j + 4, p - q)


@inlined
def _quarters_to_fours(x, signs, out, d):
    """`_halves_to_pairs` twice, for quarters (of d bytes) that are whole vectors."""
    for j in range(0, d, 64):
        x0, x1 = _signed(x, signs, j), _signed(x, signs, d + j)
        x2, x3 = _signed(x, signs, 2 * d + j), _signed(x, signs, 3 * d + j)
        even, even_less = simd.add_float(x0, x2), simd.subtract_float(x0, x2)
        odd, odd_less = simd.add_float(x1, x3), simd.subtract_float(x1, x3)
        low, high = out + 4 * j, out + 4 * j + 128
        _store_pairs(low, simd.weave_low(even, even_less), simd.weave_low(odd, odd_less))
        _store_pairs(high, simd.weave_high(even, even_less), simd.weave_high(odd, odd_less))


@inlined
def _store_pairs(where, p, q):
    """Write p + q and p - q of sixteen entries each, side by side."""
    total, difference = simd.add_float(p, q), simd.subtract_float(p, q)
    simd.store(where, simd.weave_low(total, difference))
    simd.store(where + 64, simd.weave_high(total, difference))


@inlined
def _pairs_to_halves(x, out, d):
    half = 2 * d
    whole = half - half % 64
    for j in range(0, whole, 64):
        low, high = simd.load(x + 2 * j), simd.load(x + 2 * j + 64)
        p, q = simd.even_lanes(low, high), simd.odd_lanes(low, high)
        simd.store(out + j, simd.add_float(p, q))
        simd.store(out + half + j, simd.subtract_float(p, q))
    for j in range(whole, half, 4):
        p, q = simd.load_float(x + 2 * j), simd.load_float(x + 2 * j + 4)
        simd.store_float(out + j, p + q)
        simd.store_float(out + half + j, p - q)
