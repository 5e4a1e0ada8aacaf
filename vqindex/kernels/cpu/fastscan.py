"""Whole searches by look-ups that miss scores by their own rounding alone: a fast scan.

Bounds of codes that are looked up whole leave few rows to be scored. So they are not kept, but
compared with the k-th best score as they are found, and rows that reach it wait; see waiting.
Which rows are scored, and when, changes no answer; see bounds.
"""

import numpy as np

from vqindex.kernels.cpu import lookups, simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import block_at
from vqindex.kernels.cpu.lookups import TOGETHER
from vqindex.kernels.cpu.program import BLOCK, OCTETS
from vqindex.kernels.cpu.select import threshold_of
from vqindex.kernels.cpu.sharp import after, own_tables
from vqindex.kernels.cpu.waiting import meet, none_waits, settle
from vqindex.kernels.cpu.whole import codes_at, columns_of, finished, reached_of

FEW = 64  # neighbours; of more, too many rows would be scored on the way to the best
_LINE = 4 * BLOCK  # bytes of a number for each row of a block


@kernel
def scan_one(stored, blocks, masks, count, asked, query, k, kept, waiting, scratch):
    """Keep one query's best rows among those of the first `count` blocks; how many were scored.

    Arguments as those of signs.top_k_one; `waiting` is its `highest`.
    """
    columns, slot, scored = columns_of(stored), np.int64(0), np.int64(0)
    own, spare = own_tables(stored, asked, query, 1, scratch), scratch.indexes
    least = none_waits(waiting, slot, kept, query)
    base = simd.splat_float(simd.load_float(own.base))
    unit = simd.splat_float(simd.load_float(own.unit))
    for b in range(count):
        mask, block = masks[b], blocks[b]
        if mask == 0:
            continue
        if b + 1 < count and blocks[b + 1] != block + 1:  # nothing else foresees it
            _prefetch(columns, blocks[b + 1])
        codes = codes_at(columns, block)
        if columns.bits == OCTETS:
            low, high = lookups.octet_sums(codes, columns.words, own.tables)
        else:
            low, high = lookups.plane_sums(codes, 8 * columns.row_bytes, columns.words,
                                           own.tables, spare)  # fmt: skip
        low, high = _bounds(columns, stored, block, asked, query, low, high, base, unit)
        hits = mask & reached_of(low, high, least)
        if hits != 0:
            simd.store(scratch.lines, low)
            simd.store(scratch.lines + 64, high)
            more = meet(stored, block, hits, asked, query, slot, k, kept, waiting, scratch.lines)
            scored += more
            after(own, slot, more, stored, asked, query, kept)
            base = simd.splat_float(simd.load_float(own.base))
            unit = simd.splat_float(simd.load_float(own.unit))
            least = threshold_of(waiting, slot)
    none = np.int64(0)
    return scored + settle(stored, asked, query, slot, k, kept, waiting, none, scratch.lines)


@kernel
def scan_some(stored, blocks, masks, asked, first, count, k, kept, waiting, scratch):
    """The same for `count` queries from `first` on, among the rows of all the blocks."""
    columns, scored = columns_of(stored), np.int64(0)
    group, own = 8 * columns.row_bytes, own_tables(stored, asked, first, count, scratch)
    for slot in range(count):
        none_waits(waiting, slot, kept, first + slot)
    for start in range(0, blocks.size, scratch.span):
        span = min(scratch.span, blocks.size - start)
        if lookups.INDEXED and columns.bits != OCTETS:
            for b in range(span):
                to = scratch.indexes + scratch.index_bytes * b
                lookups.index(codes_at(columns, blocks[start + b]), group, columns.words, to)
        for slot in range(0, count, TOGETHER):
            query, some = first + slot, min(np.int64(TOGETHER), count - slot)
            look_up = own.tables + slot * asked.table_bytes
            for b in range(span):
                mask, block = masks[start + b], blocks[start + b]
                if mask == 0:
                    continue
                codes, indexes = codes_at(columns, block), scratch.indexes + scratch.index_bytes * b
                if columns.bits == OCTETS:
                    _octet_sums(codes, columns.words, look_up, asked.table_bytes, some,
                                scratch.sums)  # fmt: skip
                else:
                    lookups.group_sums(codes, group, columns.words, look_up, asked.table_bytes,
                                       some, indexes, scratch.sums)  # fmt: skip
                for i in range(some):
                    sums, here = scratch.sums + _LINE * i, 4 * (slot + i)
                    base = simd.splat_float(simd.load_float(own.base + here))
                    unit = simd.splat_float(simd.load_float(own.unit + here))
                    low, high = _bounds(columns, stored, block, asked, query + i, simd.load(sums),
                                        simd.load(sums + 64), base, unit)  # fmt: skip
                    hits = mask & reached_of(low, high, threshold_of(waiting, slot + i))
                    if hits != 0:
                        simd.store(scratch.lines, low)
                        simd.store(scratch.lines + 64, high)
                        more = meet(stored, block, hits, asked, query + i, slot + i, k, kept,
                                    waiting, scratch.lines)  # fmt: skip
                        scored += more
                        after(own, slot + i, more, stored, asked, query + i, kept)
    for slot in range(count):
        scored += settle(stored, asked, first + slot, slot, k, kept, waiting, np.int64(0),
                          scratch.lines)  # fmt: skip
    return scored


@inlined
def _prefetch(columns, block):
    codes = block_at(columns.codes, block, columns.row_bytes)
    for byte in range(0, BLOCK * columns.row_bytes, 64):
        simd.prefetch(codes + byte)


@inlined
def _octet_sums(codes, words, look_up, table_bytes, some, out):
    for i in range(some):
        low, high = lookups.octet_sums(codes, words, look_up + i * table_bytes)
        simd.store(out + _LINE * i, low)
        simd.store(out + _LINE * i + 64, high)


@inlined
def _bounds(columns, stored, block, asked, query, low, high, base, unit):
    """Bounds of a block's rows from their totals, in the steps of bounds.py."""
    low = simd.add_float(base, simd.multiply_float(unit, simd.to_float(low)))
    high = simd.add_float(base, simd.multiply_float(unit, simd.to_float(high)))
    return finished(columns, stored, block, asked, query, low, high)
