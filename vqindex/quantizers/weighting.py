"""Distances in which queries count: (x - w)^T H (x - w), H the queries' second moment.

That is the mean square error of inner products with such queries where w is coded for x. With the
Cholesky factor H = L L^T it is the square distance of x L and w L: words are learned there and
brought back. Each run of dimensions with a codebook has its own H.

Source: A2ATS, arXiv 2502.12665, query-aware vector quantization.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

from vqindex.layouts.base import FloatArray
from vqindex.transforms.moments import Matrix, moment_of_queries


@dataclass(frozen=True)
class Weighting:
    """The factor L (width, width) of each run of dimensions, starts[s] .. starts[s + 1] - 1."""

    starts: npt.NDArray[np.int64]
    factors: list[Matrix]

    @classmethod
    def of(cls, sample: FloatArray, queries: FloatArray, starts: npt.NDArray[np.int64]) -> Self:
        """That of queries (nq, d) and, where they are few, of rows of a sample (n, d)."""
        moments = [moment_of_queries(sample[:, a:b], queries[:, a:b]) for a, b in pairwise(starts)]
        return cls(starts, [np.linalg.cholesky(m).astype(np.float64) for m in moments])

    def apply(self, x: FloatArray) -> FloatArray:
        """Rows (n, d) where distances are weighted."""
        out = np.empty(x.shape, np.float32)
        for (start, stop), factor in zip(pairwise(self.starts), self.factors, strict=True):
            out[:, start:stop] = x[:, start:stop] @ factor.astype(np.float32)
        return out

    def back(self, words: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Words w and H w, (m, k, width) each, of words w L."""
        own, aims = np.zeros_like(words), np.zeros_like(words)
        for s, factor in enumerate(self.factors):
            found = words[s, :, : len(factor)].astype(np.float64)
            own[s, :, : len(factor)] = np.linalg.solve(factor.T, found.T).T
            aims[s, :, : len(factor)] = found @ factor.T
        return own, aims
