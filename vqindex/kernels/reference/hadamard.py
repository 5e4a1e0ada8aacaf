"""What a Hadamard rotation means: an explicit matrix, in float64.

With d = width * p, one round takes a row x to

    M X.T H,    X = (signs * x) as (width, p),    read out as (p, width)

where H is the Walsh-Hadamard matrix of order `width`, entries +-1, and M the mixing matrix (p, p),
orthogonal but for a factor 1 / sqrt(width), so that the whole is orthonormal.
"""

from functools import reduce

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


def sylvester(order: int) -> Matrix:
    """The Walsh-Hadamard matrix of a power of two, in Sylvester's (natural) order."""
    h = np.ones((1, 1))
    while len(h) < order:
        h = np.block([[h, h], [h, -h]])
    return h


def round_matrix(signs: npt.NDArray[np.floating], mix: npt.NDArray[np.floating]) -> Matrix:
    """The matrix (d, d) of one round; signs (d,), mix (p, p)."""
    d, p = len(signs), len(mix)
    both = np.kron(mix.astype(np.float64), sylvester(d // p))
    of_rows = both.reshape(d, p, d // p).transpose(0, 2, 1).reshape(d, d)  # undoes the .T of X
    matrix: Matrix = of_rows * signs
    return matrix


def rotation(signs: npt.NDArray[np.floating], mixes: npt.NDArray[np.floating]) -> Matrix:
    """The matrix R (d, d) of all rounds, the first one applied first.

    signs  (rounds, d) of +-1
    mixes  (rounds, p, p)
    """
    rounds = [round_matrix(s, m) for s, m in zip(signs, mixes, strict=True)]
    return reduce(lambda done, step: step @ done, rounds)


def rotate(
    x: npt.NDArray[np.floating],
    signs: npt.NDArray[np.floating],
    mixes: npt.NDArray[np.floating],
) -> Matrix:
    """R x of each row, (n, d); the inverse is R.T."""
    rotated: Matrix = x.astype(np.float64) @ rotation(signs, mixes).T
    return rotated
