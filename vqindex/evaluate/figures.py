"""What each figure of quality means."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqindex.datasets import Dataset, pair_distances
from vqindex.errors import ShapeError
from vqindex.evaluate.matching import repeats, row_keys

Ids = NDArray[np.int64]

SLACK = 1e-3  # ann-benchmarks' own


def recall(found: Ids, truth: Ids, k: int) -> float:
    """The share of the k true nearest rows that are among the first k found.

        |found[:k] & truth[:k]| / k, the mean over queries; over n where there are only n < k rows

    found, truth  (nq, at least k) ids, nearest first; -1 where there is no row
    """
    _check(found, truth, k)
    ours, theirs = found[:, :k], truth[:, :k]
    if not theirs.size:
        return 0.0
    universe, rows = np.unique(theirs), np.arange(len(ours))[:, None]
    hits = np.isin(row_keys(rows, ours, universe), row_keys(rows, theirs, universe))
    hits &= (ours >= 0) & ~repeats(ours)
    return float(hits.sum() / max(int((theirs >= 0).sum()), 1))


def distance_recall(dataset: Dataset, found: Ids, k: int) -> float:
    """Recall as ann-benchmarks has it: the share of the first k found that are near enough.

    Near enough is a distance of at most that of the k-th true neighbour plus 0.001, in their
    units: Euclidean (not squared), 1 - cosine, minus the inner product. Distances are computed
    from the dataset, whatever the index says. Never below `recall` by more than rounding, and
    above it where neighbours tie.

    found  (nq, at least k) ids, nearest first; -1 where there is no row
    Source: ann-benchmarks, plotting/metrics.py, knn_threshold and get_recall_values.
    """
    _check(found, dataset.neighbors, k)
    there = dataset.neighbors[:, :k] >= 0
    true = np.where(there, dataset.distances[:, :k], -np.inf).max(axis=1)
    near = pair_distances(dataset.base, dataset.queries, found[:, :k], dataset.metric)
    if dataset.metric == "l2":
        true, near = np.sqrt(np.maximum(true, 0)), np.sqrt(near)
    return int((near <= true[:, None] + SLACK).sum()) / max(int(there.sum()), 1)


def _check(found: Ids, truth: Ids, k: int) -> None:
    if found.ndim != 2 or truth.ndim != 2 or len(found) != len(truth):
        raise ShapeError(
            f"ids found and true must have shapes (nq, k), got {found.shape} and {truth.shape}"
        )
    if not 1 <= k <= min(found.shape[1], truth.shape[1]):
        raise ShapeError(
            f"recall@{k} needs k >= 1 and k ids of each query, got {found.shape[1]} found "
            f"and {truth.shape[1]} true"
        )


def distortion(x: NDArray[Any], approximation: NDArray[Any]) -> float:
    """Squared error over squared norm: sum |x - y|^2 / sum |x|^2, for rows (n, d)."""
    exact = np.asarray(x, np.float64)
    return float(((exact - approximation) ** 2).sum() / (exact**2).sum())
