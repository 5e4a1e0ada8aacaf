"""What a beam search for the words of residual codebooks finds."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def encode(rows: Floats, words: Floats, beam: int) -> npt.NDArray[np.int64]:
    """Codes of rows whose words, one of each stage, add up to near them.

    At each stage every sum that is kept is taken on by every word, and the `beam` sums nearest to
    the row are kept: of equal ones those made of the better sum before, then of the lower word.

    rows     (n, d); words (stages, k, d)
    returns  (n, stages), of the nearest sum in the end
    """
    stages, k, d = words.shape
    found = np.empty((len(rows), stages), np.int64)
    for i, row in enumerate(rows.astype(np.float64)):
        sums, codes = np.zeros((1, d)), np.zeros((1, 0), np.int64)
        for stage in words.astype(np.float64):
            further = (sums[:, None] + stage).reshape(-1, d)
            distances = ((row - further) ** 2).sum(axis=1)
            best = np.argsort(distances, kind="stable")[:beam]
            sums = further[best]
            codes = np.column_stack([codes[best // k], best % k])
        found[i] = codes[0]
    return found
