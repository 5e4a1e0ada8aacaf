"""What each figure of quality means."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqindex.datasets import Dataset, pair_distances
from vqindex.errors import ShapeError

Ids = NDArray[np.int64]
Gains = Sequence[Mapping[int, float]]

SLACK = 1e-3  # ann-benchmarks' own


def recall(found: Ids, truth: Ids, k: int) -> float:
    """The share of the k true nearest rows that are among the first k found.

        |found[:k] & truth[:k]| / k, the mean over queries; over n where there are only n < k rows

    found, truth  (nq, at least k) ids, nearest first; -1 where there is no row
    """
    _check(found, truth, k)
    pairs = zip(found[:, :k].tolist(), truth[:, :k].tolist(), strict=True)
    hits = sum(len(set(ours) & set(theirs) - {-1}) for ours, theirs in pairs)
    return hits / max(int((truth[:, :k] >= 0).sum()), 1)


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


def mrr(found: Ids, gains: Gains, k: int = 10) -> float:
    """Mean reciprocal rank: 1 / the rank, from 1, of the first relevant row among k, else 0.

    found  (nq, at least k) ids, best first
    gains  for each query, the gain of each judged id; relevant means above 0

    The mean is over queries that have a relevant row; ValueError where none has.
    """
    rows = [row for row, _ in _judged(found, gains, k)]
    firsts = [
        next((rank for rank, gain in enumerate(row, 1) if gain > 0), math.inf) for row in rows
    ]
    return statistics.fmean(1 / rank for rank in firsts)


def ndcg(found: Ids, gains: Gains, k: int = 10) -> float:
    """Normalised discounted cumulative gain of the first k found, 1 where they are the best.

        DCG = sum over ranks r of gain(r) / log2(r + 1), divided by that of the best order

    Arguments, mean and ValueError as for `mrr`. Gains are linear, as in trec_eval.
    Source: Jarvelin and Kekalainen, ACM TOIS 20(4), 2002.
    """
    return statistics.fmean(
        _discounted(row) / _discounted(sorted(judged.values(), reverse=True)[:k])
        for row, judged in _judged(found, gains, k)
    )


def _discounted(gains: Sequence[float]) -> float:
    return sum(max(gain, 0.0) / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _judged(found: Ids, gains: Gains, k: int) -> Sequence[tuple[list[float], Mapping[int, float]]]:
    """The gain at each rank, a repeated id's only once, for every query that has a relevant row."""
    if len(found) != len(gains):
        raise ShapeError(f"gains must be one mapping for each of {len(found)} queries")
    out = [
        ([judged.get(i, 0.0) * (i not in row[:r]) for r, i in enumerate(row)], judged)
        for row, judged in zip(found[:, :k].tolist(), gains, strict=True)
        if any(gain > 0 for gain in judged.values())
    ]
    if not out:
        raise ValueError("at least one query must have a row with a gain above 0, none has")
    return out


def distortion(x: NDArray[Any], approximation: NDArray[Any]) -> float:
    """Squared error over squared norm: sum |x - y|^2 / sum |x|^2, for rows (n, d)."""
    exact = np.asarray(x, np.float64)
    return float(((exact - approximation) ** 2).sum() / (exact**2).sum())
