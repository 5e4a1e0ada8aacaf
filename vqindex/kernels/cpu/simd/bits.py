"""Integers, words and single bits."""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types

from vqindex.kernels.cpu.simd.core import (
    BYTES,
    I1,
    I8,
    I32,
    I64,
    INTS,
    POINTER,
    SHORTS,
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


@operation(vector, vector, vector)
def add(b, x, y):
    """int32 sums."""
    return b.add(x, y)


@operation(vector, vector, vector)
def subtract(b, x, y):
    """int32 differences."""
    return b.sub(x, y)


@operation(vector, vector, vector)
def multiply(b, x, y):
    """int32 products, which wrap."""
    return b.mul(x, y)


@operation(vector, vector)
def high_bytes(b, x):
    """int32 lanes over 256, rounded down."""
    return b.ashr(x, const(I32, 16, 8))


@operation(vector, vector, vector)
def xor(b, x, y):
    """Bitwise exclusive or."""
    return b.xor(x, y)


@operation(vector, vector, types.int32)
def scale_down(b, x, factor):
    """int32 x * factor / 2**16, halves up; the product must fit."""
    product = b.add(b.mul(x, spread(b, factor, 16)), const(I32, 16, 1 << 15))
    return b.ashr(product, const(I32, 16, 16))


@operation(vector, vector)
def widen_low(b, x):
    """The first sixteen uint16 as int32."""
    return b.zext(pick(b, b.bitcast(x, SHORTS), range(16)), INTS)


@operation(vector, vector)
def widen_high(b, x):
    """The last sixteen uint16 as int32."""
    return b.zext(pick(b, b.bitcast(x, SHORTS), range(16, 32)), INTS)


@operation(vector, *(types.int32,) * 4)
def subset_sums(b, first, second, third, fourth):
    """Lane i is the sum of those values whose bit, lowest first, is set in i."""
    total = const(I32, 16, 0)
    for bit, value in enumerate((first, second, third, fourth)):
        chosen = ir.Constant(INTS, [-(lane >> bit & 1) for lane in range(16)])
        total = b.add(total, b.and_(spread(b, value, 16), chosen))
    return total


_PLACE = [16 * (byte % 8) for byte in range(64)]


def nibbles_ir(b: Any, x: Any, high: bool) -> Any:
    """The low or high half of each byte, plus 16 times the byte's place in its word."""
    octets = b.lshr(b.bitcast(x, WORDS), const(I64, 8, 4)) if high else x
    nibbles = b.and_(b.bitcast(octets, BYTES), const(I8, 64, 15))
    return b.bitcast(b.or_(nibbles, ir.Constant(BYTES, _PLACE)), INTS)


@operation(vector, vector)
def low_nibbles(b, x):
    """The low half of each byte, plus 16 times the byte's place in its word."""
    return nibbles_ir(b, x, False)


@operation(vector, vector)
def high_nibbles(b, x):
    """The high half of each byte, plus 16 times the byte's place in its word."""
    return nibbles_ir(b, x, True)


@operation(vector, address, types.int64)
def load_head(b, where, count):
    """The first `count` of 64 bytes, zero in the others, which are not read."""
    counting = ir.Constant(vec(I64, 64), list(range(64)))
    kept = b.icmp_signed("<", counting, spread(b, count, 64))
    pointer, align = b.inttoptr(where, POINTER), ir.Constant(I32, 1)
    found = call(b, "llvm.masked.load.v64i8.p0", BYTES, pointer, align, kept, const(I8, 64, 0))
    return b.bitcast(found, INTS)


@operation(vector, vector, vector)
def add_bytes(b, x, y):
    """Sums of bytes, which wrap."""
    return b.bitcast(b.add(b.bitcast(x, BYTES), b.bitcast(y, BYTES)), INTS)


@operation(vector, vector, types.uint64, types.uint8)
def add_where(b, x, mask, value):
    """Byte j of x, plus value where bit j of mask is set."""
    x = b.bitcast(x, BYTES)
    more = b.add(x, spread(b, value, 64))
    return b.bitcast(b.select(b.bitcast(mask, vec(I1, 64)), more, x), INTS)


@operation(vector, vector, types.uint64, vector)
def add_bytes_where(b, x, mask, y):
    """Byte j of x, plus byte j of y where bit j of mask is set."""
    x = b.bitcast(x, BYTES)
    more = b.add(x, b.bitcast(y, BYTES))
    return b.bitcast(b.select(b.bitcast(mask, vec(I1, 64)), more, x), INTS)


@operation(vector, vector)
def double_bytes(b, x):
    """Bytes times two, which wrap."""
    x = b.bitcast(x, BYTES)
    return b.bitcast(b.add(x, x), INTS)


@operation(vector, vector, types.uint64)
def invert_where(b, x, mask):
    """Byte j of x, inverted where bit j of mask is set."""
    x = b.bitcast(x, BYTES)
    return b.bitcast(b.select(b.bitcast(mask, vec(I1, 64)), b.not_(x), x), INTS)


@operation(vector, vector, vector)
def weave_low(b, x, y):
    """The lanes x0, y0, x1, y1, ..., x7, y7."""
    return _shuffled(b, x, y, [lane for i in range(8) for lane in (i, 16 + i)])


@operation(vector, vector, vector)
def weave_high(b, x, y):
    """The lanes x8, y8, x9, y9, ..., x15, y15."""
    return _shuffled(b, x, y, [lane for i in range(8, 16) for lane in (i, 16 + i)])


@operation(vector, vector, vector)
def even_lanes(b, x, y):
    """The lanes x0, x2, ..., x14, y0, y2, ..., y14."""
    return _shuffled(b, x, y, range(0, 32, 2))


@operation(vector, vector, vector)
def odd_lanes(b, x, y):
    """The lanes x1, x3, ..., x15, y1, y3, ..., y15."""
    return _shuffled(b, x, y, range(1, 32, 2))


def _shuffled(b: Any, x: Any, y: Any, lanes: Sequence[int]) -> Any:
    return b.shuffle_vector(x, y, ir.Constant(INTS, list(lanes)))


@operation(vector, vector, vector, vector, vector)
def join_low_bytes(b, x0, x1, x2, x3):
    """The low byte of each int32 lane: those of x0, then x1, x2 and x3."""
    octets = [b.trunc(x, vec(I8, 16)) for x in (x0, x1, x2, x3)]
    halves = [b.shuffle_vector(*octets[i : i + 2], _counting(32)) for i in (0, 2)]
    return b.bitcast(b.shuffle_vector(*halves, _counting(64)), INTS)


def _counting(lanes: int) -> ir.Constant:
    return ir.Constant(vec(I32, lanes), list(range(lanes)))


@operation(types.none, address, vector)
def store_low_bytes(b, where, x):
    """Write the low byte of each int32 lane: 16 bytes."""
    write(b, where, b.trunc(x, vec(I8, 16)))


@operation(types.uint64, vector, types.uint8)
def bits_where(b, x, value):
    """Bit j is set where byte j of x has a bit in common with `value`."""
    common = b.and_(b.bitcast(x, BYTES), spread(b, value, 64))
    return b.bitcast(b.icmp_unsigned("!=", common, const(I8, 64, 0)), I64)


@operation(types.uint64, vector, vector)
def common_bits(b, x, y):
    """Bit j is set where bytes j of x and y have a bit in common."""
    common = b.and_(b.bitcast(x, BYTES), b.bitcast(y, BYTES))
    return b.bitcast(b.icmp_unsigned("!=", common, const(I8, 64, 0)), I64)


@operation(types.uint32, vector, types.int64)
def equal_words(b, x, value):
    """Bit j is set where int64 lane x_j is `value`."""
    mask = b.icmp_signed("==", b.bitcast(x, WORDS), spread(b, value, 8))
    return b.zext(b.bitcast(mask, I8), I32)


@operation(types.uint32, vector, types.int64)
def words_above(b, x, value):
    """Bit j is set where int64 lane x_j > `value`."""
    mask = b.icmp_signed(">", b.bitcast(x, WORDS), spread(b, value, 8))
    return b.zext(b.bitcast(mask, I8), I32)


@operation(types.int64, types.uint32)
def lowest_bit(b, mask):
    """The position of the lowest set bit."""
    return b.zext(b.cttz(mask, ir.Constant(I1, 0)), I64)


@operation(types.int64, types.uint32)
def count_bits(b, mask):
    """How many bits are set."""
    return b.zext(b.ctpop(mask), I64)


@operation(types.int32, vector)
def sum_lanes(b, x):
    """The sum of the sixteen int32 lanes."""
    for width in (8, 4, 2, 1):
        x = b.add(pick(b, x, range(width)), pick(b, x, range(width, 2 * width)))
    return b.extract_element(x, ir.Constant(I32, 0))
