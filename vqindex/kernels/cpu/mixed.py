"""Scalar codes of mixed bits on the CPU; what they mean is in reference.mixed.

Every word of 64 entries has a record, RECORD bytes:

    table    128 bytes: magnitudes, those of b bits from 2**(b - 1) on
    base     64 bytes: 2**(b - 1) for each entry, where its magnitudes begin
    steps    6 * 64 bytes: what bit plane p is worth in each entry, 0 where it has none
    count    int64: planes beyond the sign of this word's first entry, which has the most
    reads    6 * (int64, int64): where a plane's bits of this word are read in a row of `rest`,
             and by how much they are shifted down

A plane may end within a word and is not padded: what is read beyond it is other planes' bits,
which are worth 0. Eight bytes are never read beyond the row: they are its last eight, shifted.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import field
from vqindex.kernels.cpu.program import (
    BLOCK,
    FIRST,
    OPERAND,
    REPEATED,
    TABLE,
    WORDS,
)
from vqindex.kernels.cpu.scalar import sign_words

BASE, STEPS, COUNT, READS, RECORD = 128, 192, 576, 584, 704


@inlined
def _read(record, p):
    reads = record + READS + 16 * p
    return simd.load_int64(reads), simd.load_int64(reads + 8)


@inlined
def _indexes(rest, record):
    """Where the magnitudes of a row's 64 entries stand in their table."""
    index, count = simd.load(record + BASE), simd.load_int64(record + COUNT)
    if count > 0:  # of a loop LLVM makes code that takes twice as long
        index = _with_plane(index, rest, record, 0)
    if count > 1:
        index = _with_plane(index, rest, record, 1)
    if count > 2:
        index = _with_plane(index, rest, record, 2)
    if count > 3:
        index = _with_plane(index, rest, record, 3)
    if count > 4:
        index = _with_plane(index, rest, record, 4)
    if count > 5:
        index = _with_plane(index, rest, record, 5)
    return index


@inlined
def _with_plane(index, rest, record, p):
    at, down = _read(record, p)
    bits = simd.load_word(rest + at) >> np.uint64(down)
    return simd.add_bytes_where(index, bits, simd.load(record + STEPS + 64 * p))


@inlined
def _levels(sign, rest, record):
    """64 levels of a row, whose sign word is at `sign`."""
    found = simd.lookup128(record, _indexes(rest, record))
    return simd.invert_where(found, simd.load_word(sign))


@kernel
def decode_block(plane, rest, row_bytes, segment, out, stride):
    """As scalar.decode_row, of mixed bits and of a block: a word of all its rows, then the next.

    rest, out   addresses of the first row's; the next ones follow by `row_bytes` and `stride`
    """
    record = field(segment, TABLE)
    for word in range(field(segment, WORDS)):
        for row in range(BLOCK):
            sign = sign_words(plane, segment, row) + 64 * word
            levels = _levels(sign, rest + row * row_bytes, record)
            simd.store(out + row * stride + 64 * word, levels)
        record += RECORD


@inlined
def repeat_block(segment, out, stride):
    """Write the first words of the segment before once more; `out` as in `decode_block`."""
    source = out - field(segment, OPERAND) + field(segment, FIRST)
    for row in range(BLOCK):
        for at in range(row * stride, row * stride + 64 * field(segment, WORDS), 64):
            simd.store(out + at, simd.load(source + at))


@inlined
def dot_row(plane, rest, segment, row, query):
    """As scalar.dot_row, of mixed bits; and of its first words with what follows of the query."""
    sign, record = sign_words(plane, segment, row), field(segment, TABLE)
    total = again = simd.splat(np.int32(0))
    words, repeated = field(segment, WORDS), field(segment, REPEATED)
    for word in range(words):
        levels = _levels(sign + 64 * word, rest, record)
        total = simd.dot4(total, levels, simd.load(query + 64 * word))
        if word < repeated:
            again = simd.dot4(again, levels, simd.load(query + 64 * (words + word)))
        record += RECORD
    return simd.sum_lanes(total), simd.sum_lanes(again)


