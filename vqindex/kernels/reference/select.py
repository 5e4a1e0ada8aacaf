"""What selection means: larger scores first, ties by lower id."""

import numpy as np
import numpy.typing as npt


def top_k(
    scores: npt.NDArray[np.float32], ids: npt.NDArray[np.int64], k: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Each query's best k rows, best first, padded with -inf and -1.

    scores   (nq, n) float32
    ids      (n,) int64, all different
    returns  (nq, k) float32 and (nq, k) int64
    """
    nq, n = scores.shape
    order = np.lexsort((np.broadcast_to(ids, scores.shape), -scores))[:, :k]
    best = np.full((nq, k), -np.inf, np.float32)
    best[:, :n] = np.take_along_axis(scores, order, 1)
    best_ids = np.full((nq, k), -1, np.int64)
    best_ids[:, :n] = ids[order]
    return best, best_ids


def top_k_limited(
    scores: npt.NDArray[np.float32],
    bounds: npt.NDArray[np.float32],
    ids: npt.NDArray[np.int64],
    k: int,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Each query's best k rows by the smaller of score and bound, ordered by score.

    scores, bounds   (nq, n) float32
    ids, returns     as in `top_k`
    """
    _, chosen = top_k(np.minimum(scores, bounds), ids, k)
    left = np.array([np.isin(ids, some) for some in chosen]).reshape(scores.shape)
    return top_k(np.where(left, scores, np.float32(-np.inf)), ids, k)
