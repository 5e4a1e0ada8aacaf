"""Codes by a loss that counts errors along a row more than errors across it."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]


def descend(
    products: Floats, squares: Floats, lengths: Floats, scales: Floats, rounds: int, codes: Codes
) -> Codes:
    """Codes of rows after coordinate descent: each in turn takes the word of least cost.

    With words w_s, the cost of a row y is sum_s (|w_s|^2 - 2 <y, w_s>) + (scale * left)^2, where
    left = |y|^2 - sum_s <y, w_s>. Ties go to the lower word. It ends with a round that changes
    nothing or after so many. Each step is rounded to float32.

    products   (n, m, k), of rows with the words of each sub-space
    squares    (m, k), |w|^2; lengths (n,), |y|^2; scales (n,)
    codes      (n, m), to begin with
    """
    found = codes.copy()
    for own, length, scale, row in zip(products, lengths, scales, found, strict=True):
        left = length
        for s, code in enumerate(row):
            left = left - own[s, code]
        for _ in range(rounds):
            before = row.copy()
            for s, code in enumerate(row):
                rest = left + own[s, code]
                off = (rest - own[s]) * scale
                row[s] = (squares[s] - own[s] - own[s] + off * off).argmin()
                left = rest - own[s, row[s]]
            if (row == before).all():
                break
    return found
