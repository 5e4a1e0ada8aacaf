"""Distances in which queries count: (x - w)^T H (x - w), H a second moment of queries.

That is the mean square error of inner products with them where w is coded for x. With the Cholesky
factor H = L L^T it is the square distance of x L and w L: words are learned there and brought
back. Each run of dimensions with a codebook has its own H.

Along the row itself a row's own scale can take the error away, so that what counts of a query is
how it differs from the rows near it, as in allocation: scale=unbiased belongs with it. Without a
scale rows lose of their own score what weighted words lose of their length, and more is lost than
won.

Source: A2ATS, arXiv 2502.12665, query-aware vector quantization, where H is that of whole queries
and every score counts, not those of near rows.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

from vqindex.layouts.base import FloatArray
from vqindex.quantizers.allocation import query_differences
from vqindex.transforms.moments import Matrix, moment_of_queries


@dataclass(frozen=True)
class Weighting:
    """The factor L (width, width) of each run of dimensions, starts[s] .. starts[s + 1] - 1."""

    starts: npt.NDArray[np.int64]
    factors: list[Matrix]

    @classmethod
    def of(cls, sample: FloatArray, queries: FloatArray, starts: npt.NDArray[np.int64]) -> Self:
        """That of queries (nq, d) and, where they are few, of rows of a sample (n, d)."""
        off = query_differences(sample, queries)
        moments = [moment_of_queries(sample[:, a:b], off[:, a:b]) for a, b in pairwise(starts)]
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
