"""How high the relevant rows stand among those found: reciprocal rank, nDCG, precision, hits.

Definitions are trec_eval's, so that figures can be laid beside those of any retrieval paper.
Arguments are the same everywhere:

    found  (nq, any) ids, best first; -1 where there is no row
    gains  for each query, the gain of each judged id; relevant means above 0, and what is not
           judged has none
    k      ranks that are looked at

A repeated id counts where it stands first. Queries without a relevant row are left out of every
mean. ShapeError where the shapes do not fit, ValueError where no query has a relevant row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from vqindex.errors import ShapeError
from vqindex.evaluate.matching import repeats, row_keys

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Gains = Sequence[Mapping[int, float]]


def mrr(found: Ids, gains: Gains, k: int = 10) -> float:
    """Mean reciprocal rank: 1 / the rank, from 1, of the first relevant row among k, else 0."""
    return float(rank(found, gains, k).reciprocal_rank.mean())


def ndcg(found: Ids, gains: Gains, k: int = 10) -> float:
    """Normalised discounted cumulative gain of the first k found, 1 where they are the best.

        DCG = sum over ranks r of gain(r) / log2(r + 1), divided by that of the best order

    Gains are linear, as in trec_eval; negative ones count as 0.
    Source: Jarvelin and Kekalainen, ACM TOIS 20(4), 2002.
    """
    return float(rank(found, gains, k).ndcg.mean())


def mean_average_precision(found: Ids, gains: Gains, k: int = 10) -> float:
    """MAP: the mean over relevant rows of the precision at their ranks, 0 for those not among k.

        AP = sum over ranks r of relevant rows of (relevant up to r) / r, over all relevant rows

    As trec_eval's map_cut: divided by all relevant rows, also where there are more than k.
    """
    return float(rank(found, gains, k).average_precision.mean())


def hit_rate(found: Ids, gains: Gains, k: int = 10) -> float:
    """The share of queries that have a relevant row among the first k, trec_eval's success."""
    return float((rank(found, gains, k).reciprocal_rank > 0).mean())


@final
@dataclass(frozen=True)
class Ranking:
    """The figures of each query that has a relevant row, (m,) float64, in the order of queries.

    queries  (m,) int64, their rows in `found`
    """

    queries: Ids
    reciprocal_rank: Floats
    ndcg: Floats
    average_precision: Floats


def rank(found: Ids, gains: Gains, k: int = 10) -> Ranking:
    """Every figure of every query, to be averaged, or compared query by query."""
    got, best, relevant = _gains(found, gains, k)
    there = np.flatnonzero(relevant)
    if not there.size:
        raise ValueError("at least one query must have a row with a gain above 0, none has")
    got, best, relevant = got[there], best[there], relevant[there]
    hit = got > 0
    ranks = np.arange(1, k + 1)
    discount = 1 / np.log2(ranks + 1)
    return Ranking(
        there,
        np.where(hit.any(axis=1), 1 / (hit.argmax(axis=1) + 1), 0.0),
        (got @ discount) / (best @ discount),
        (hit * hit.cumsum(axis=1) / ranks).sum(axis=1) / relevant,
    )


def _gains(found: Ids, gains: Gains, k: int) -> tuple[Floats, Floats, Ids]:
    """The gains (nq, k) at the ranks found and in the best order; relevant rows (nq,)."""
    nq = len(gains)
    if found.ndim != 2 or len(found) != nq:
        raise ShapeError(
            f"gains must be one mapping for each row of found (nq, k), got {nq} for {found.shape}"
        )
    if k < 1:
        raise ShapeError(f"k must be at least 1, got {k}")
    rows = np.repeat(np.arange(nq), [len(judged) for judged in gains])
    ids = np.array([i for judged in gains for i in judged], np.int64)
    values = np.array([gain for judged in gains for gain in judged.values()], np.float64)
    order = np.lexsort((-values, rows))
    order = order[values[order] > 0]
    rows, ids, values = rows[order], ids[order], values[order]
    relevant = np.bincount(rows, minlength=nq)
    got, best = np.zeros((nq, k)), np.zeros((nq, k))
    at = np.arange(len(rows)) - (np.cumsum(relevant) - relevant)[rows]
    best[rows[at < k], at[at < k]] = values[at < k]
    if not ids.size or not found.size:
        return got, best, relevant
    found, universe = found[:, :k], np.unique(ids)
    keys = row_keys(rows, ids, universe)
    order = np.argsort(keys)
    wanted = row_keys(np.arange(nq)[:, None], found, universe)
    places = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)]
    hit = (keys[places] == wanted) & ~repeats(found)
    got[:, : found.shape[1]] = np.where(hit, values[places], 0)
    return got, best, relevant
