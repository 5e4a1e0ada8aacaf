"""Rows coded like one that is known to have no place among the best: they score alike.

Photographs have flat patches by the ten thousand, whose codes are the same. Where rounding lets
their bounds reach the k-th best score, or they tie with it, one of them is scored and found to have
no place, and then none of its codes has, of those that tie none of a higher id. To see that rows of
a block are coded alike takes a third of what scoring them does.

One row is remembered, that which most rows that had no place are like (the majority vote of Boyer
and Moore). It is at the end of a query's room for rows that wait: the row, -1 for none; an id
beyond which those like it have no place; and the votes for it.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import block_at
from vqindex.kernels.cpu.program import BLOCK, UNBOUND
from vqindex.kernels.cpu.select import row_of, rows_at
from vqindex.kernels.cpu.whole import codes_at, columns_of

PLACES = 3
_ROW, _LAST, _VOTES = range(PLACES)
_EIGHT = 8  # rows whose words of codes lie side by side


@inlined
def _at(waiting, slot):
    return rows_at(waiting, slot) + 8 * (waiting.capacity - PLACES)


@inlined
def forget(waiting, slot):
    """No row is known."""
    simd.store_int64(_at(waiting, slot) + 8 * _ROW, np.int64(-1))
    simd.store_int64(_at(waiting, slot) + 8 * _VOTES, np.int64(0))


@inlined
def remember(stored, waiting, slot, row, last):
    """That rows of the codes of this one, of 4 bits, have no place if their ids are above `last`.

    Unless another is remembered for which there are votes; or scores are made of more than codes.
    """
    at, votes = _at(waiting, slot), row_of(_at(waiting, slot), _VOTES)
    bare = columns_of(stored).scale == UNBOUND and stored.bias == UNBOUND
    if votes > 0:
        simd.store_int64(at + 8 * _VOTES, votes - 1)
    elif bare and stored.owners == UNBOUND:
        simd.store_int64(at + 8 * _ROW, row)
        simd.store_int64(at + 8 * _LAST, last)


@inlined
def others(stored, block, hits, waiting, slot):
    """Of some rows of a block, those not known to have no place."""
    at = _at(waiting, slot)
    if row_of(at, _ROW) < 0:
        return hits
    alike = hits & _alike(stored, block, row_of(at, _ROW), row_of(at, _LAST))
    simd.store_int64(at + 8 * _VOTES, row_of(at, _VOTES) + simd.count_bits(alike))
    return hits ^ alike


@kernel
def _alike(stored, block, row, last):
    """Rows of a block that have a row's codes and ids above the last."""
    columns, alike = columns_of(stored), np.uint32(0xFFFFFFFF)
    group, inside = 8 * columns.row_bytes, row % BLOCK
    codes = codes_at(columns, block)
    own = codes_at(columns, row // BLOCK) + group * (inside // _EIGHT) + 8 * (inside % _EIGHT)
    for word in range(columns.words):
        code, same = simd.load_int64(own + 64 * word), np.uint32(0)
        for i in range(BLOCK // _EIGHT):
            found = simd.equal_words(simd.load(codes + 64 * word + group * i), code)
            same |= found << np.uint32(_EIGHT * i)
        alike &= same
        if alike == 0:
            return alike
    ids, later = block_at(stored.ids, block, 8), np.uint32(0)
    for i in range(BLOCK // _EIGHT):
        later |= simd.words_above(simd.load(ids + 64 * i), last) << np.uint32(_EIGHT * i)
    return alike & later