@kernel
def encode(values, factors, thresholds, records, weights, plane, rest, sums):
    """Code rows: reference.mixed.encode, packed as layouts.mixed says.

    values       (n, 64 * words) float32; factors (n,) float32: |value| * factor meets thresholds
    thresholds   (words, 64, 64) float32, infinity beyond an entry's last
    records      (words, RECORD) uint8, tables as they are
    weights      (2, 64 * words) float32
    plane        (n, words) uint64; rest (n, bytes) uint8; all written
    sums         (n, 2) float32, of |value| * weights[0] * level and of |value| * weights[1]
    """
    octets = np.empty(64, np.int8)
    at = simd.address_of(octets)
    for i in range(values.shape[0]):
        total = plain = simd.splat_float(np.float32(0))
        for w in range(plane.shape[1]):
            row = simd.address_of(values) + 4 * (values.shape[1] * i + 64 * w)
            record = simd.address_of(records) + RECORD * w
            count = simd.load_int64(record + COUNT)
            limits = simd.address_of(thresholds) + 4 * 64 * 64 * w
            codes = _search(row, factors[i], limits, (1 << count) - 1)
            index = simd.add_bytes(simd.load(record + BASE), codes)
            for p in range(count):
                bits = simd.common_bits(index, simd.load(record + STEPS + 64 * p))
                _write(rest, i, record, p, bits)
            plane[i, w] = _signs(row)
            simd.store(at, simd.lookup128(record, index))
            weight = simd.address_of(weights) + 4 * 64 * w
            other = weight + 4 * weights.shape[1]
            for v in range(0, 256, 64):
                half = simd.splat_float(np.float32(0.5))
                level = simd.add_float(simd.to_float(simd.load_bytes(at + v // 4)), half)
                size = simd.magnitude(simd.load(row + v))
                each = simd.multiply_float(size, simd.load(weight + v))
                total = simd.add_float(total, simd.multiply_float(each, level))
                plain = simd.add_float(plain, simd.multiply_float(size, simd.load(other + v)))
        sums[i, 0], sums[i, 1] = simd.sum_floats(total), simd.sum_floats(plain)
    octets[0] = 0  # or Numba frees them before they are read


@inlined
def _search(row, factor, limits, count):
    """How many thresholds each of 64 magnitudes passes, as bytes."""
    by, one = simd.splat_float(factor), simd.splat(np.int32(1))
    z0 = simd.multiply_float(simd.magnitude(simd.load(row)), by)
    z1 = simd.multiply_float(simd.magnitude(simd.load(row + 64)), by)
    z2 = simd.multiply_float(simd.magnitude(simd.load(row + 128)), by)
    z3 = simd.multiply_float(simd.magnitude(simd.load(row + 192)), by)
    c0 = c1 = c2 = c3 = simd.splat(np.int32(0))
    for _ in range(count):
        c0 = simd.add_where_above(c0, z0, simd.load(limits), one)
        c1 = simd.add_where_above(c1, z1, simd.load(limits + 64), one)
        c2 = simd.add_where_above(c2, z2, simd.load(limits + 128), one)
        c3 = simd.add_where_above(c3, z3, simd.load(limits + 192), one)
        limits += 256
    return simd.join_low_bytes(c0, c1, c2, c3)


@inlined
def _signs(row):
    zero, one = simd.splat(np.int32(0)), simd.splat(np.int32(1))
    octets = simd.join_low_bytes(
        simd.add_where_negative(zero, simd.load(row), one),
        simd.add_where_negative(zero, simd.load(row + 64), one),
        simd.add_where_negative(zero, simd.load(row + 128), one),
        simd.add_where_negative(zero, simd.load(row + 192), one),
    )
    return simd.bits_where(octets, np.uint8(1))


@inlined
def _write(rest, i, record, p, bits):
    """Write a word's bits of one plane: as many bytes as the plane has there."""
    at, down = _read(record, p)
    at += down >> 3
    steps = record + STEPS + 64 * p
    for byte in range(8):
        if simd.load_byte(steps + 8 * byte) == 0:
            break
        rest[i, at + byte] = np.uint8((bits >> np.uint64(8 * byte)) & np.uint64(255))


@kernel
def levels(plane, rest, records, out):
    """Write the integers t of coded rows, (n, 64 * words) int8; the rest as `encode` has it."""
    for i in range(out.shape[0]):
        row = simd.address_of(rest) + rest.shape[1] * i
        for w in range(plane.shape[1]):
            record = simd.address_of(records) + RECORD * w
            found = simd.lookup128(record, _indexes(row, record))
            to = simd.address_of(out) + 64 * (plane.shape[1] * i + w)
            simd.store(to, simd.invert_where(found, plane[i, w]))
