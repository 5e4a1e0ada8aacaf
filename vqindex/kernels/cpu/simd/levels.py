"""Table look-up and integer dot products, by the machine's instruction where the level has one."""

from typing import Any

from llvmlite import ir
from numba import types

from vqindex.kernels.cpu.level import LEVEL, WIDE
from vqindex.kernels.cpu.simd.core import (
    BYTES,
    I1,
    I8,
    I16,
    I32,
    I64,
    INTS,
    SHORTS,
    WORDS,
    address,
    call,
    const,
    operation,
    pick,
    read,
    spread,
    vec,
    vector,
    write,
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
    found = ir.Constant(index.type, ir.Undefined)
    for lane in range(index.type.count):
        at = ir.Constant(I32, lane)
        value = b.extract_element(table, b.zext(b.extract_element(index, at), I32))
        found = b.insert_element(found, value, at)
    return found


def lookup64_ir(b: Any, table: Any, index: Any) -> Any:
    """Byte j is table[index_j % 64]."""
    table, index = b.bitcast(table, BYTES), b.bitcast(index, BYTES)
    if WIDE:
        return call(b, "llvm.x86.avx512.permvar.qi.512", BYTES, table, index)
    return _lookup_by_lane(b, table, b.and_(index, const(I8, 64, 63)))


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


@operation(vector, address, vector)
def lookup256(b, table, index):
    """Byte j is table[index_j]; the table is 256 bytes of memory."""
    index = b.bitcast(index, BYTES)
    if not WIDE:
        found = ir.Constant(BYTES, ir.Undefined)
        for lane in range(64):
            at = ir.Constant(I32, lane)
            value = read(b, b.add(table, b.zext(b.extract_element(index, at), I64)), I8)
            found = b.insert_element(found, value, at)
        return b.bitcast(found, INTS)
    parts = [read(b, b.add(table, ir.Constant(I64, 64 * i)), BYTES) for i in range(4)]
    name = "llvm.x86.avx512.vpermi2var.qi.512"
    low, high = (call(b, name, BYTES, parts[i], index, parts[i + 1]) for i in (0, 2))
    return b.bitcast(b.select(b.icmp_signed("<", index, const(I8, 64, 0)), high, low), INTS)


@operation(vector, address, vector, types.int32)
def lookup_ints(b, table, x, bit):
    """Lane j is table[(x_j >> bit) % 16], of sixteen int32 of memory."""
    index = b.lshr(x, spread(b, bit, 16))
    if WIDE:
        return call(b, "llvm.x86.avx512.permvar.si.512", INTS, read(b, table, INTS), index)
    index = b.and_(index, const(I32, 16, 15))
    found = ir.Constant(INTS, ir.Undefined)
    for lane in range(16):
        at = ir.Constant(I32, lane)
        offset = b.shl(b.zext(b.extract_element(index, at), I64), ir.Constant(I64, 2))
        found = b.insert_element(found, read(b, b.add(table, offset), I32), at)
    return found


@operation(vector, vector, vector)
def shift_bytes(b, x, shifts):
    """Byte j is the lowest of its word of x, turned right by as many bits as byte j of shifts."""
    if WIDE:
        shifts, x = b.bitcast(shifts, BYTES), b.bitcast(x, BYTES)
        name = "llvm.x86.avx512.pmultishift.qb.512"
        return b.bitcast(call(b, name, BYTES, shifts, x), INTS)
    shifts, x, found = b.bitcast(shifts, WORDS), b.bitcast(x, WORDS), const(I64, 8, 0)
    for byte in range(0, 64, 8):
        by = b.lshr(shifts, const(I64, 8, byte))
        turned = call(b, "llvm.fshr.v8i64", WORDS, x, x, b.and_(by, const(I64, 8, 63)))
        lowest = b.and_(turned, const(I64, 8, 255))
        found = b.or_(found, b.shl(lowest, const(I64, 8, byte)))
    return b.bitcast(found, INTS)


@operation(vector, vector, types.uint64, vector, vector)
def merge(b, other, mask, index, x):
    """Byte j is x[index_j], for index below 64, where bit j of mask is set, else the other's."""
    index, x = b.bitcast(index, BYTES), b.bitcast(x, BYTES)
    if WIDE:
        found = call(b, "llvm.x86.avx512.permvar.qi.512", BYTES, x, index)
    else:
        found = _lookup_by_lane(b, x, index)
    chosen = b.bitcast(mask, vec(I1, 64))
    return b.bitcast(b.select(chosen, found, b.bitcast(other, BYTES)), INTS)


def dot4_ir(b: Any, total: Any, rows: Any, queries: Any) -> Any:
    """total + the sums of four byte products per lane; rows are offset by ROW_BIAS."""
    if WIDE:
        return call(b, "llvm.x86.avx512.vpdpbusd.512", INTS, total, rows, queries)
    rows, queries = b.bitcast(rows, BYTES), b.bitcast(queries, BYTES)
    if LEVEL == "avx2":
        # vpmaddubsw wants unsigned times signed: |row| times the query with the row's sign.
        size = b.select(b.icmp_signed("<", rows, const(I8, 64, 0)), b.neg(rows), rows)
        signed = _both_halves(b, "llvm.x86.avx2.psign.b", queries, rows)
        return b.add(total, _multiply_quads(b, size, signed))
    wide = vec(I16, 64)
    products = b.mul(b.sext(rows, wide), b.sext(queries, wide))
    for first in range(4):
        lane = pick(b, products, range(first, 64, 4))
        total = b.add(total, b.sext(lane, INTS))
    return total


def _multiply_quads(b: Any, unsigned: Any, signed: Any) -> Any:
    """Sums of four products of bytes per lane, by AVX2; pairs of them must fit in 16 bits."""
    ones = const(I16, 16, 1)
    sums = []
    for first in (0, 32):
        x, y = (pick(b, value, range(first, first + 32)) for value in (unsigned, signed))
        pairs = call(b, "llvm.x86.avx2.pmadd.ub.sw", vec(I16, 16), x, y)
        sums.append(call(b, "llvm.x86.avx2.pmadd.wd", vec(I32, 8), pairs, ones))
    return b.shuffle_vector(*sums, ir.Constant(INTS, list(range(16))))


@operation(vector, vector, vector, vector)
def dot4(b, total, rows, queries):
    """Lane j: total_j + the sum of row byte * query byte over bytes 4j..4j+3.

    Rows are offset by ROW_BIAS, which stays in; query bytes are -127..127.
    """
    return dot4_ir(b, total, rows, queries)


@operation(vector, vector, vector)
def add_quads(b, total, octets):
    """Lane j: total_j + the sum of the unsigned bytes 4j..4j+3."""
    return add_quads_ir(b, total, octets)


def add_quads_ir(b: Any, total: Any, octets: Any) -> Any:
    octets = b.bitcast(octets, BYTES)
    if WIDE:
        ones = b.bitcast(const(I8, 64, 1), INTS)
        return call(b, "llvm.x86.avx512.vpdpbusd.512", INTS, total, b.bitcast(octets, INTS), ones)
    if LEVEL == "avx2":
        return b.add(total, _multiply_quads(b, octets, const(I8, 64, 1)))
    for first in range(4):
        total = b.add(total, b.zext(pick(b, octets, range(first, 64, 4)), INTS))
    return total


def _zipped(b: Any, element: Any, x: Any, y: Any) -> list[Any]:
    """The lower halves of 16 bytes of x and y, entry by entry, and the upper halves."""
    lanes = 128 // element.width
    kind = vec(element, lanes)
    x, y = b.bitcast(x, kind), b.bitcast(y, kind)
    halves = []
    for first in (0, lanes // 2):
        order = [i + side for i in range(first, first + lanes // 2) for side in (0, lanes)]
        mask = ir.Constant(vec(I32, lanes), order)
        halves.append(b.bitcast(b.shuffle_vector(x, y, mask), vec(I8, 16)))
    return halves


@operation(types.none, address, vector, vector, vector, vector)
def store_nibbles(b, where, first, second, third, fourth):
    """Write the half bytes of 32 rows, eight words to a vector, place by place: 512 bytes.

    For each of a word's eight bytes the low halves of all rows, then their high halves.
    """
    sixteens = []  # two rows each, byte by byte
    for rows in (first, second, third, fourth):
        for pair in range(4):
            two = pick(b, b.bitcast(rows, BYTES), range(16 * pair, 16 * pair + 16))
            sixteens.append(pick(b, two, [8 * (i % 2) + i // 2 for i in range(16)]))
    groups = [[sixteen] for sixteen in sixteens]  # of rows: their bytes, ever fewer in a vector
    for element in (I16, I32, I64):
        groups = [
            [half for x, y in zip(*pair, strict=True) for half in _zipped(b, element, x, y)]
            for pair in zip(groups[::2], groups[1::2], strict=True)
        ]
    everything = ir.Constant(vec(I32, 32), list(range(32)))
    for place, (upper, lower) in enumerate(zip(*groups, strict=True)):
        octets = b.shuffle_vector(upper, lower, everything)
        at = b.add(where, ir.Constant(I64, 64 * place))
        write(b, at, b.and_(octets, const(I8, 32, 15)))
        write(b, b.add(at, ir.Constant(I64, 32)), b.lshr(octets, const(I8, 32, 4)))


@operation(vector, vector, vector, address)
def add_lookups(b, total, nibbles, tables):
    """uint16 lane i: total_i + low[nibble i] + high[nibble 32 + i], which must be below 256.

    tables   address of 16 bytes, those of low; those of high are 128 bytes on
    """
    nibbles, found = b.bitcast(nibbles, BYTES), []
    for first, at in ((0, 0), (32, 128)):
        table = read(b, b.add(tables, ir.Constant(I64, at)), vec(I8, 16))
        index = pick(b, nibbles, range(first, first + 32))
        if LEVEL == "generic":
            found.append(_lookup_by_lane(b, table, index))
        else:
            twice = pick(b, table, [*range(16), *range(16)])
            found.append(call(b, "llvm.x86.avx2.pshuf.b", vec(I8, 32), twice, index))
    sums = b.zext(b.add(*found), SHORTS)
    return b.bitcast(b.add(b.bitcast(total, SHORTS), sums), INTS)


@operation(vector, vector, vector, address)
def add_octet_lookups(b, total, octets, tables):
    """uint16 lane i: total_i + first[octet i] + second[octet 32 + i], which must be below 256.

    tables   address of the 256 bytes of first, then those of second
    """
    octets, found = b.bitcast(octets, BYTES), []
    for first in (0, 32):
        at = b.add(tables, ir.Constant(I64, 8 * first))
        if WIDE:
            parts = [read(b, b.add(at, ir.Constant(I64, 64 * i)), BYTES) for i in range(4)]
            name = "llvm.x86.avx512.vpermi2var.qi.512"
            low = call(b, name, BYTES, parts[0], octets, parts[1])
            high = call(b, name, BYTES, parts[2], octets, parts[3])
            above = b.icmp_signed("<", octets, const(I8, 64, 0))
            found.append(pick(b, b.select(above, high, low), range(first, first + 32)))
        else:
            bytes_ = ir.Constant(vec(I8, 32), ir.Undefined)
            for lane in range(32):
                octet = b.extract_element(octets, ir.Constant(I32, first + lane))
                byte = read(b, b.add(at, b.zext(octet, I64)), I8)
                bytes_ = b.insert_element(bytes_, byte, ir.Constant(I32, lane))
            found.append(bytes_)
    sums = b.zext(b.add(*found), SHORTS)
    return b.bitcast(b.add(b.bitcast(total, SHORTS), sums), INTS)


@operation(vector, vector)
def to_row_bytes(b, levels):
    """int8 levels as the bytes that `dot4` takes for rows: offset by ROW_BIAS."""
    return b.xor(levels, const(I32, 16, 0x80808080)) if ROW_BIAS else levels
