"""Floats: each step rounds once, so that every level gives the same bits."""

from typing import Any

from llvmlite import ir
from numba import types

from vqindex.kernels.cpu.simd.core import (
    F32,
    FLOATS,
    I8,
    I16,
    I32,
    I64,
    INTS,
    address,
    const,
    operation,
    pick,
    spread,
    vec,
    vector,
    write,
)

_LANES = vec(I64, 16)


@operation(vector, types.float32)
def splat_float(b, value):
    """The same float32 in every lane."""
    return b.bitcast(spread(b, value, 16), INTS)


@operation(vector, vector)
def to_float(b, x):
    """int32 lanes as float32, rounded to nearest."""
    return b.bitcast(b.sitofp(x, FLOATS), INTS)


@operation(vector, vector, vector)
def add_float(b, x, y):
    """float32 sums."""
    return b.bitcast(b.fadd(b.bitcast(x, FLOATS), b.bitcast(y, FLOATS)), INTS)


@operation(vector, vector, vector)
def multiply_float(b, x, y):
    """float32 products."""
    return b.bitcast(b.fmul(b.bitcast(x, FLOATS), b.bitcast(y, FLOATS)), INTS)


@operation(types.uint32, vector, vector)
def at_least(b, x, y):
    """Bit j is set where float32 lane x_j >= y_j."""
    mask = b.fcmp_ordered(">=", b.bitcast(x, FLOATS), b.bitcast(y, FLOATS))
    return b.zext(b.bitcast(mask, I16), I32)


@operation(vector, vector)
def magnitude(b, x):
    """float32 without its sign."""
    return b.and_(x, const(I32, 16, 0x7FFFFFFF))


@operation(vector, vector, vector, vector, vector)
def add_where_above(b, total, x, threshold, step):
    """int32 total + step in the lanes where float32 x > threshold."""
    above = b.fcmp_ordered(">", b.bitcast(x, FLOATS), b.bitcast(threshold, FLOATS))
    return b.add(total, b.select(above, step, const(I32, 16, 0)))


@operation(vector, vector, vector, vector, vector)
def add_float_where_above(b, total, x, threshold, step):
    """float32 total + step in the lanes where float32 x > threshold."""
    above = b.fcmp_ordered(">", b.bitcast(x, FLOATS), b.bitcast(threshold, FLOATS))
    added = b.select(above, b.bitcast(step, FLOATS), const(F32, 16, 0.0))
    return b.bitcast(b.fadd(b.bitcast(total, FLOATS), added), INTS)


@operation(vector, vector, vector, vector)
def add_where_negative(b, total, x, step):
    """int32 total + step in the lanes where float32 x < 0; -0.0 is not below 0."""
    below = b.fcmp_ordered("<", b.bitcast(x, FLOATS), const(F32, 16, 0.0))
    return b.add(total, b.select(below, step, const(I32, 16, 0)))


@operation(vector, vector, vector)
def copy_sign(b, x, y):
    """float32 x, negated in the lanes where y < 0."""
    below = b.fcmp_ordered("<", b.bitcast(y, FLOATS), const(F32, 16, 0.0))
    return b.xor(x, b.select(below, const(I32, 16, 0x80000000), const(I32, 16, 0)))


@operation(vector, vector, types.int64)
def keep_lanes(b, x, lanes):
    """The first `lanes` lanes of x, zero in the others."""
    place = ir.Constant(_LANES, list(range(16)))
    kept = b.icmp_signed("<", place, spread(b, lanes, 16))
    return b.select(kept, x, const(I32, 16, 0))


@operation(types.none, address, vector)
def store_low_bytes(b, where, x):
    """Write the low byte of each int32 lane: 16 bytes."""
    write(b, where, b.trunc(x, vec(I8, 16)))


def sum_floats_ir(b: Any, x: Any) -> Any:
    """The sum of sixteen float32 lanes: (8 + 8), (4 + 4), (2 + 2), (1 + 1)."""
    for width in (8, 4, 2, 1):
        x = b.fadd(pick(b, x, range(width)), pick(b, x, range(width, 2 * width)))
    return b.extract_element(x, ir.Constant(I32, 0))


@operation(types.float32, vector)
def sum_floats(b, x):
    """The sum of sixteen float32 lanes, halves first."""
    return sum_floats_ir(b, b.bitcast(x, FLOATS))
