"""Which lists a query prefers: the definitions."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def shares(rows: Array, scales: Array, entries: Array, gamma: Array) -> Array:
    """Inner products of coded rows and origins, (n, lists).

    rows      (n, d) int8 t, standing for scale * (t + 1/2); scales (n,) float32
    entries   (lists, d) int8, standing for gamma * entry; gamma (lists,) float32
    """
    raw = rows.astype(np.int64) @ entries.T.astype(np.int64)
    half = entries.sum(axis=1, dtype=np.int64).astype(np.float32) * np.float32(0.5)
    total: Array = ((raw.astype(np.float32) + half) * gamma) * scales[:, None]
    return total


def choose(shares: Array, weights: Array, offsets: Array, sizes: Array, m: int) -> Array:
    """The m lists with rows of largest share * weight + offset, ties by lower number.

    All arrays (lists,), float32 and sizes int64; best first; fewer where fewer have rows
    """
    scores = shares * weights + offsets
    order = np.lexsort((np.arange(len(scores)), -scores))
    chosen: Array = order[sizes[order] > 0][:m]
    return chosen


def sum_rows(x: Array, numbers: Array, lists: int) -> Array:
    """The sum of the rows (n, d) of each list, (lists, d) float64."""
    sums = np.zeros((lists, x.shape[1]))
    np.add.at(sums, numbers, x.astype(np.float64))
    return sums
