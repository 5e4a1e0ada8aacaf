"""Exact scores of a few rows, in float64, and orders of them."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def scores(query: Floats, rows: Floats, metric: str) -> Floats:
    """Scores (m,) of rows (m, d) for a query (d,), larger nearer.

    cosine  <q, x> / (|q| |x|), 0 where either is zero    ip  <q, x>    l2  -|q - x|^2
    """
    if metric == "l2":
        gaps = rows - query
        return -_dots(gaps, gaps)
    products: Floats = np.einsum("ij,j->i", rows, query)
    if metric == "ip":
        return products
    norms = np.sqrt(_dots(rows, rows)) * np.sqrt(query @ query)
    cosines = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    clipped: Floats = np.clip(cosines, -1.0, 1.0)
    return clipped


def many_scores(
    queries: NDArray[np.float32], rows: NDArray[np.float32], metric: str
) -> NDArray[np.float32]:
    """Scores (nq, m) of rows (m, d) for queries (nq, d), about: in float32, and less some that
    are the same for all rows."""
    products: NDArray[np.float32] = queries @ rows.T
    squares = np.einsum("ij,ij->i", rows, rows)
    if metric == "cosine":
        products /= np.sqrt(np.maximum(squares, np.float32(1e-38)))
    elif metric == "l2":
        products -= squares / 2
    return products


def _dots(a: Floats, b: Floats) -> Floats:
    """Inner products (m,) of rows with rows (m, d)."""
    products: Floats = np.einsum("ij,ij->i", a, b)
    return products


def distance(score: float, metric: str) -> float:
    """The distance that a score is: 1 - cosine, minus the inner product, the square distance."""
    return 1.0 - score if metric == "cosine" else -score


def best(scores: NDArray[np.floating], rows: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Places of the k largest scores (m,), largest first, ties by lower row."""
    if 2 * k < len(scores):
        few = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
        return few[np.lexsort((rows[few], -scores[few]))[:k]]
    return np.lexsort((rows, -scores))[:k]


def spread_out(query: Floats, rows: Floats, k: int, lambda_mult: float) -> list[int]:
    """Places of k of the rows (m, d) by maximal marginal relevance, best first.

    Each is the one with the largest lambda_mult * cosine to the query minus (1 - lambda_mult)
    * its largest cosine to those taken before. Source: Carbonell and Goldstein, 1998.
    """
    relevance = scores(query, rows, "cosine")
    taken: list[int] = []
    closest = np.zeros(len(rows))
    left = np.ones(len(rows), np.bool_)
    while left.any() and len(taken) < k:
        worth = lambda_mult * relevance - (1 - lambda_mult) * closest
        at = int(np.argmax(np.where(left, worth, -np.inf)))
        similar = scores(rows[at], rows, "cosine")
        closest = np.maximum(closest, similar) if taken else similar
        taken.append(at)
        left[at] = False
    return taken
