"""Exact nearest neighbours by brute force.

Blocks of base rows are scored by BLAS in float64 and a shortlist is kept as float32; the shortlist
is then ordered by distances summed term by term in float64. A shortlist is accepted only where no
row outside it can be nearer than its k-th (`_SLACK` bounds the rounding); a query that fails this,
as one with many equal distances may, is answered from all rows term by term.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqindex.errors import NonFiniteError

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

_QUERIES = 1024  # queries scored together
_BLOCK = 1 << 22  # float64 numbers in one block of rows, or of scores: 32 MiB
_SPARE = 32  # shortlist entries past k
# Scores are divided by their largest possible size. Rounding one to float32 then costs 2^-25, and
# float64 sums of d < 2^25 terms less than that, on either side of the comparison.
_SLACK = 2.0**-22
_LARGEST = float(np.finfo(np.float32).max)


def exact_search(
    base: NDArray[Any], queries: NDArray[Any], k: int, metric: str
) -> tuple[NDArray[np.float32], Ids]:
    """Distances (nq, k) and ids of the k nearest rows, by (float64 distance, id).

    Beyond its result it needs about 200 MiB and a few numbers for each base row.
    """
    distances = np.full((len(queries), k), np.inf, np.float32)
    ids = np.full((len(queries), k), -1, np.int64)
    squares = _squares(base)
    for start in range(0, len(queries), _QUERIES):
        block = _float64(queries[start : start + _QUERIES])
        shortlist, reach = _shortlist(base, squares, block, k, metric)
        for i, query in enumerate(block):
            near, rows = _nearest(base, shortlist[i], query, k, metric)
            if shortlist.shape[1] < len(base) and not near[-1] < reach[i]:
                near, rows = _nearest(base, None, query, k, metric)
            distances[start + i, : len(near)] = near
            ids[start + i, : len(rows)] = rows
    return distances, ids


def pair_distances(
    base: NDArray[Any], queries: NDArray[Any], neighbors: Ids, metric: str
) -> NDArray[np.float32]:
    """Distances (nq, k) float32 between each query and the base rows `neighbors` (nq, k) names.

    Computed in float64; +inf where the id is -1.
    """
    out = np.full(neighbors.shape, np.inf, np.float32)
    for i, row in enumerate(neighbors):
        there = row >= 0
        out[i, there] = _distances(_float64(base[row[there]]), _float64(queries[i]), metric)
    return out


def _shortlist(
    base: NDArray[Any], squares: Floats, queries: Floats, k: int, metric: str
) -> tuple[Ids, Floats]:
    """Rows (nq, m) that hold every row nearer than `reach` (nq,), where m = min(k + spare, n)."""
    keep = min(k + _SPARE, len(base))
    scores = np.empty((len(queries), 0), np.float32)
    rows = np.empty((len(queries), 0), np.int64)
    norm, longest = np.sqrt(_squares(queries)), np.sqrt(squares.max(initial=0.0))
    scale = {"l2": (norm + longest) ** 2, "ip": norm * longest, "cosine": norm}[metric]
    scale[scale == 0] = 1.0
    scaled = queries / scale[:, None]
    step = max(1, _BLOCK // max(base.shape[1], len(queries)))
    for start in range(0, len(base), step):
        part = slice(start, start + step)
        block = scaled @ _float64(base[part]).T
        if metric == "l2":
            block *= -2.0
            block += squares[part] / scale[:, None]
            block += (norm**2 / scale)[:, None]
        else:
            block /= -_nonzero(np.sqrt(squares[part])) if metric == "cosine" else -1.0
        scores = np.hstack([scores, block.astype(np.float32)])
        new = np.arange(start, start + block.shape[1])
        rows = np.hstack([rows, np.broadcast_to(new, block.shape)])
        if scores.shape[1] > keep:
            best = np.argpartition(scores, keep - 1, axis=1)[:, :keep]
            scores = np.take_along_axis(scores, best, axis=1)
            rows = np.take_along_axis(rows, best, axis=1)
    reach = scores.max(axis=1, initial=-np.inf).astype(np.float64) - _SLACK
    return rows, 1.0 + reach if metric == "cosine" else scale * reach


def _nearest(
    base: NDArray[Any], rows: Ids | None, query: Floats, k: int, metric: str
) -> tuple[Floats, Ids]:
    """The k nearest of `rows`, or of all, by (distance, row); at most as many as there are."""
    if rows is not None:
        distances = _distances(_float64(base[rows]), query, metric)
    else:
        step = max(1, _BLOCK // base.shape[1])
        starts = range(0, len(base), step)
        parts = [_distances(_float64(base[s : s + step]), query, metric) for s in starts]
        distances, rows = np.concatenate(parts), np.arange(len(base))
    order = np.lexsort((rows, distances))[:k]
    return distances[order], rows[order]


def _distances(rows: Floats, query: Floats, metric: str) -> Floats:
    """Distances (m,) of rows (m, d) to a query (d,), summed alike for equal rows."""
    if metric == "l2":
        return _sums((rows - query) ** 2)
    products = _sums(rows * query)
    if metric == "ip":
        return -products
    return 1.0 - products / _nonzero(np.sqrt(_sums(rows**2) * _sums(query**2)))


def _squares(x: NDArray[Any]) -> Floats:
    """Squared norms (n,), block by block."""
    step = max(1, _BLOCK // x.shape[1])
    parts = [_sums(_float64(x[s : s + step]) ** 2) for s in range(0, len(x), step)]
    return np.concatenate([np.empty(0), *parts])


def _sums(x: Floats) -> Floats:
    return np.asarray(x.sum(axis=-1))


def _nonzero(x: Floats) -> Floats:
    return np.where(x == 0, 1.0, x)


def _float64(x: NDArray[Any]) -> Floats:
    """A float64 copy of which every entry is finite in float32 too."""
    out = np.array(x, np.float64, order="C")
    if not (np.abs(out) <= _LARGEST).all():
        raise NonFiniteError("vectors must be finite in float32, got NaN, infinity or beyond")
    return out
