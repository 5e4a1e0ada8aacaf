"""Keep the best k rows of a query: larger scores first, ties by lower id.

Candidates of a query stand unordered in a buffer of more than k places. When it is full it is
shrunk to its best k, and the k-th score becomes the threshold below which no row need be kept.
The order (score, id) is total, so neither the order of arrival nor the number of threads matters.

scores, rows   addresses of float32 and int64; kept: a records.Kept
ids            the id column's slab table
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import int64_at


@inlined
def score_of(scores, i):
    """The i-th score."""
    return simd.load_float(scores + 4 * i)


@inlined
def row_of(rows, i):
    """The i-th row."""
    return simd.load_int64(rows + 8 * i)


@inlined
def put(scores, rows, i, score, row):
    """Write the i-th candidate."""
    simd.store_float(scores + 4 * i, score)
    simd.store_int64(rows + 8 * i, row)


@inlined
def swap(scores, rows, i, j):
    """Exchange two candidates."""
    score, row = score_of(scores, i), row_of(rows, i)
    put(scores, rows, i, score_of(scores, j), row_of(rows, j))
    put(scores, rows, j, score, row)


@inlined
def better(score, row, other_score, other_row, ids):
    """Whether one candidate goes before another."""
    if score != other_score or row == other_row:
        return score > other_score
    return int64_at(ids, row) < int64_at(ids, other_row)


@kernel
def partition_best(scores, rows, count, k, ids):
    """Move the best k of the first `count` candidates to the front, in no order (quickselect)."""
    low, high = np.int64(0), count - 1
    while low < high:
        middle = (low + high) >> 1
        score, row = score_of(scores, middle), row_of(rows, middle)
        i, j = low, high
        while i <= j:
            while better(score_of(scores, i), row_of(rows, i), score, row, ids):
                i += 1
            while better(score, row, score_of(scores, j), row_of(rows, j), ids):
                j -= 1
            if i <= j:
                swap(scores, rows, i, j)
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            return


@inlined
def count_of(kept, query):
    """How many candidates a query has."""
    return simd.load_int64(kept.counts + 8 * query)


@inlined
def threshold_of(kept, query):
    """The score that a row must reach to be kept."""
    return simd.load_float(kept.thresholds + 4 * query)


@inlined
def reads_of(kept, query):
    """How many rows of a query were scored by finer codes."""
    return simd.load_int64(kept.reads + 8 * query)


@inlined
def scores_at(kept, query):
    """Where a query's scores begin."""
    return kept.scores + 4 * query * kept.capacity


@inlined
def rows_at(kept, query):
    """Where a query's rows begin."""
    return kept.rows + 8 * query * kept.capacity


@kernel
def clear(kept, padded):
    """No candidates yet: any row reaches a query's threshold, none NaN, that of the padding."""
    for query in range(padded):
        least = np.float32(-np.inf if query < kept.nq else np.nan)
        simd.store_float(kept.thresholds + 4 * query, least)
    for query in range(kept.nq):
        simd.store_int64(kept.counts + 8 * query, np.int64(0))
        simd.store_int64(kept.reads + 8 * query, np.int64(0))


@kernel
def push(kept, query, score, row, k, ids):
    """Add a candidate whose score is not below the query's threshold."""
    if count_of(kept, query) == kept.capacity:
        shrink(kept, query, k, ids)
        if score < threshold_of(kept, query):
            return
    count = count_of(kept, query)
    put(scores_at(kept, query), rows_at(kept, query), count, score, row)
    simd.store_int64(kept.counts + 8 * query, count + 1)


@kernel
def shrink(kept, query, k, ids):
    """Keep a query's best k candidates, if it has as many; the k-th score is the threshold."""
    count = count_of(kept, query)
    if count < k:
        return
    scores, rows = scores_at(kept, query), rows_at(kept, query)
    partition_best(scores, rows, count, k, ids)
    lowest = score_of(scores, 0)
    for i in range(1, k):
        lowest = min(lowest, score_of(scores, i))
    simd.store_float(kept.thresholds + 4 * query, lowest)
    simd.store_int64(kept.counts + 8 * query, k)


@kernel
def merge(kept, others, k, ids):
    """Add the candidates of the same queries that another search kept."""
    for query in range(kept.nq):
        scores, rows = scores_at(others, query), rows_at(others, query)
        simd.store_int64(kept.reads + 8 * query, reads_of(kept, query) + reads_of(others, query))
        for i in range(count_of(others, query)):
            if score_of(scores, i) >= threshold_of(kept, query):
                push(kept, query, score_of(scores, i), row_of(rows, i), k, ids)


@kernel
def sort_best(scores, rows, count, ids):
    """Order the first `count` candidates, best first (Shell's sort, gaps of Knuth)."""
    gap = np.int64(1)
    while 3 * gap < count:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, count):
            score, row, j = score_of(scores, i), row_of(rows, i), i
            while j >= gap and better(
                score, row, score_of(scores, j - gap), row_of(rows, j - gap), ids
            ):
                put(scores, rows, j, score_of(scores, j - gap), row_of(rows, j - gap))
                j -= gap
            put(scores, rows, j, score, row)
        gap //= 3


@kernel
def finish(kept, k, ids, alpha, answers):
    """Write each query's best k, best first, padded with -inf and -1.

    alpha     address of (nq,) float32, added to the scores
    answers   a records.Answers of at least k
    """
    for query in range(kept.nq):
        shrink(kept, query, k, ids)
        count = count_of(kept, query)
        scores, rows = scores_at(kept, query), rows_at(kept, query)
        sort_best(scores, rows, count, ids)
        more, skip = simd.load_float(alpha + 4 * query), query * answers.width
        for i in range(answers.width):
            score, found = np.float32(-np.inf), np.int64(-1)
            if i < count:
                score, found = score_of(scores, i) + more, int64_at(ids, row_of(rows, i))
            simd.store_float(answers.scores + 4 * (skip + i), score)
            simd.store_int64(answers.ids + 8 * (skip + i), found)
