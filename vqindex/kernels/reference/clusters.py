"""What the nearest word of a codebook is: float32 in one fixed order, ties to the lower number."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def shortfalls(rows: Floats, words: Floats, halves: Floats) -> Floats:
    """What each word falls short by: half a square distance, but for the row's own square.

        shortfall[i, k] = halves[k] - sum_j words[k, j] * rows[i, j]

    Products are added from zero, from the first dimension to the last.

    rows     (n, d) float32
    words    (k, d) float32
    halves   (k,) float32: |word|^2 / 2, or zeros where the greatest inner product is sought
    returns  (n, k) float32
    """
    total = np.zeros((len(rows), len(words)), np.float32)
    for j in range(rows.shape[1]):
        total += words[:, j] * rows[:, j, None]
    return halves - total


def nearest(rows: Floats, words: Floats, halves: Floats) -> npt.NDArray[np.int64]:
    """The number of the word of least shortfall for each row, (n,); ties go to the lower."""
    least: npt.NDArray[np.int64] = shortfalls(rows, words, halves).argmin(axis=1)
    return least
