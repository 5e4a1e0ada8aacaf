"""Decoded rows on the CPU: bytes, float16 and float32, dotted as they lie.

A float dot product keeps sixteen partial sums, lane j over dimensions j, j + 16, ..., and adds
them halves first; products and sums round separately. One row or many, every level gives the
same bits.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import field
from vqindex.kernels.cpu.program import BITS, HALF_ROWS, WORDS


@kernel
def copy_bytes(rest, segment, out):
    """Write a row of int8 levels as bytes offset by ROW_BIAS."""
    for word in range(field(segment, WORDS)):
        simd.store(out + 64 * word, simd.to_row_bytes(simd.load(rest + 64 * word)))


@inlined
def dot_bytes(rest, segment, query):
    """Sum over one int8 row of level byte * query byte, ROW_BIAS included."""
    total = simd.splat(np.int32(0))
    for word in range(field(segment, WORDS)):
        levels = simd.to_row_bytes(simd.load(rest + 64 * word))
        total = simd.dot4(total, levels, simd.load(query + 64 * word))
    return simd.sum_lanes(total)


@kernel
def copy_floats(rest, segment, out):
    """Write a row of float16 or float32 as float32."""
    for word in range(field(segment, WORDS)):
        if field(segment, BITS) == HALF_ROWS:
            simd.store(out + 64 * word, simd.load_halves(rest + 32 * word))
        else:
            simd.store(out + 64 * word, simd.load(rest + 64 * word))


@inlined
def dot_floats(rest, segment, query):
    """The inner product of one float row with a float32 query."""
    total = simd.splat_float(np.float32(0))
    for word in range(field(segment, WORDS)):
        if field(segment, BITS) == HALF_ROWS:
            row = simd.load_halves(rest + 32 * word)
        else:
            row = simd.load(rest + 64 * word)
        total = simd.add_float(total, simd.multiply_float(row, simd.load(query + 64 * word)))
    return simd.sum_floats(total)
