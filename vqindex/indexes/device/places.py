"""Which blocks a search on a GPU looks at: all, those that a filter leaves, or a query's lists."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vqindex.codes import Blocks
from vqindex.indexes.centroids import Centroids
from vqindex.indexes.lists import Lists
from vqindex.layouts.base import FloatArray

Ints = npt.NDArray[np.int64]
Masks = npt.NDArray[np.uint32]
Allowed = npt.NDArray[np.bool_]


class Some(NamedTuple):
    """Blocks by number, and which rows of each take part."""

    blocks: Ints
    masks: Masks


def bits(allowed: Allowed | None, lists: Lists | None, blocks: int) -> Masks:
    """The rows of each of all blocks that may be found, a bit each; allowed (n,) or None for all.

    Where there are no lists, None gives bits of places behind the last row, too.
    """
    if allowed is None:
        return np.full(blocks, 0xFFFFFFFF, np.uint32) if lists is None else lists.masks
    places = allowed
    if lists is not None:
        places = np.zeros(32 * blocks, np.bool_)
        places[lists.slots] = allowed
    out, found = np.zeros(blocks, np.uint32), Blocks.of(places)
    out[found.numbers] = found.masks
    return out


def left(masks: Masks, order: Ints) -> Some:
    """The blocks of which rows take part, in an order of all."""
    blocks = order[masks[order] != 0]
    return Some(blocks, masks[blocks])


class Routes:
    """Which lists queries look into; see kernels.reference.routing."""

    def __init__(self, lists: Lists, centroids: Centroids) -> None:
        self._lists, self._centroids = lists, centroids
        self._blocks = np.argsort(lists.owners, kind="stable")
        counts = np.bincount(lists.owners, minlength=lists.count)
        self._ends = np.cumsum(counts)
        self._starts = self._ends - counts

    def is_few(self, nprobe: int, allowed: Allowed | None) -> bool:
        """Whether to look at every row that may be found is no more work."""
        lists = self._lists
        if nprobe >= lists.count:
            return True
        if allowed is None:
            return False
        return int(np.count_nonzero(allowed)) * lists.count <= nprobe * lists.n

    def of(self, shares: FloatArray, masks: Masks, nprobe: int, k: int) -> list[Some]:
        """The blocks of the lists that each query prefers, and of more where those have no k rows.

        shares   (nq, lists padded); masks (blocks,) of the rows that may be found
        """
        count = self._lists.count
        weights, offsets = self._centroids.weights[:count], self._centroids.offsets[:count]
        scores = shares[:, :count] * weights + offsets
        scores[:, self._lists.sizes == 0] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")
        rows = np.bitwise_count(masks).astype(np.float64)
        held = np.bincount(self._lists.owners, rows, minlength=count)
        reached = np.cumsum(held[order], axis=1)
        return [self._some(*pair, masks, nprobe, k) for pair in zip(order, reached, strict=True)]

    def _some(
        self, order: Ints, reached: npt.NDArray[np.float64], masks: Masks, nprobe: int, k: int
    ) -> Some:
        wanted = nprobe
        while wanted < len(order) and reached[wanted - 1] < k:
            wanted = min(2 * wanted, len(order))
        ranges = (self._blocks[self._starts[i] : self._ends[i]] for i in order[:wanted].tolist())
        return left(masks, np.concatenate(list(ranges)))
