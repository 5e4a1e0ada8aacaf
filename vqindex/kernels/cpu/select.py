"""Keep the best k rows of a query: larger scores first, ties by lower id.

Candidates of a query stand unordered in a buffer of more than k places. When it is full it is
shrunk to its best k, and the k-th score becomes the threshold below which no row need be kept.
The order (score, id) is total, so neither the order of arrival nor the number of threads matters.
`ids` is the address of the id column's slab table.
"""

import numpy as np

from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import int64_at


@inlined
def better(score, row, other_score, other_row, ids):
    """Whether one candidate goes before another."""
    if score != other_score:
        return score > other_score
    return int64_at(ids, row) < int64_at(ids, other_row)


@kernel
def partition_best(scores, rows, count, k, ids):
    """Move the best k of the first `count` candidates to the front, in no order (quickselect)."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) >> 1
        pivot_score, pivot_row = scores[middle], rows[middle]
        i, j = low, high
        while i <= j:
            while better(scores[i], rows[i], pivot_score, pivot_row, ids):
                i += 1
            while better(pivot_score, pivot_row, scores[j], rows[j], ids):
                j -= 1
            if i <= j:
                scores[i], scores[j] = scores[j], scores[i]
                rows[i], rows[j] = rows[j], rows[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            return


@inlined
def lowest_of(scores, k):
    """The lowest of the first k scores."""
    lowest = scores[0]
    for i in range(1, k):
        if scores[i] < lowest:
            lowest = scores[i]
    return lowest


@kernel
def push(scores, rows, counts, thresholds, query, score, row, k, ids):
    """Add a candidate whose score is not below the query's threshold."""
    count = counts[query]
    if count == scores.shape[1]:
        partition_best(scores[query], rows[query], count, k, ids)
        lowest = lowest_of(scores[query], k)
        thresholds[query] = lowest
        count = k
        counts[query] = k
        if score < lowest:
            return
    scores[query, count] = score
    rows[query, count] = row
    counts[query] = count + 1


@kernel
def sort_best(scores, rows, count, ids):
    """Order the first `count` candidates, best first (Shell's sort, gaps of Knuth)."""
    gap = 1
    while 3 * gap < count:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, count):
            score, row, j = scores[i], rows[i], i
            while j >= gap and better(score, row, scores[j - gap], rows[j - gap], ids):
                scores[j], rows[j] = scores[j - gap], rows[j - gap]
                j -= gap
            scores[j], rows[j] = score, row
        gap //= 3


@kernel
def finish(scores, rows, counts, k, ids, out_scores, out_ids):
    """Each query's best k, best first, padded with -inf and -1.

    scores, rows   (nq, capacity) float32, int64: candidates; counts (nq,) int64
    out_scores     (nq, k) float32; out_ids (nq, k) int64
    """
    for query in range(counts.size):
        count = counts[query]
        if count > k:
            partition_best(scores[query], rows[query], count, k, ids)
            count = k
        sort_best(scores[query], rows[query], count, ids)
        for i in range(count):
            out_scores[query, i] = scores[query, i]
            out_ids[query, i] = int64_at(ids, rows[query, i])
        for i in range(count, k):
            out_scores[query, i] = -np.inf
            out_ids[query, i] = -1
