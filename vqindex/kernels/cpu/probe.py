"""Whole searches of chosen lists, one query after another."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.program import BLOCK
from vqindex.kernels.cpu.routing import choose, gather
from vqindex.kernels.cpu.rows import push_rows
from vqindex.kernels.cpu.score import is_multiplied
from vqindex.kernels.cpu.search import push_blocks
from vqindex.kernels.cpu.select import count_of, rows_at, shrink
from vqindex.kernels.cpu.signs import top_k_one

_LISTED = 256  # rows that are listed before they are scored


@kernel
def top_k_lists(stored, lists, asked, nprobe, allowed, chosen, k, kept, highest, scratch, stats):
    """Keep each query's best rows among those of the `nprobe` lists it prefers.

    It looks into more where those hold fewer than k rows that may be found.

    stored, lists, asked, chosen, kept, highest, scratch   see records; chosen is of one query
    allowed    see routing.gather
    stats      (>= 3,) int64: lists, rows and fully scored rows are added to it
    """
    blocks, masks = np.empty(lists.blocks, np.int64), np.empty(lists.blocks, np.uint32)
    for query in range(asked.nq):
        at = asked.shares + 4 * query * asked.lists
        count = look_into(lists, at, nprobe, allowed, chosen, k, blocks, masks, stats)
        if stored.signs > 0:
            stats[2] += top_k_one(
                stored, blocks, masks, count, asked, query, k, kept, highest, scratch
            )
        elif is_multiplied(stored.program, stored.segments):
            stats[2] += push_blocks(stored, blocks, masks, count, asked, query, k, kept, scratch)
        else:
            stats[2] += _push_rows(stored, blocks, masks, count, asked, query, k, kept)


@inlined
def look_into(lists, at, nprobe, allowed, chosen, k, blocks, masks, stats):
    """Choose the lists of a query whose shares are at `at`, and gather their blocks: how many."""
    wanted, rows, count = nprobe, np.int64(-1), np.int64(0)
    while rows < 0 or (rows < k and wanted < lists.lists):
        if rows >= 0:
            wanted = min(2 * wanted, lists.lists)
        choose(lists, at, wanted, chosen)
        count = gather(lists, chosen, allowed, blocks, masks)
        rows = np.int64(0)
        for i in range(count):
            rows += simd.count_bits(masks[i])
    stats[0] += count_of(chosen, np.int64(0))
    stats[1] += rows
    return count


@inlined
def _push_rows(stored, blocks, masks, count, asked, query, k, kept):
    """Score all rows of some blocks; how many."""
    listed, scored = np.empty(_LISTED, np.int64), np.int64(0)
    rows, waiting = simd.address_of(listed), np.int64(0)
    for i in range(count):
        bits = masks[i]
        while bits != 0:
            simd.store_int64(rows + 8 * waiting, blocks[i] * BLOCK + simd.lowest_bit(bits))
            bits &= bits - np.uint32(1)
            waiting += 1
        if waiting > _LISTED - BLOCK or i == count - 1:
            push_rows(stored, rows, waiting, asked, query, k, kept, query)
            scored += waiting
            waiting = np.int64(0)
    listed[0] = 0  # or Numba frees them before they are read
    return scored


@kernel
def rescore(stored, asked, first, candidates, some, k, kept):
    """Score the best `some` candidates of each query by finer codes; keep the best k of them.

    stored, asked      of the finer codes
    first              the query of `asked` that is the first of the others
    candidates, kept   see records, of the same queries
    returns            how many were scored
    """
    scored = np.int64(0)
    for query in range(kept.nq):
        shrink(candidates, query, some, stored.ids)
        count = min(some, count_of(candidates, query))
        rows = rows_at(candidates, query)
        push_rows(stored, rows, count, asked, first + query, k, kept, query)
        scored += count
    return scored
