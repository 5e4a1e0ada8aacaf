"""What sparse codes mean: a few coordinates of a row, each with a value of its own."""

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.integer]


def raw(
    coordinates: Integers, values: npt.NDArray[np.int8], entries: Integers
) -> npt.NDArray[np.int64]:
    """Sums over the outliers of rows, for queries.

        raw[i, s] = sum_k values[i, k] * entries[s, coordinates[i, k]]

    coordinates   (n, count), those beyond the last entry stand for it
    values        (n, count) int8
    entries       (nq, d)
    returns       (n, nq) int64
    """
    met = entries[:, np.minimum(coordinates, entries.shape[1] - 1)].astype(np.int64)
    total: npt.NDArray[np.int64] = (met * values).sum(axis=2)
    return total.T


def largest(rows: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """The `count` entries of the largest magnitude of each row (n, d), the first of equal ones."""
    return np.argsort(-np.abs(rows), axis=1, kind="stable")[:, :count]
