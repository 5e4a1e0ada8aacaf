"""All rows within a distance of some queries: every row is scored."""

from typing import Any

import numpy as np
import numpy.typing as npt

from vqindex.codec import ID
from vqindex.indexes.rows import Rows
from vqindex.indexes.stored import scores_of_blocks
from vqindex.kernels.cpu.program import BLOCK
from vqindex.layouts.base import FloatArray
from vqindex.results import shown

BLOCKS = 128  # scored at a time

Ids = npt.NDArray[np.int64]
Found = tuple[FloatArray, Ids]


def within(
    rows: Rows | None, queries: FloatArray, radius: np.float32, filters: Any, metric: str
) -> list[Found]:
    """Distances and ids of the rows at most `radius` from each of a chunk of queries, in order.

    filters   a mask of rows, a list of one for each query, or None
    """
    if rows is None or not rows.n or not len(queries):
        return [(np.empty(0, np.float32), np.empty(0, np.int64))] * len(queries)
    model, codes, slots = rows.model, rows.codes, rows.slots
    codec, first = (model.codec, 0) if model.finer is None else (model.finer, model.width)
    masks = filters if isinstance(filters, list) else [filters] * len(queries)
    if rows.once is not None and model.finer is not None:
        codes, slots = rows.once, np.arange(rows.n)
    else:
        masks = [None if mask is None else rows.of_slots(mask) for mask in masks]
    operands, ids = codec.operands(queries), codes.column(ID)
    shares = None
    if codec.residual and model.centroids is not None:
        shares = model.centroids.shares(codec.asked(queries)).T
    found: list[list[Found]] = [[] for _ in queries]
    for start in range(0, codes.nblocks, BLOCKS):
        stop = min(start + BLOCKS, codes.nblocks)
        scores = scores_of_blocks(codes, codec, operands, start, stop, first)
        low, high = np.searchsorted(slots, [start * BLOCK, stop * BLOCK])
        here = slots[low:high]
        scores = scores[here - start * BLOCK]
        if shares is not None:
            scores += shares[rows.owners(here)][:, : len(queries)]
        distances, _ = shown(scores + operands.alpha, metric)
        for i in range(len(queries)):
            near, allowed = distances[:, i] <= radius, masks[i]
            if allowed is not None:
                near &= allowed[low:high]
            found[i].append((distances[near, i], ids[here[near]]))
    return [_in_order(parts) for parts in found]


def _in_order(parts: list[Found]) -> Found:
    """Nearest first, ties by lower id; of several copies of a row the nearest."""
    distances = np.concatenate([p[0] for p in parts])
    ids = np.concatenate([p[1] for p in parts])
    order = np.lexsort((ids, distances))
    order = order[np.sort(np.unique(ids[order], return_index=True)[1])]
    return distances[order], ids[order]
