"""AMX: eight tile registers of 16 rows of 64 bytes, and the product of two added to a third.

Decoded rows are a left operand as they lie, packed queries a right one. Registers 0-3 hold sums,
4-5 rows and 6-7 queries. Their configuration survives calls, their contents do not.

Source: Intel 64 and IA-32 Software Developer's Manual, volume 1, "Programming with Intel AMX".
"""

import struct
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from vqindex.kernels.cpu.simd.core import I8, I64, POINTER, call

# Palette 1, then each tile's bytes a row and rows.
_CONFIGURATION = struct.pack("<B15x8H16x8B8x", 1, *[64] * 8, *[16] * 8)
_VOID = ir.VoidType()

Strided = tuple[Any, Any]  # an address, and the bytes from one row to the next


def configure_ir(b: Any) -> None:
    kind = ir.ArrayType(I8, len(_CONFIGURATION))
    value = ir.Constant(kind, bytearray(_CONFIGURATION))
    call(b, "llvm.x86.ldtilecfg", _VOID, cgutils.global_constant(b, "tile_configuration", value))


def release_ir(b: Any) -> None:
    call(b, "llvm.x86.tilerelease", _VOID)


def _move(b: Any, name: str, tile: int, where: Any, stride: Any) -> None:
    call(b, f"llvm.x86.{name}64", _VOID, ir.Constant(I8, tile), b.inttoptr(where, POINTER), stride)


def dot_tile_ir(
    b: Any, rows: int, vectors: int, row: Strided, query: Strided, out: Strided, steps: Any,
    seed: Any,
) -> None:  # fmt: skip
    """See tiles.dot_tile; at most 32 rows and 2 vectors."""
    sums = [(r, v) for r in range(rows // 16) for v in range(vectors)]

    def at(base: Any, stride: Any, times: int, more: Any) -> Any:
        return b.add(b.add(base, b.mul(stride, ir.Constant(I64, times))), more)

    for r, v in sums:
        start = b.add(seed, ir.Constant(I64, 64 * v))
        _move(b, "tileloadd", 2 * r + v, start, ir.Constant(I64, 0))  # in each of the 16 rows
    with cgutils.for_range(b, b.lshr(steps, ir.Constant(I64, 4))) as loop:
        levels = b.mul(loop.index, ir.Constant(I64, 64))
        packed = b.mul(loop.index, ir.Constant(I64, 1024))
        for r, v in sums:  # each operand is loaded just before its first use
            if v == 0:
                _move(b, "tileloadd", 4 + r, at(*row, 16 * r, levels), row[1])
            if r == 0:
                _move(b, "tileloadd", 6 + v, at(*query, v, packed), ir.Constant(I64, 64))
            registers = [ir.Constant(I8, tile) for tile in (2 * r + v, 4 + r, 6 + v)]
            call(b, "llvm.x86.tdpbusd", _VOID, *registers)
    for r, v in sums:
        _move(b, "tilestored", 2 * r + v, at(*out, 16 * r, ir.Constant(I64, 64 * v)), out[1])
