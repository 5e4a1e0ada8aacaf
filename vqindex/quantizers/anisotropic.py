"""Words and codes by an anisotropic loss: errors along a row count eta times those across it.

What searches look for are rows with a large inner product with the query: rows that point as it
does, so that of an error r the part along the row x counts most. Over queries of all directions
whose cosine with x is T or more the mean square error of <q, x> is about proportional to

    |r|^2 + (eta - 1) <r, x>^2 / |x|^2,    eta = (d - 1) T^2 / (1 - T^2)

Codes of a row are found by coordinate descent from the nearest words. The words of a sub-space are
then those of least loss in closed form, one sub-space after another while the others stay.

Source: Guo et al., Accelerating large-scale inference with anisotropic vector quantization, 2020,
theorem 3.4 and section 4; T is relative to the row's norm here.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from vqindex import threads as pool
from vqindex.kernels.cpu import anisotropic
from vqindex.layouts.base import FloatArray
from vqindex.quantizers.base import divide, square_norms
from vqindex.subspaces import Subspaces

ROUNDS = 10  # of descent, at most
TURNS = 5  # of codes and words
ROWS = 256  # coded at a time

Codes = npt.NDArray[np.int32]


def weight_of(threshold: float, dim: int) -> float:
    """The module's eta, and 1 where T is less than that of most queries: square errors."""
    return max(1.0, (dim - 1) * threshold**2 / (1 - threshold**2))


def assign(spaces: Subspaces, y: FloatArray, eta: float) -> Codes:
    """Codes (n, parts) of rows (n, dim)."""
    codes = spaces.encode(y)
    lengths = square_norms(y)
    scales = divide(np.full(len(y), np.sqrt(eta - 1), np.float32), np.sqrt(lengths))
    for a in range(0, len(y), ROWS):
        here = slice(a, a + ROWS)
        anisotropic.descend(
            spaces.products(y[here]), 2 * spaces.halves, lengths[here], scales[here], ROUNDS,
            codes[here],
        )  # fmt: skip
    return codes


def learn(spaces: Subspaces, x: FloatArray, eta: float) -> Subspaces:
    """Words of less anisotropic loss for rows x (n, dim), beginning with those of `spaces`."""
    squares = square_norms(x).astype(np.float64)
    gains = (eta - 1) / np.where(squares > 0, squares, np.inf)
    for _ in range(TURNS):
        chunks = [slice(a, a + ROWS) for a in range(0, len(x), ROWS)]
        tasks = [partial(assign, spaces, x[here], eta) for here in chunks]
        codes = np.concatenate(pool.run(tasks, pool.default_threads()))
        left = ((x - spaces.decode(codes)).astype(np.float64) * x).sum(axis=1)
        words = spaces.words.copy()
        for s, part in enumerate(_parts(spaces, x)):
            old = words[s, :, : part.shape[1]].astype(np.float64)
            own = codes[:, s]
            rest = left + (part * old[own]).sum(axis=1)
            new = _closed_form(part, own, rest, gains, old)
            words[s, :, : part.shape[1]] = new
            left = rest - (part * new[own]).sum(axis=1)
        spaces = replace(spaces, words=words)
    return spaces


def _parts(spaces: Subspaces, x: FloatArray) -> Iterator[npt.NDArray[np.float64]]:
    """Each run of dimensions of rows."""
    x = spaces.placed(x)
    for start, stop in zip(spaces.starts, spaces.starts[1:], strict=False):
        yield x[:, start:stop].astype(np.float64)


def _closed_form(
    part: npt.NDArray[np.float64],
    codes: npt.NDArray[np.int32],
    rest: npt.NDArray[np.float64],
    gains: npt.NDArray[np.float64],
    words: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Words (k, width) of one sub-space; those without rows stay as they are.

    (sum over rows of I + gain y y^T) w = sum of (1 + gain rest) y, with `rest` what the words of
    other sub-spaces leave of |y|^2.
    """
    k, width = words.shape
    counts = np.bincount(codes, minlength=k)
    right = np.empty((k, width))
    left = np.empty((k, width, width))
    for i in range(width):
        right[:, i] = np.bincount(codes, (1 + gains * rest) * part[:, i], k)
        for j in range(i + 1):
            sums = np.bincount(codes, gains * part[:, i] * part[:, j], k)
            left[:, i, j] = left[:, j, i] = sums
    left += counts[:, None, None] * np.eye(width)
    left[counts == 0] = np.eye(width)
    found = np.linalg.solve(left, right[:, :, None])[:, :, 0].astype(np.float64, copy=False)
    return np.where(counts[:, None] > 0, found, words)
