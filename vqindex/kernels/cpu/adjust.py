"""Codes adjusted one coordinate at a time, so that a row's levels point more nearly its way."""

import numpy as np

from vqindex.kernels.cpu.compile import kernel
from vqindex.kernels.reference.adjust import MARGIN


@kernel
def descend(rows, ladders, counts, rounds, places):
    """Adjust the places of rows' levels: reference.adjust.descend of each.

    rows      (n, >= d) float32
    ladders   (d, 128) float64 ascending; counts (d,) int64
    places    (n, d) uint8, read and written
    """
    n, dims = places.shape
    levels = np.empty(dims, np.float64)
    for i in range(n):
        dot = square = 0.0
        for j in range(dims):
            levels[j] = ladders[j, places[i, j]]
            dot += np.float64(rows[i, j]) * levels[j]
            square += levels[j] * levels[j]
        for _ in range(rounds):
            moved = False
            for j in range(dims):
                y = np.float64(rows[i, j])
                for step in (-1, 1):
                    to = np.int64(places[i, j]) + step
                    if to < 0 or to >= counts[j]:
                        continue
                    level, other = levels[j], ladders[j, to]
                    new = dot + y * (other - level)
                    size = square + (other * other - level * level)
                    if dot > 0 and new > 0 and new * new * square > dot * dot * size * MARGIN:
                        dot, square, levels[j], moved = new, size, other, True
                        places[i, j] = to
            if not moved:
                break
