"""What a dataset is: vectors, queries, and the exact neighbours of each query."""

import hashlib
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from vqindex import arrays
from vqindex.errors import DtypeError, ShapeError


def check_vectors(base: NDArray[Any], queries: NDArray[Any]) -> None:
    """Raise unless `base` is (n, d) and `queries` (nq, d), both of real numbers, d >= 1."""
    for name, array in (("base", base), ("queries", queries)):
        if array.dtype.kind not in "fiu":
            raise DtypeError(f"{name} must hold real numbers, got {array.dtype}")
        if array.ndim != 2 or array.shape[1] < 1:
            raise ShapeError(f"{name} must have shape (rows, d) with d >= 1, got {array.shape}")
    if base.shape[1] != queries.shape[1]:
        raise ShapeError(
            f"queries must have shape (nq, {base.shape[1]}) to match base, got {queries.shape}"
        )


@final
@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Base vectors, queries and the exact nearest neighbours of every query.

    base       (n, d), in the file's own dtype and memory-mapped where the file allows it
    queries    (nq, d), likewise
    neighbors  (nq, k) int64, rows of base, nearest first; -1 past the last row
    distances  (nq, k) float32, ascending; +inf where the id is -1. "l2" is the squared Euclidean
               distance, "cosine" 1 - cosine, "ip" minus the inner product

    Raises ShapeError, DtypeError, or SpecError for the metric.
    """

    name: str
    metric: str
    base: NDArray[Any]
    queries: NDArray[Any]
    neighbors: NDArray[np.int64]
    distances: NDArray[np.float32]

    def __post_init__(self) -> None:
        arrays.metric(self.metric)
        check_vectors(self.base, self.queries)
        if self.neighbors.dtype != np.int64 or self.distances.dtype != np.float32:
            raise DtypeError(
                "neighbors must be int64 and distances float32, "
                f"got {self.neighbors.dtype} and {self.distances.dtype}"
            )
        shape = self.neighbors.shape
        if len(shape) != 2 or shape[0] != self.nq or self.distances.shape != shape:
            raise ShapeError(
                f"neighbors and distances must both have shape ({self.nq}, k), "
                f"got {self.neighbors.shape} and {self.distances.shape}"
            )
        if self.neighbors.size and not -1 <= self.neighbors.min() <= self.neighbors.max() < self.n:
            raise ShapeError(
                f"neighbors must be rows of base in [0, {self.n}) or -1, "
                f"got {self.neighbors.min()} to {self.neighbors.max()}"
            )

    @property
    def n(self) -> int:
        """The number of base vectors."""
        return len(self.base)

    @property
    def d(self) -> int:
        """The dimension."""
        return int(self.base.shape[1])

    @property
    def nq(self) -> int:
        """The number of queries."""
        return len(self.queries)

    @property
    def k(self) -> int:
        """The number of known neighbours of each query."""
        return int(self.neighbors.shape[1])

    def content_hash(self) -> str:
        """The SHA-256 of rows, queries and neighbours as they are stored."""
        digest = hashlib.sha256()
        for array in (self.base, self.queries, self.neighbors):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}, {self.metric}, n={self.n}, d={self.d}, "
            f"nq={self.nq}, k={self.k}, dtype={self.base.dtype})"
        )
