"""Floats: each step rounds once, so that every level gives the same bits."""

from typing import Any

from llvmlite import ir
from numba import types

from vqindex.kernels.cpu.simd.core import (
    F32,
    FLOATS,
    I1,
    I8,
    I16,
    I32,
    I64,
    INTS,
    POINTER,
    SHORTS,
    address,
    call,
    const,
    operation,
    pick,
    read,
    spread,
    vec,
    vector,
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


@operation(vector, vector)
def to_int(b, x):
    """float32 lanes as int32, rounded towards zero; they must fit."""
    return b.fptosi(b.bitcast(x, FLOATS), INTS)


@operation(vector, vector, vector)
def add_float(b, x, y):
    """float32 sums."""
    return b.bitcast(b.fadd(b.bitcast(x, FLOATS), b.bitcast(y, FLOATS)), INTS)


@operation(vector, vector, vector)
def subtract_float(b, x, y):
    """float32 differences."""
    return b.bitcast(b.fsub(b.bitcast(x, FLOATS), b.bitcast(y, FLOATS)), INTS)


@operation(vector, vector, vector)
def multiply_float(b, x, y):
    """float32 products."""
    return b.bitcast(b.fmul(b.bitcast(x, FLOATS), b.bitcast(y, FLOATS)), INTS)


@operation(vector, vector, vector)
def divide_float(b, x, y):
    """float32 quotients."""
    return b.bitcast(b.fdiv(b.bitcast(x, FLOATS), b.bitcast(y, FLOATS)), INTS)


@operation(types.uint32, vector, vector)
def at_least(b, x, y):
    """Bit j is set where float32 lane x_j >= y_j."""
    mask = b.fcmp_ordered(">=", b.bitcast(x, FLOATS), b.bitcast(y, FLOATS))
    return b.zext(b.bitcast(mask, I16), I32)


@operation(vector, vector, vector)
def cut_keys(b, x, y):
    """int16 that are in the order of float32 cut to their upper halves: x_j at 2j, y_j after it."""
    both = b.or_(b.lshr(x, const(I32, 16, 16)), b.and_(y, const(I32, 16, 0xFFFF0000)))
    ordered = _in_order(b, b.bitcast(both, SHORTS), const(I16, 32, 15), const(I16, 32, 1))
    return b.bitcast(ordered, INTS)


@operation(types.int32, types.float32)
def cut_key(b, value):
    """The int16 that `cut_keys` has for a float32."""
    half = b.trunc(b.lshr(b.bitcast(value, I32), ir.Constant(I32, 16)), I16)
    return b.sext(_in_order(b, half, ir.Constant(I16, 15), ir.Constant(I16, 1)), I32)


def _in_order(b: Any, halves: Any, fifteen: Any, one: Any) -> Any:
    """A float's bits are a sign and a magnitude: turn the magnitudes of negative ones round."""
    return b.xor(halves, b.lshr(b.ashr(halves, fifteen), one))


@operation(types.uint32, vector, types.int32)
def keys_at_least(b, keys, key):
    """Bit j is set where int16 j is at least `key`."""
    least = spread(b, b.trunc(key, I16), 32)
    return b.bitcast(b.icmp_signed(">=", b.bitcast(keys, SHORTS), least), I32)


@operation(vector, vector, types.uint32, vector)
def choose(b, x, mask, other):
    """Lane j of x where bit j of mask is set, else of the other."""
    chosen = b.bitcast(b.trunc(mask, I16), vec(I1, 16))
    return b.select(chosen, x, other)


@operation(vector, vector, vector, vector, vector)
def choose_above(b, x, y, above, other):
    """Lane j of `above` where float32 x_j > y_j, else of the other."""
    higher = b.fcmp_ordered(">", b.bitcast(x, FLOATS), b.bitcast(y, FLOATS))
    return b.select(higher, above, other)


@operation(vector, vector, vector)
def max_float(b, x, y):
    """The greater float32."""
    return b.bitcast(_max(b, b.bitcast(x, FLOATS), b.bitcast(y, FLOATS)), INTS)


def _max(b: Any, x: Any, y: Any) -> Any:
    return b.select(b.fcmp_ordered(">", x, y), x, y)


@operation(types.float32, types.float32, types.int32)
def next_float(b, value, steps):
    """The float32 so many after one above 0."""
    return b.bitcast(b.add(b.bitcast(value, I32), steps), F32)


@operation(vector, vector, vector)
def min_float(b, x, y):
    """The lesser float32."""
    x, y = b.bitcast(x, FLOATS), b.bitcast(y, FLOATS)
    return b.bitcast(b.select(b.fcmp_ordered("<", x, y), x, y), INTS)


@operation(types.float32, vector)
def max_floats(b, x):
    """The greatest of sixteen float32 lanes."""
    x = b.bitcast(x, FLOATS)
    for width in (8, 4, 2, 1):
        x = _max(b, pick(b, x, range(width)), pick(b, x, range(width, 2 * width)))
    return b.extract_element(x, ir.Constant(I32, 0))


@operation(vector, vector)
def magnitude(b, x):
    """float32 without its sign."""
    return b.and_(x, const(I32, 16, 0x7FFFFFFF))


@operation(vector, vector, vector, vector, vector)
def add_where_above(b, total, x, threshold, step):
    """int32 total + step in the lanes where float32 x > threshold."""
    above = b.fcmp_ordered(">", b.bitcast(x, FLOATS), b.bitcast(threshold, FLOATS))
    return b.add(total, b.select(above, step, const(I32, 16, 0)))


@operation(vector, vector, vector, vector)
def add_where_negative(b, total, x, step):
    """int32 total + step in the lanes where float32 x < 0; -0.0 is not below 0."""
    below = b.fcmp_ordered("<", b.bitcast(x, FLOATS), const(F32, 16, 0.0))
    return b.add(total, b.select(below, step, const(I32, 16, 0)))


@operation(vector, vector, types.int64)
def keep_lanes(b, x, lanes):
    """The first `lanes` lanes of x, zero in the others."""
    return b.select(_first(b, lanes), x, const(I32, 16, 0))


def _first(b: Any, lanes: Any) -> Any:
    return b.icmp_signed("<", ir.Constant(_LANES, list(range(16))), spread(b, lanes, 16))


@operation(vector, address, types.int64)
def load_first(b, where, lanes):
    """The first `lanes` of sixteen float32, zero in the others, which are not read."""
    pointer, align = b.inttoptr(where, POINTER), ir.Constant(I32, 1)
    kept, zeros = _first(b, lanes), const(I32, 16, 0)
    return call(b, "llvm.masked.load.v16i32.p0", INTS, pointer, align, kept, zeros)


@operation(vector, address)
def load_fours(b, where):
    """Four float32, each in four lanes."""
    return b.bitcast(pick(b, read(b, where, vec(F32, 4)), [i // 4 for i in range(16)]), INTS)


@operation(vector, address)
def load_eights(b, where):
    """Two float32, each in eight lanes."""
    return b.bitcast(pick(b, read(b, where, vec(F32, 2)), [i // 8 for i in range(16)]), INTS)


def sum_floats_ir(b: Any, x: Any) -> Any:
    """The sum of sixteen float32 lanes: (8 + 8), (4 + 4), (2 + 2), (1 + 1)."""
    for width in (8, 4, 2, 1):
        x = b.fadd(pick(b, x, range(width)), pick(b, x, range(width, 2 * width)))
    return b.extract_element(x, ir.Constant(I32, 0))


@operation(vector, address)
def load_bytes(b, where):
    """Sixteen int8 as int32."""
    return b.sext(read(b, where, vec(I8, 16)), INTS)


@operation(types.float32, vector)
def sum_floats(b, x):
    """The sum of sixteen float32 lanes, halves first."""
    return sum_floats_ir(b, b.bitcast(x, FLOATS))
