"""Exact neighbours among the rows of an index, from originals that it keeps or that it is given."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqindex import arrays
from vqindex.datasets.exact import exact_search
from vqindex.errors import ShapeError
from vqindex.factory import parse_index
from vqindex.indexes.base import Index

CHUNK = 1 << 25  # numbers that are had at a time: 128 MiB

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]


def neighbors(index: Index, queries: Floats, k: int, base: Any = None) -> Ids:
    """The ids of the k nearest rows of queries (nq, d), (nq, k) int64, -1 past the last row.

    base   (n, d) the rows of the index in ascending order of their ids; None where the index keeps
           them as float32: Keep(f32), Rerank(f32) or F32
    Equal distances are ordered by id. ValueError where there are no originals.
    """
    ids = np.sort(index.ids)
    if base is not None:
        given = arrays.vectors(base, index.dim, "base")
        if given.n != len(ids):
            raise ShapeError(f"base must have the {len(ids):,} rows of the index, got {given.n:,}.")
        return _nearest(given.chunk, ids, queries, k, index.metric)
    if not keeps_originals(index):
        raise ValueError(
            f"{index.spec} keeps no exact rows to find the true neighbours with: pass base=, the "
            "rows it holds, or truth=, the ids of the true neighbours; or make it with Keep(f32)."
        )

    def kept(a: int, b: int) -> Floats:
        return index.reconstruct(ids[a:b])

    return _nearest(kept, ids, queries, k, index.metric)


def keeps_originals(index: Index) -> bool:
    """Whether `reconstruct` gives rows as they were added, or under cosine their directions."""
    recipe = parse_index(index.spec, index.metric, index.seed)
    finest = recipe.rerank or recipe.codec.quantizer
    return recipe.codec.keep == "f32" or (recipe.codec.keep is None and finest.spec == "F32")


def _nearest(
    rows: Callable[[int, int], Floats], ids: Ids, queries: Floats, k: int, metric: str
) -> Ids:
    """Of rows a..b-1 that `rows(a, b)` has, under ascending ids (n,)."""
    best = np.full((len(queries), k), np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
    step = max(1, CHUNK // queries.shape[1])
    for start in range(0, len(ids), step):
        part = ids[start : start + step]
        distances, places = exact_search(rows(start, start + len(part)), queries, k, metric)
        both = (
            np.hstack([best[0], distances]),
            np.hstack([best[1], np.where(places < 0, -1, part[places])]),
        )
        # Stable: of equal ones the earlier, which has the lower id.
        order = np.argsort(both[0], axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(both[0], order, 1), np.take_along_axis(both[1], order, 1)
    return best[1]
