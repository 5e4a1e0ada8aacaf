"""Lists: which blocks of a pool hold the rows of each list.

A list is a chain of blocks, all full but the first. The pool has no block that is in no list, so a
list that gives a block up takes the pool's last one in its place. Lists are never changed: what
changes them returns others, and what is to be moved among the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt

from vqindex.errors import CorruptFileError
from vqindex.indexes.centroids import Centroids
from vqindex.indexes.id_map import plan_removal
from vqindex.kernels.cpu import records
from vqindex.kernels.cpu.program import BLOCK
from vqindex.layouts.base import Array
from vqindex.lazy import lazy
from vqindex.memory import address
from vqindex.transforms.base import stored

Ints = npt.NDArray[np.int64]
_INSIDE = np.arange(BLOCK)
_MOST = 2**62  # counts of a file


@dataclass(frozen=True, eq=False)
class Moves:
    """Rows that take the places of others: first rows one by one, then whole blocks."""

    targets: Ints
    sources: Ints
    block_targets: Ints
    block_sources: Ints


@final
@dataclass(frozen=True, eq=False)
class Lists:
    """The lists of an index.

    sizes    (lists,) int64: rows of each
    heads    (lists,) int64: first block of each, -1 for none
    nexts    (blocks,) int64: the block that follows in its list, -1 for none
    owners   (blocks,) int32: its list
    later    how many rows were added since the lists were fitted, those that have gone since with
             them, and their strain (Centroids.strain)
    """

    sizes: Ints
    heads: Ints
    nexts: Ints
    owners: npt.NDArray[np.int32]
    later: tuple[int, int] = (0, 0)

    @classmethod
    def empty(cls, lists: int) -> "Lists":
        """Lists without rows."""
        none = np.empty(0, np.int64)
        return cls(np.zeros(lists, np.int64), np.full(lists, -1), none, none.astype(np.int32))

    @property
    def count(self) -> int:
        """How many lists."""
        return len(self.sizes)

    @property
    def blocks(self) -> int:
        """How many blocks they have together."""
        return len(self.owners)

    @lazy
    def n(self) -> int:
        """How many rows."""
        return int(self.sizes.sum())

    @lazy
    def masks(self) -> npt.NDArray[np.uint32]:
        """The rows that each block has, (blocks,): bit r for row r."""
        out = np.full(self.blocks, 0xFFFFFFFF, np.uint32)
        used = self.heads >= 0
        out[self.heads[used]] >>= (-self.sizes[used] % BLOCK).astype(np.uint32)
        return out

    @lazy
    def slots(self) -> Ints:
        """Where in the pool rows are, (n,), ascending."""
        bits = np.unpackbits(self.masks.astype("<u4").view(np.uint8), bitorder="little")
        return np.flatnonzero(bits)

    def hold(self, slots: Ints) -> npt.NDArray[np.bool_]:
        """Whether there are rows in some slots of the pool."""
        return (self.masks[slots // BLOCK] >> (slots % BLOCK).astype(np.uint32) & 1).astype(
            np.bool_
        )

    def spare(self, numbers: Ints) -> Ints:
        """The slots without rows in the blocks of some lists."""
        heads = self.heads[numbers]
        slots = (BLOCK * heads[heads >= 0, None] + _INSIDE).ravel()
        return slots[~self.hold(slots)]

    def chain(self, number: int) -> Ints:
        """The blocks of a list, from its first on."""
        blocks, block = [], int(self.heads[number])
        while block >= 0:
            blocks.append(block)
            block = int(self.nexts[block])
        return np.array(blocks, np.int64)

    def places(self, number: int) -> Ints:
        """The slots of a list's rows, (size,)."""
        blocks = self.chain(number)[::-1]
        return (blocks[:, None] * BLOCK + _INSIDE).ravel()[: int(self.sizes[number])]

    def grown(self, numbers: Ints, strain: int | None = None) -> "tuple[Lists, Ints]":
        """These lists with more rows, of lists `numbers`, and the slots that they are given.

        numbers   (m,), or (m, copies) of rows that several lists have; slots have their shape
        strain    of rows that were not there when the lists were fitted

        Slots of a list ascend, in new blocks that follow each other.
        """
        shape, rows, numbers = numbers.shape, len(numbers), numbers.ravel()
        order = np.argsort(numbers, kind="stable")
        more = np.bincount(numbers, minlength=self.count)
        have, need = -(-self.sizes // BLOCK), -(-(self.sizes + more) // BLOCK)
        fresh = need - have
        base = self.blocks + np.cumsum(fresh) - fresh
        owners = np.repeat(np.arange(self.count), fresh)
        blocks = np.arange(self.blocks, self.blocks + len(owners))
        nexts = np.where(blocks > base[owners], blocks - 1, self.heads[owners])
        added, strained = self.later
        later = self.later if strain is None else (added + rows, strained + strain)
        grown = Lists(
            self.sizes + more, np.where(fresh > 0, base + fresh - 1, self.heads),
            np.concatenate([self.nexts, nexts]),
            np.concatenate([self.owners, owners.astype(np.int32)]),
            later,
        )  # fmt: skip
        sorted_ = numbers[order]
        first = np.cumsum(more) - more
        place = self.sizes[sorted_] + np.arange(len(order)) - first[sorted_]
        turn = place // BLOCK - have[sorted_]
        block = np.where(turn < 0, self.heads[sorted_], base[sorted_] + turn)
        slots = np.empty(len(order), np.int64)
        slots[order] = block * BLOCK + place % BLOCK
        return grown, slots.reshape(shape)

    def without(self, slots: Ints) -> "tuple[Lists, Moves]":
        """These lists without the rows of some slots (m,), all different, and what is moved."""
        sizes, heads = self.sizes.copy(), self.heads.copy()
        targets, sources, freed = [], [], []
        slots = slots[np.argsort(self.owners[slots // BLOCK], kind="stable")]
        numbers, starts = np.unique(self.owners[slots // BLOCK], return_index=True)
        for number, those in zip(numbers, np.split(slots, starts[1:]), strict=False):  # or no list
            places = self.places(number)
            size, chain = len(places), places[::BLOCK] // BLOCK
            gone = np.flatnonzero(np.isin(places, those))
            to, come = plan_removal(gone, size)
            targets.append(places[to])
            sources.append(places[come])
            left = size - len(gone)
            keep = -(-left // BLOCK)
            sizes[number], heads[number] = left, chain[keep - 1] if keep else -1
            freed.append(chain[keep:])
        holes = np.sort(np.concatenate([np.empty(0, np.int64), *freed]))
        kept = self.blocks - len(holes)
        into, out = plan_removal(holes, self.blocks)
        names = np.arange(self.blocks + 1)  # the last, named by -1, is none
        names[out], names[-1] = into, -1
        nexts, owned = self.nexts.copy(), self.owners.copy()
        nexts[into], owned[into] = nexts[out], owned[out]
        shrunk = Lists(sizes, names[heads], names[nexts[:kept]], owned[:kept], self.later)
        none = np.empty(0, np.int64)
        return shrunk, Moves(
            np.concatenate([none, *targets]), np.concatenate([none, *sources]), into, out
        )

    def compact(self) -> "tuple[Lists, Ints]":
        """These lists, the blocks of each one after another, and where each block was (blocks,)."""
        is_first = np.zeros(self.blocks, np.bool_)
        is_first[self.heads[self.heads >= 0]] = True
        order = np.lexsort((np.arange(self.blocks), is_first, self.owners))
        numbers = np.repeat(np.arange(self.count), self.sizes)
        return replace(Lists.empty(self.count).grown(numbers)[0], later=self.later), order

    def record(self, centroids: Centroids) -> records.Lists:
        """What kernels take."""
        return records.Lists(
            self.count, self.blocks, address(self.sizes), address(self.heads), address(self.nexts),
            address(centroids.weights), address(centroids.offsets), centroids.numbers.at,
        )  # fmt: skip

    def arrays(self) -> dict[str, Array]:
        """`owners`, `sizes`, `heads` and `later`: chains may be linked anew."""
        later = np.array([min(count, _MOST) for count in self.later], np.int64)
        return {"owners": self.owners, "sizes": self.sizes, "heads": self.heads, "later": later}

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], lists: int) -> "Lists":
        """Those whose `arrays()` these are; CorruptFileError."""
        owners = stored(arrays, "owners", np.int32, 1)
        sizes, heads = (stored(arrays, name, np.int64, 1) for name in ("sizes", "heads"))
        blocks = len(owners)
        fits = len(sizes) == len(heads) == lists and (sizes >= 0).all()
        if not fits or (blocks and not 0 <= owners.min() <= owners.max() < lists):
            raise CorruptFileError(f"the file's lists are not {lists} lists.")
        used = sizes > 0
        counts = np.bincount(owners, minlength=lists)
        if (counts != -(-sizes // BLOCK)).any() or (heads[~used] != -1).any():
            raise CorruptFileError("the file's lists and their blocks do not agree.")
        first = heads[used]
        if len(first) and not 0 <= first.min() <= first.max() < blocks:
            raise CorruptFileError("the file's lists begin at blocks that are not there.")
        if (owners[first] != np.flatnonzero(used)).any():
            raise CorruptFileError("the file's lists begin at blocks of other lists.")
        is_first = np.zeros(blocks, np.bool_)
        is_first[first] = True
        order = np.lexsort((-np.arange(blocks), ~is_first, owners))
        nexts = np.full(blocks, -1)
        same = owners[order[1:]] == owners[order[:-1]]
        nexts[order[:-1][same]] = order[1:][same]
        later = stored(arrays, "later", np.int64, 1)
        if len(later) != 2 or (later < 0).any():
            raise CorruptFileError("the file's count of rows added to its lists makes no sense.")
        return cls(
            sizes.astype(np.int64), heads.astype(np.int64), nexts, owners,
            (int(later[0]), int(later[1])),
        )  # fmt: skip
