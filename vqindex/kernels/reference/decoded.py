"""What decoded rows mean: exact integers, or float32 in one fixed order."""

from functools import reduce

import numpy as np
import numpy.typing as npt

LANES = 16


def raw(rows: npt.NDArray[np.int8], query: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Integer part of the inner products of rows of half-integers t + 1/2 and queries.

        raw[i, s] = sum_j rows[i, j] * query[s, j]

    rows     (n, d) int8, the integers t
    query    (nq, d) int8
    returns  (n, nq) int64
    """
    return rows.astype(np.int64) @ query.astype(np.int64).T


def dot(rows: npt.NDArray[np.floating], query: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Inner products, every product and sum rounded to float32, in this order.

    Lane j of sixteen adds up dimensions j, j + 16, ... one after another, from zero; then lanes
    0-7 and 8-15 are added, 0-3 and 4-7 of these, and so on.

    rows     (n, d) float32, or float16 widened first
    query    (nq, d) float32
    returns  (n, nq) float32
    """
    padding = (0, -rows.shape[1] % LANES)
    x = np.pad(rows.astype(np.float32), ((0, 0), padding))[:, None]
    products = x * np.pad(query, ((0, 0), padding))
    steps = np.split(products, products.shape[-1] // LANES, axis=-1)
    return sum_lanes(reduce(np.add, steps, np.zeros((1, 1, LANES), np.float32)))


def sum_lanes(lanes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The sum over the last axis, a power of two long: halves added until one is left."""
    while lanes.shape[-1] > 1:
        low, high = np.split(lanes, 2, axis=-1)
        lanes = low + high
    return lanes[..., 0]
