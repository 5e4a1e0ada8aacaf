"""Look-ups of 4-bit codes for several queries at a time, every sum in a register of its own."""

from typing import Any

from llvmlite import ir
from numba import types

from vqindex.kernels.cpu.simd.bits import nibbles_ir
from vqindex.kernels.cpu.simd.core import I64, INTS, address, operation, pick, read, write
from vqindex.kernels.cpu.simd.levels import add_quads_ir, lookup64_ir
from vqindex.kernels.cpu.simd.tiles import accumulate

_UPPER = 128  # bytes from the tables of low half bytes on to those of high ones
# Where `_fours` leaves row 0, row 1, ..., row 15.
_ROWS = [4 * (row % 8 // 2) + 2 * (row // 8) + row % 2 for row in range(16)]


def _fours(b: Any, x: Any, y: Any, odd: int) -> Any:
    """Four bytes, the first or last of a word, of sixteen rows; one shuffle within 16 bytes."""
    lanes = [4 * piece + side + lane for piece in range(4) for side in (0, 16) for lane in (0, 2)]
    return b.shuffle_vector(x, y, ir.Constant(INTS, [lane + odd for lane in lanes]))


def _look_up_tile(queries: int) -> Any:
    @operation(types.none, *(address,) * 6)
    def look_up_tile(b, plane, group, words, tables, table_bytes, out):
        """What the 4-bit codes of 32 rows look up for so many queries, in sum.

        out[q, row] = sum_w sum_j table[q, w, j, code j of word w of the row]

        plane, group   address of the first word of eight rows, and how far on the next eight are
        words          at least one
        tables         256 bytes below 128 a word, as tables.prepare writes them; the next query's
                       are `table_bytes` on
        out            address of (queries, 32) int32
        """

        def step(word: Any, totals: list[Any]) -> list[Any]:
            line = b.add(plane, b.mul(word, ir.Constant(I64, 64)))
            rows = [read(b, b.add(line, b.mul(group, ir.Constant(I64, i))), INTS) for i in range(4)]
            look_up = b.add(tables, b.mul(word, ir.Constant(I64, 256)))
            for odd in (0, 1):
                octets = [_fours(b, rows[i], rows[i + 1], odd) for i in (0, 2)]
                codes = [[nibbles_ir(b, x, high) for high in (False, True)] for x in octets]
                at = b.add(look_up, ir.Constant(I64, 64 * odd))
                totals = _add(b, codes, at, table_bytes, totals)
            return totals

        zeros = [ir.Constant(INTS, [0] * 16)] * (2 * queries)
        for i, total in enumerate(accumulate(b, words, zeros, step)):
            write(b, b.add(out, ir.Constant(I64, 64 * i)), pick(b, total, _ROWS))

    return look_up_tile


def _add(b: Any, codes: list[list[Any]], tables: Any, table_bytes: Any, totals: list[Any]) -> Any:
    """Totals, and what low and high codes of rows look up in four tables each, query by query."""
    sums = []
    for i, total in enumerate(totals):
        if i % len(codes) == 0:
            low = read(b, tables, INTS)
            high = read(b, b.add(tables, ir.Constant(I64, _UPPER)), INTS)
            tables = b.add(tables, table_bytes)
        lows, highs = codes[i % len(codes)]
        found = b.add(lookup64_ir(b, low, lows), lookup64_ir(b, high, highs))
        sums.append(add_quads_ir(b, total, found))
    return sums


look_up_tile = _look_up_tile(8)
look_up_narrow = _look_up_tile(4)
