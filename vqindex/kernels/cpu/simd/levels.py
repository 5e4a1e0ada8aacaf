"""Table look-up and integer dot products, by the machine's instruction where the level has one."""

from typing import Any

from llvmlite import ir

from vqindex.kernels.cpu.level import LEVEL, WIDE
from vqindex.kernels.cpu.simd.core import (
    BYTES,
    I8,
    I16,
    I32,
    I64,
    INTS,
    address,
    call,
    const,
    operation,
    pick,
    read,
    vec,
    vector,
)

# Decoded levels are stored as bytes offset by this: VNNI multiplies unsigned by signed bytes.
ROW_BIAS = 128 if WIDE else 0


@operation(vector, vector, vector)
def lookup16(b, table, index):
    """Byte j is table[index_j], for index below 16; the table's 16 bytes stand four times over."""
    table, index = b.bitcast(table, BYTES), b.bitcast(index, BYTES)
    if WIDE:
        found = call(b, "llvm.x86.avx512.pshuf.b.512", BYTES, table, index)
    elif LEVEL == "avx2":
        found = _both_halves(b, "llvm.x86.avx2.pshuf.b", table, index)
    else:
        found = _lookup_by_lane(b, pick(b, table, range(16)), index)
    return b.bitcast(found, INTS)


def _both_halves(b: Any, name: str, *values: Any) -> Any:
    """A 32-byte instruction on either half of 64-byte vectors."""
    halves = []
    for first in (0, 1):
        parts = []
        for value in values:
            lanes = value.type.count // 2
            parts.append(pick(b, value, range(first * lanes, (first + 1) * lanes)))
        halves.append(call(b, name, parts[0].type, *parts))
    lanes = halves[0].type.count
    everything = ir.Constant(vec(I32, 2 * lanes), list(range(2 * lanes)))
    return b.shuffle_vector(halves[0], halves[1], everything)


def _lookup_by_lane(b: Any, table: Any, index: Any) -> Any:
    found = ir.Constant(BYTES, ir.Undefined)
    for lane in range(64):
        at = ir.Constant(I32, lane)
        value = b.extract_element(table, b.zext(b.extract_element(index, at), I32))
        found = b.insert_element(found, value, at)
    return found


@operation(vector, address, vector)
def lookup128(b, table, index):
    """Byte j is table[index_j], for index below 128; the table is 128 bytes of memory."""
    index = b.bitcast(index, BYTES)
    parts = [read(b, b.add(table, ir.Constant(I64, 64 * i)), BYTES) for i in (0, 1)]
    if WIDE:
        name = "llvm.x86.avx512.vpermi2var.qi.512"
        return b.bitcast(call(b, name, BYTES, parts[0], index, parts[1]), INTS)
    if LEVEL == "generic":
        everything = ir.Constant(vec(I32, 128), list(range(128)))
        return b.bitcast(_lookup_by_lane(b, b.shuffle_vector(*parts, everything), index), INTS)
    found = const(I8, 64, 0)
    for piece in range(8):
        sixteen = pick(b, parts[piece // 4], [16 * (piece % 4) + i % 16 for i in range(64)])
        near = _both_halves(b, "llvm.x86.avx2.pshuf.b", sixteen, b.and_(index, const(I8, 64, 15)))
        here = b.icmp_unsigned("==", b.lshr(index, const(I8, 64, 4)), const(I8, 64, piece))
        found = b.select(here, near, found)
    return b.bitcast(found, INTS)


def dot4_ir(b: Any, total: Any, rows: Any, queries: Any) -> Any:
    """total + the sums of four byte products per lane; rows are offset by ROW_BIAS."""
    if WIDE:
        return call(b, "llvm.x86.avx512.vpdpbusd.512", INTS, total, rows, queries)
    rows, queries = b.bitcast(rows, BYTES), b.bitcast(queries, BYTES)
    if LEVEL == "avx2":
        # vpmaddubsw wants unsigned times signed: |row| times the query with the row's sign.
        size = b.select(b.icmp_signed("<", rows, const(I8, 64, 0)), b.neg(rows), rows)
        signed = _both_halves(b, "llvm.x86.avx2.psign.b", queries, rows)
        size_halves = [pick(b, size, range(32 * i, 32 * i + 32)) for i in (0, 1)]
        signed_halves = [pick(b, signed, range(32 * i, 32 * i + 32)) for i in (0, 1)]
        sums = []
        for x, y in zip(size_halves, signed_halves, strict=True):
            pairs = call(b, "llvm.x86.avx2.pmadd.ub.sw", vec(I16, 16), x, y)
            ones = const(I16, 16, 1)
            sums.append(call(b, "llvm.x86.avx2.pmadd.wd", vec(I32, 8), pairs, ones))
        everything = ir.Constant(INTS, list(range(16)))
        return b.add(total, b.shuffle_vector(*sums, everything))
    wide = vec(I16, 64)
    products = b.mul(b.sext(rows, wide), b.sext(queries, wide))
    for first in range(4):
        lane = pick(b, products, range(first, 64, 4))
        total = b.add(total, b.sext(lane, INTS))
    return total


@operation(vector, vector, vector, vector)
def dot4(b, total, rows, queries):
    """Lane j: total_j + the sum of row byte * query byte over bytes 4j..4j+3.

    Rows are offset by ROW_BIAS, which stays in; query bytes are -127..127.
    """
    return dot4_ir(b, total, rows, queries)


@operation(vector, vector)
def to_row_bytes(b, levels):
    """int8 levels as the bytes that `dot4` takes for rows: offset by ROW_BIAS."""
    return b.xor(levels, const(I32, 16, 0x80808080)) if ROW_BIAS else levels
