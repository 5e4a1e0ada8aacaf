"""What table codes mean: a look-up for each code, in a table of its own."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def raw(codes: npt.NDArray[np.uint8], tables: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sums of look-ups of rows and queries: exact for integers, float64 for floats.

        raw[i, s] = sum_m tables[s, m, codes[i, m]]

    codes    (n, m) uint8, every entry < ksub
    tables   (nq, m, ksub)
    returns  (n, nq) int64 or float64
    """
    wide = np.int64 if tables.dtype.kind in "iu" else np.float64
    found = tables[:, np.arange(codes.shape[1]), codes]
    total: npt.NDArray[Any] = found.sum(axis=2, dtype=wide)
    return total.T


def coarse(tables: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Tables of integers in steps of 128, rounded: what bounds look up. A sum errs by 64 each."""
    steps: npt.NDArray[np.int64] = (tables + 64) >> 7
    return steps


def products(rows: Floats, starts: npt.NDArray[np.int64], words: Floats) -> Floats:
    """Inner products of rows with the words of each sub-space: the tables of queries.

        out[i, s, k] = sum_j words[s, k, j] * rows[i, starts[s] + j]

    Products are added from zero, from the first dimension to the last, in float32.

    rows     (n, d) float32
    starts   (m + 1,): sub-space s holds dimensions starts[s] .. starts[s + 1] - 1
    words    (m, ksub, width) float32
    returns  (n, m, ksub) float32
    """
    out = np.zeros((len(rows), *words.shape[:2]), np.float32)
    for s, (start, stop) in enumerate(pairwise(starts)):
        for j in range(stop - start):
            out[:, s] += words[s, :, j] * rows[:, start + j, None]
    return out
