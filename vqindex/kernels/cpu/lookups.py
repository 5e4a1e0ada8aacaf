"""Totals of a block's signs: the look-ups themselves, see tables.

    plane_sums   one query
    index        what group_sums reads instead of the codes, if anything
    group_sums   up to TOGETHER queries

With registers of 64 bytes, a look-up in 128 bytes finds the sums of eight rows at once, each byte
of a word in a table of its own, and the bytes of a row are added across. Several queries look up
in 64 bytes, four tables side by side, for four bytes of sixteen rows: such a look-up leaves the
index as it is, for the next query. With narrower registers the half bytes of all 32 rows are laid
side by side first, so that a look-up in 16 bytes serves them.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined
from vqindex.kernels.cpu.program import BLOCK

TABLE_BYTES = 256  # of a word
INDEX_BYTES = 16 * BLOCK  # of a word of a block
TOGETHER = 8 if simd.WIDE else 4  # queries
_AHEAD = 4096  # bytes of a plane asked for ahead of its scan
_OCTETS = 512  # codes whose totals fit in 16 bits: 127 each
_FLUSH = 32  # words whose totals fit in 16 bits: 16 * 127 each


@inlined
def _wide_plane_sums(plane, group, words, tables, _spare):
    a = b = c = d = simd.splat(np.int32(0))
    for _ in range(words):
        simd.prefetch(plane + _AHEAD)
        simd.prefetch(plane + group + _AHEAD)
        simd.prefetch(plane + 2 * group + _AHEAD)
        simd.prefetch(plane + 3 * group + _AHEAD)
        a = _look_up(a, simd.load(plane), tables)
        b = _look_up(b, simd.load(plane + group), tables)
        c = _look_up(c, simd.load(plane + 2 * group), tables)
        d = _look_up(d, simd.load(plane + 3 * group), tables)
        plane += 64
        tables += TABLE_BYTES
    return _pair_sums(a, b), _pair_sums(c, d)


@inlined
def _look_up(total, signs, tables):
    return _add(total, tables, simd.low_nibbles(signs), simd.high_nibbles(signs))


@inlined
def _add(total, tables, low, high):
    found = simd.add_bytes(simd.lookup128(tables, low), simd.lookup128(tables + 128, high))
    return simd.add_quads(total, found)


@inlined
def _pair_sums(x, y):
    """Sums of neighbouring lanes: eight of x, then eight of y."""
    return simd.add(simd.even_lanes(x, y), simd.odd_lanes(x, y))


@inlined
def _wide_index(_plane, _group, _words, _out):
    pass


@inlined
def _wide_group_sums(plane, group, words, tables, table_bytes, count, _indexes, out):
    if count > 4:
        simd.look_up_tile(plane, group, words, tables, table_bytes, out)
    else:
        simd.look_up_narrow(plane, group, words, tables, table_bytes, out)


@inlined
def _narrow_plane_sums(plane, group, words, tables, spare):
    low = high = simd.splat(np.int32(0))
    for start in range(0, words, _FLUSH):
        total = simd.splat(np.int32(0))
        for _ in range(min(words - start, _FLUSH)):
            simd.prefetch(plane + _AHEAD)
            _narrow_index(plane, group, spare)
            total = _narrow_add(total, spare, tables)
            plane += 64
            tables += TABLE_BYTES
        low, high = simd.add(low, simd.widen_low(total)), simd.add(high, simd.widen_high(total))
    return low, high


@inlined
def _narrow_index(plane, group, out):
    """For each byte of a word the low halves of 32 rows, then the high halves."""
    simd.store_nibbles(
        out, simd.load(plane), simd.load(plane + group), simd.load(plane + 2 * group),
        simd.load(plane + 3 * group),
    )  # fmt: skip


@inlined
def _narrow_add(total, indexes, tables):
    for place in range(8):
        total = simd.add_lookups(total, simd.load(indexes + 64 * place), tables + 16 * place)
    return total


@inlined
def _narrow_indexes(plane, group, words, out):
    for word in range(words):
        _narrow_index(plane + 64 * word, group, out + INDEX_BYTES * word)


@inlined
def _narrow_group_sums(_plane, _group, words, tables, table_bytes, count, indexes, out):
    for pair in range(0, count, 2):
        first = tables + table_bytes * pair
        _narrow_pair_sums(indexes, words, first, first + table_bytes, out + 128 * pair)


@inlined
def _narrow_pair_sums(indexes, words, first, second, out):
    a = b = c = d = simd.splat(np.int32(0))
    for start in range(0, words, _FLUSH):
        total = other = simd.splat(np.int32(0))
        for _ in range(min(words - start, _FLUSH)):
            total, other = _narrow_add(total, indexes, first), _narrow_add(other, indexes, second)
            indexes += INDEX_BYTES
            first += TABLE_BYTES
            second += TABLE_BYTES
        a, b = simd.add(a, simd.widen_low(total)), simd.add(b, simd.widen_high(total))
        c, d = simd.add(c, simd.widen_low(other)), simd.add(d, simd.widen_high(other))
    simd.store(out, a)
    simd.store(out + 64, b)
    simd.store(out + 128, c)
    simd.store(out + 192, d)


@inlined
def octet_sums(codes, count, tables):
    """Totals of the 8-bit codes of 32 rows, two vectors of int32.

    codes    address of the rows' first codes, then of their second ones, ...: an even `count`
    tables   address of 256 bytes for each
    """
    low = high = simd.splat(np.int32(0))
    for start in range(0, count, _OCTETS):
        total = simd.splat(np.int32(0))
        for _ in range(min(count - start, _OCTETS) // 2):
            total = simd.add_octet_lookups(total, simd.load(codes), tables)
            codes, tables = codes + 2 * BLOCK, tables + 512
        low, high = simd.add(low, simd.widen_low(total)), simd.add(high, simd.widen_high(total))
    return low, high


# plane_sums(plane, group, words, tables, spare): two vectors of int32, the totals of 32 rows.
#   plane, group     address of the first word of eight rows, and how far on the next eight are
#   tables, spare    addresses of the query's tables, and of INDEX_BYTES to work in
# index(plane, group, words, out): INDEX_BYTES a word written, or nothing if INDEXED is false.
# group_sums(plane, group, words, tables, table_bytes, count, indexes, out): (TOGETHER, 32) int32
#   written, those of the first `count` queries and anything of others.
#   tables           address of the first query's tables, the next ones' `table_bytes` on
#   indexes          what `index` wrote
INDEXED = not simd.WIDE
if simd.WIDE:
    plane_sums, index, group_sums = _wide_plane_sums, _wide_index, _wide_group_sums
else:
    plane_sums, index, group_sums = _narrow_plane_sums, _narrow_indexes, _narrow_group_sums
