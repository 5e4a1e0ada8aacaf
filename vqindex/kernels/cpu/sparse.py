"""Sparse codes on the CPU: a few coordinates of a row, each with a value of its own.

A row is bytes, 32 rows of a block side by side: of each outlier its coordinate, one byte or two,
the lower first, and its value, int8. A coordinate beyond the last counts as the last, so that any
bytes of a file are safe to look up.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import field
from vqindex.kernels.cpu.program import BLOCK, CODES, REST_BYTES, WORDS

ONE_BYTE = 256  # coordinates up to which one is enough


@inlined
def _outlier(place, each):
    """The coordinate and the value at a row's place of an outlier of `each` bytes."""
    coordinate = simd.load_byte(place)
    if each == 3:
        coordinate += simd.load_byte(place + BLOCK) << np.int64(8)
    value = np.int64(np.int8(simd.load_byte(place + BLOCK * (each - 1))))
    return coordinate, value


@inlined
def raw_row(codes, segment, row, entries):
    """The sum over one row's outliers of value * entry, entries int32."""
    count, last = field(segment, CODES), 64 * field(segment, WORDS) - 1
    each = field(segment, REST_BYTES) // count
    total = np.int64(0)
    for j in range(count):
        coordinate, value = _outlier(codes + BLOCK * each * j + row, each)
        total += value * simd.load_int(entries + 4 * min(coordinate, last))
    return total


@inlined
def raw_vector(codes, segment, packed, out, line):
    """The same of a block's rows with 16 queries, int32, a row every `line` bytes of `out`.

    packed   the segment's entries of those queries side by side
    """
    count, last = field(segment, CODES), 64 * field(segment, WORDS) - 1
    each = field(segment, REST_BYTES) // count
    for row in range(BLOCK):
        total = simd.splat(np.int32(0))
        for j in range(count):
            coordinate, value = _outlier(codes + BLOCK * each * j + row, each)
            entries = simd.load(packed + 64 * min(coordinate, last))
            total = simd.add(total, simd.multiply(entries, simd.splat(np.int32(value))))
        simd.store(out + line * row, total)


@inlined
def block_sums(codes, segment, entries):
    """The same of a block's rows with one query: two vectors of int32."""
    count, last = field(segment, CODES), np.int32(64 * field(segment, WORDS) - 1)
    each = field(segment, REST_BYTES) // count
    low = high = simd.splat(np.int32(0))
    for _ in range(count):
        low = simd.add(low, _products(codes, each, entries, last))
        high = simd.add(high, _products(codes + 16, each, entries, last))
        codes += BLOCK * each
    return low, high


@inlined
def _products(place, each, entries, last):
    """value * entry of an outlier of sixteen rows."""
    coordinates = simd.load_octets(place)
    if each == 3:
        upper = simd.multiply(simd.load_octets(place + BLOCK), simd.splat(np.int32(256)))
        coordinates = simd.add(coordinates, upper)
    values = simd.load_bytes(place + BLOCK * (each - 1))
    return simd.multiply(values, simd.gather(entries, coordinates, last))


@inlined
def copy_block(codes, segment, out):
    """Copy a block as it lies."""
    for byte in range(0, BLOCK * field(segment, REST_BYTES), 8):
        simd.store_word(out + byte, simd.load_word(codes + byte))


@kernel
def largest(rows, found):
    """The `count` entries of the largest magnitude of each row, the largest first.

    rows    (n, d) float32
    found   (n, count) int64, count <= d: written; of equal ones the first
    """
    count = found.shape[1]
    sizes = np.empty(count, np.float32)
    for i in range(rows.shape[0]):
        sizes[:] = -1
        for j in range(rows.shape[1]):
            size = abs(rows[i, j])
            if not size > sizes[count - 1]:
                continue
            at = count - 1
            while at > 0 and size > sizes[at - 1]:
                sizes[at], found[i, at] = sizes[at - 1], found[i, at - 1]
                at -= 1
            sizes[at], found[i, at] = size, j
