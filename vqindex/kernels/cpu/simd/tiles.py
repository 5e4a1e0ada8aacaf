"""Tiles: a few rows against a few queries, every sum in a register of its own.

The loops are written as LLVM IR because Numba has no array of registers. `TILE_ROWS` rows meet
`TILE_QUERIES` vectors of sixteen queries at a time, as many as the level's registers hold. A
kernel calls `dot_tile` and `dot_narrow` between `tiles_begin` and `tiles_end`.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from vqindex.kernels.cpu.level import LEVEL, WIDE
from vqindex.kernels.cpu.simd import amx
from vqindex.kernels.cpu.simd.core import (
    F32,
    FLOATS,
    I32,
    I64,
    INTS,
    address,
    const,
    operation,
    read,
    spread,
    write,
)
from vqindex.kernels.cpu.simd.floats import sum_floats_ir
from vqindex.kernels.cpu.simd.levels import dot4_ir

TILES = LEVEL == "amx"  # whether tile registers make products cheaper than look-ups
TILE_ROWS, TILE_QUERIES = (32, 2) if LEVEL == "amx" else (4, 4) if WIDE else (2, 2)
SINGLE_QUERIES = 8 if WIDE else 4
NARROW_ROWS = 32 if LEVEL == "amx" else 8 if WIDE else 4
FLOAT_ROWS, FLOAT_QUERIES = (4, 4) if WIDE else (2, 2)
PRODUCT_ROWS, PRODUCT_LANES = 4, 32

_SEVEN = (address,) * 7
_EIGHT = (address,) * 8


def _offset(b: Any, base: Any, stride: Any, times: int) -> Any:
    return b.add(base, b.mul(stride, ir.Constant(I64, times)))


def accumulate(b: Any, steps: Any, start: list[Any], step: Callable[[Any, list[Any]], Any]) -> Any:
    """Totals after `steps` (at least one) turns of totals = step(turn, totals)."""
    before = b.block
    loop, done = b.append_basic_block("loop"), b.append_basic_block("done")
    b.branch(loop)
    b.position_at_end(loop)
    turn = b.phi(I64)
    turn.add_incoming(ir.Constant(I64, 0), before)
    totals = []
    for value in start:
        total = b.phi(value.type)
        total.add_incoming(value, before)
        totals.append(total)
    following = step(turn, totals)
    after = b.add(turn, ir.Constant(I64, 1))
    turn.add_incoming(after, b.block)
    for total, value in zip(totals, following, strict=True):
        total.add_incoming(value, b.block)
    b.cbranch(b.icmp_signed("<", after, steps), loop, done)
    b.position_at_end(done)
    return following


def _dot_tile(rows: int, vectors: int) -> Any:
    @operation(types.none, *_EIGHT)
    def dot_tile(b, row, row_stride, query, query_stride, steps, seed, out, out_stride):
        """Sums of `rows` byte rows with 16 * `vectors` queries, as int32.

        out[r, j] = seed[j] + sum_g sum_i row[r, 4g + i] * query[j // 16, g, j % 16, i]

        Addresses and strides are in bytes; queries are packed 16 queries by 4 dimensions at a
        time, and `steps`, a multiple of 16, counts those.
        """
        if LEVEL == "amx" and rows > 1:
            strided = (row, row_stride), (query, query_stride), (out, out_stride)
            amx.dot_tile_ir(b, rows, vectors, *strided, steps, seed)
            return
        row_at = [_offset(b, row, row_stride, r) for r in range(rows)]
        query_at = [_offset(b, query, query_stride, v) for v in range(vectors)]
        seeds = [read(b, b.add(seed, ir.Constant(I64, 64 * v)), INTS) for v in range(vectors)]

        def step(turn: Any, totals: list[Any]) -> list[Any]:
            four, wide = b.mul(turn, ir.Constant(I64, 4)), b.mul(turn, ir.Constant(I64, 64))
            packed = [read(b, b.add(at, wide), INTS) for at in query_at]
            sums = []
            for r in range(rows):
                levels = spread(b, read(b, b.add(row_at[r], four), I32), 16)
                here = totals[r * vectors : (r + 1) * vectors]
                sums += [dot4_ir(b, t, levels, q) for t, q in zip(here, packed, strict=True)]
            return sums

        for i, total in enumerate(accumulate(b, steps, seeds * rows, step)):
            at = _offset(b, out, out_stride, i // vectors)
            write(b, b.add(at, ir.Constant(I64, 64 * (i % vectors))), total)

    return dot_tile


@operation(types.none)
def tiles_begin(b):
    """Set this thread's tile registers up, where the level has them."""
    if LEVEL == "amx":
        amx.configure_ir(b)


@operation(types.none)
def tiles_end(b):
    """Give this thread's tile registers back: nothing is to be left in them."""
    if LEVEL == "amx":
        amx.release_ir(b)


dot_tile = _dot_tile(TILE_ROWS, TILE_QUERIES)
dot_narrow = _dot_tile(NARROW_ROWS, 1)
dot_single = _dot_tile(1, SINGLE_QUERIES)  # for one query that meets many


@operation(types.none, *_SEVEN)
def dot_float_tile(b, row, row_stride, query, query_stride, steps, out, out_stride):
    """Inner products of FLOAT_ROWS float32 rows with FLOAT_QUERIES float32 queries.

    Sixteen partial sums each, then halves first, as decoded.dot_floats; `steps` counts 64 bytes.
    """
    row_at = [_offset(b, row, row_stride, r) for r in range(FLOAT_ROWS)]
    query_at = [_offset(b, query, query_stride, q) for q in range(FLOAT_QUERIES)]

    def step(turn: Any, totals: list[Any]) -> list[Any]:
        at = b.mul(turn, ir.Constant(I64, 64))
        xs = [read(b, b.add(where, at), FLOATS) for where in row_at]
        ys = [read(b, b.add(where, at), FLOATS) for where in query_at]
        products = [b.fmul(x, y) for x in xs for y in ys]
        return [b.fadd(total, product) for total, product in zip(totals, products, strict=True)]

    zeros = [const(F32, 16, 0.0)] * (FLOAT_ROWS * FLOAT_QUERIES)
    for i, total in enumerate(accumulate(b, steps, zeros, step)):
        at = _offset(b, out, out_stride, i // FLOAT_QUERIES)
        write(b, b.add(at, ir.Constant(I64, 4 * (i % FLOAT_QUERIES))), sum_floats_ir(b, total))


def _product_tile(rows: int) -> Any:
    @operation(types.none, *_SEVEN)
    def product_tile(b, left, left_stride, right, right_stride, steps, out, out_stride):
        """`rows` rows of a float32 matrix product, PRODUCT_LANES columns of it.

        out[r, c] = sum_j left[r, j] * right[j, c], from first to last; strides are in bytes
        """
        left_at = [_offset(b, left, left_stride, r) for r in range(rows)]
        vectors = range(PRODUCT_LANES // 16)

        def step(turn: Any, totals: list[Any]) -> list[Any]:
            line = b.add(right, b.mul(turn, right_stride))
            ys = [read(b, b.add(line, ir.Constant(I64, 64 * v)), FLOATS) for v in vectors]
            at = b.mul(turn, ir.Constant(I64, 4))
            xs = [spread(b, read(b, b.add(where, at), F32), 16) for where in left_at]
            products = [b.fmul(x, y) for x in xs for y in ys]
            return [b.fadd(t, product) for t, product in zip(totals, products, strict=True)]

        zeros = [const(F32, 16, 0.0)] * (rows * len(vectors))
        for i, total in enumerate(accumulate(b, steps, zeros, step)):
            at = _offset(b, out, out_stride, i // len(vectors))
            write(b, b.add(at, ir.Constant(I64, 64 * (i % len(vectors)))), total)

    return product_tile


product_tile = _product_tile(PRODUCT_ROWS)
product_row = _product_tile(1)
