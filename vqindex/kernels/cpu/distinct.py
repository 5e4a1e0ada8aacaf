"""Candidates of several copies of rows: of each row the best one, and what is held of it once."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import kernel
from vqindex.kernels.cpu.fields import int64_at
from vqindex.kernels.cpu.ids import home, slot_of
from vqindex.kernels.cpu.select import (
    count_of,
    put,
    row_of,
    rows_at,
    score_of,
    scores_at,
    shrink,
    sort_best,
)


@kernel
def distinct(kept, k, some, ids):
    """Of each query's best k candidates, leave the best copy of each row, `some` at most.

    Candidates of one row have its id. The best `some` rows are there where k is as many times more
    as rows have copies: fewer than k candidates go before the last of them.
    """
    capacity = 64
    while capacity < 2 * k:
        capacity *= 2
    seen = np.empty((capacity, 2), np.int64)
    for query in range(kept.nq):
        shrink(kept, query, k, ids)
        scores, rows, count = scores_at(kept, query), rows_at(kept, query), np.int64(0)
        sort_best(scores, rows, count_of(kept, query), ids)
        seen[:] = -1
        for i in range(count_of(kept, query)):
            row = row_of(rows, i)
            id_ = int64_at(ids, row)
            slot = slot_of(seen, id_)
            if count < some and seen[slot, 0] < 0:
                seen[slot, 0] = id_
                put(scores, rows, count, score_of(scores, i), row)
                count += 1
        simd.store_int64(kept.counts + 8 * query, count)


@kernel
def rename(kept, ids, table, capacity):
    """Put the rows of candidates' ids, as a hash table has them all, in their places.

    table   address of (capacity, 2) int64, see ids; where it has no slots, ids are rows
    """
    for query in range(kept.nq):
        scores, rows = scores_at(kept, query), rows_at(kept, query)
        for i in range(count_of(kept, query)):
            row = int64_at(ids, row_of(rows, i))
            if capacity > 0:
                slot = home(row, capacity - 1)
                while simd.load_int64(table + 16 * slot) != row:
                    slot = (slot + 1) & (capacity - 1)
                row = simd.load_int64(table + 16 * slot + 8)
            put(scores, rows, i, score_of(scores, i), row)
