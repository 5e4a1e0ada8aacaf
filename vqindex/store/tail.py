"""The newest rows of a store, which are searched exactly."""

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from vqindex.codec import measured
from vqindex.store import ranking

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]


@final
class Tail:
    """A few thousand rows at most, and their vectors; under cosine these have norm 1.

    rows     (n,) int64, all different
    vectors  (n, dim) float32
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self._n = 0
        self._rows: Rows = np.empty(0, np.int64)
        self._vectors: Floats = np.empty((0, 0), np.float32)

    def __len__(self) -> int:
        return self._n

    @property
    def rows(self) -> Rows:
        return self._rows[: self._n]

    @property
    def vectors(self) -> Floats:
        return self._vectors[: self._n]

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes + self._vectors.nbytes

    def add(self, rows: Rows, vectors: Floats) -> None:
        """Add rows that are not there."""
        start, stop = self._n, self._n + len(rows)
        if stop > len(self._rows):
            size = max(stop, 2 * start)
            self._rows = _grown(self.rows, (size,))
            self._vectors = _grown(self.vectors, (size, vectors.shape[1]))
        self._rows[start:stop] = rows
        self._vectors[start:stop] = measured(vectors, self.metric)
        self._n = stop

    def remove(self, rows: Rows) -> int:
        """Remove those of the rows that are there; how many."""
        kept = ~np.isin(self.rows, rows)
        gone = self._n - int(kept.sum())
        if gone:
            self._rows, self._vectors = self.rows[kept], self.vectors[kept]
            self._n -= gone
        return gone

    def nearest(
        self, queries: Floats, k: int, mask: NDArray[np.bool_] | None
    ) -> tuple[Rows, Floats]:
        """The k nearest rows to each query (nq, dim), or as many as a mask lets pass, and scores.

        NonFiniteError for a query so long that scores would overflow.
        Scores are sums in float32, under l2 of differences: those far from the origin, and near
        each other, would lose all they have to a difference of squares.
        """
        rows = self.rows if mask is None else self.rows[mask]
        vectors = self.vectors if mask is None else self.vectors[mask]
        k = min(k, len(rows))
        found, scores = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), "f4")
        if not k:
            return found, scores
        for i, query in enumerate(measured(queries, self.metric)):
            if self.metric == "l2":
                gaps = vectors - query
                each = -np.einsum("ij,ij->i", gaps, gaps)
            else:
                each = np.einsum("ij,j->i", vectors, query)
            best = ranking.best(each, rows, k)
            found[i], scores[i] = rows[best], each[best]
        return found, scores


def _grown(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array with more room, what is there at its beginning."""
    new = np.empty(shape, array.dtype)
    if len(array):
        new[: len(array)] = array
    return new
