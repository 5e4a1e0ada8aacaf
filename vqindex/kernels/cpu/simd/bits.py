"""Integers, words and single bits."""

from llvmlite import ir
from numba import types

from vqindex.kernels.cpu.simd.core import (
    BYTES,
    I1,
    I8,
    I32,
    I64,
    INTS,
    WORDS,
    address,
    call,
    const,
    operation,
    pick,
    spread,
    vec,
    vector,
    write,
)


@operation(vector, types.int32)
def splat(b, value):
    """The same int32 in every lane."""
    return spread(b, value, 16)


@operation(vector, types.uint64)
def splat_word(b, value):
    """The same uint64 in every word."""
    return b.bitcast(spread(b, value, 8), INTS)


@operation(vector, vector, vector)
def add(b, x, y):
    """int32 sums."""
    return b.add(x, y)


@operation(vector, vector, vector)
def subtract(b, x, y):
    """int32 differences."""
    return b.sub(x, y)


@operation(vector, vector, vector)
def and_(b, x, y):
    """Bitwise and."""
    return b.and_(x, y)


@operation(vector, vector, vector)
def xor(b, x, y):
    """Bitwise exclusive or."""
    return b.xor(x, y)


@operation(vector, vector, vector)
def add_words(b, x, y):
    """uint64 sums."""
    return b.bitcast(b.add(b.bitcast(x, WORDS), b.bitcast(y, WORDS)), INTS)


@operation(vector, vector)
def double_words(b, x):
    """uint64 times two."""
    return b.bitcast(b.shl(b.bitcast(x, WORDS), const(I64, 8, 1)), INTS)


@operation(vector, vector, vector)
def subtract_words(b, x, y):
    """uint64 differences."""
    return b.bitcast(b.sub(b.bitcast(x, WORDS), b.bitcast(y, WORDS)), INTS)


@operation(vector, vector)
def popcount_words(b, x):
    """Set bits of each uint64."""
    return b.bitcast(call(b, "llvm.ctpop.v8i64", WORDS, b.bitcast(x, WORDS)), INTS)


@operation(types.none, address, vector)
def store_low_ints(b, where, x):
    """Write the low int32 of each of the eight words: 32 bytes."""
    write(b, where, pick(b, x, range(0, 16, 2)))


@operation(vector, vector, types.uint64)
def append_bits(b, x, mask):
    """Byte j of x, doubled, plus bit j of mask."""
    bits = b.sext(b.bitcast(mask, vec(I1, 64)), BYTES)
    x = b.bitcast(x, BYTES)
    return b.bitcast(b.sub(b.add(x, x), bits), INTS)


@operation(vector, vector, types.uint64)
def invert_where(b, x, mask):
    """Byte j of x, inverted where bit j of mask is set."""
    flip = b.sext(b.bitcast(mask, vec(I1, 64)), BYTES)
    return b.bitcast(b.xor(b.bitcast(x, BYTES), flip), INTS)


@operation(types.uint64, vector, types.uint8)
def bits_where(b, x, value):
    """Bit j is set where byte j of x has a bit in common with `value`."""
    common = b.and_(b.bitcast(x, BYTES), spread(b, value, 64))
    return b.bitcast(b.icmp_unsigned("!=", common, const(I8, 64, 0)), I64)


@operation(types.int64, types.uint32)
def lowest_bit(b, mask):
    """The position of the lowest set bit."""
    return b.zext(b.cttz(mask, ir.Constant(I1, 0)), I64)


@operation(types.int32, vector)
def sum_lanes(b, x):
    """The sum of the sixteen int32 lanes."""
    for width in (8, 4, 2, 1):
        x = b.add(pick(b, x, range(width)), pick(b, x, range(width, 2 * width)))
    return b.extract_element(x, ir.Constant(I32, 0))
