"""What adjusted codes are: coordinate descent on the angle between a row and its code's levels."""

import numpy as np
import numpy.typing as npt

MARGIN = 1 + 2.0**-30  # more than rounding adds: no step is undone for its errors' sake


def descend(
    row: npt.NDArray[np.float32],
    places: npt.NDArray[np.uint8],
    ladders: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
    rounds: int,
) -> npt.NDArray[np.uint8]:
    """The places of one row after up to `rounds` rounds; fewer where one changes nothing.

    A round goes through the coordinates in order; each steps one place down and then one up,
    where that raises the cosine of the row and its levels, dot / sqrt(square):

        (dot + y (m - l))^2 square > dot^2 (square + m^2 - l^2),  both dots positive

    row      (d,) float32, y
    places   (d,) of each coordinate's level in its ladder
    ladders  (d, 128) ascending levels; counts (d,) of them
    Every step is one float64 operation.

    Source: CAQ, SAQ arXiv 2509.12086, Algorithm 1, for levels that need not be evenly spaced.
    """
    y, at = row.astype(np.float64), places.copy()
    levels = ladders[np.arange(len(y)), at]
    dot = square = 0.0
    for own, level in zip(y.tolist(), levels.tolist(), strict=True):
        dot += own * level
        square += level * level
    for _ in range(rounds):
        moved = False
        for j, own in enumerate(y.tolist()):
            for step in (-1, 1):
                to = int(at[j]) + step
                if not 0 <= to < counts[j]:
                    continue
                level, other = float(ladders[j, at[j]]), float(ladders[j, to])
                new = dot + own * (other - level)
                size = square + (other * other - level * level)
                if dot > 0 and new > 0 and new * new * square > dot * dot * size * MARGIN:
                    dot, square, at[j], moved = new, size, to, True
        if not moved:
            break
    return at
