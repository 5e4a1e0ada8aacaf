"""Second moments of rows and of queries."""

import numpy as np
import numpy.typing as npt

from vqindex.layouts.base import FloatArray

Matrix = npt.NDArray[np.float64]

_FLOOR = 1e-6  # of the mean variance: what a direction without any is given


def moment(x: FloatArray) -> Matrix:
    """E x x^T over its mean diagonal, and a little of every direction; the identity for zeros."""
    wide = x.astype(np.float64)
    found = wide.T @ wide
    mean = np.trace(found) / len(found)
    scaled: Matrix = found / mean if mean > 0 else np.zeros_like(found)
    return scaled + (_FLOOR if mean > 0 else 1) * np.eye(len(found))


def moment_of_queries(sample: FloatArray, queries: FloatArray) -> Matrix:
    """That of queries (nq, d), counted as if d more had been distributed like rows (n, d)."""
    d = sample.shape[1]
    mixed: Matrix = (d * moment(sample) + len(queries) * moment(queries)) / (d + len(queries))
    return mixed
