"""What a search sends to a GPU: queries that are ready, and the blocks to look at."""

from typing import NamedTuple

import numpy as np

from vqindex.indexes.device.codes import ALIGN
from vqindex.indexes.device.places import Some
from vqindex.kernels.gpu.records import Asked, Where
from vqindex.layouts.base import Array
from vqindex.layouts.operands import Operands
from vqindex.memory import address


class Staging:
    """Arrays that go to a GPU in one piece, each at a multiple of 256 bytes, and room behind it."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, Array]] = []
        self._filled = self.nbytes = 0

    def add(self, array: Array) -> int:
        """Where an array is going to begin; arrays come before room."""
        whole = np.ascontiguousarray(array)
        start = self.room(whole.nbytes)
        self._parts.append((start, whole))
        self._filled = self.nbytes
        return start

    def room(self, nbytes: int) -> int:
        """Where so many bytes begin that are written on the GPU."""
        start = self.nbytes
        self.nbytes += -(-nbytes // ALIGN) * ALIGN
        return start

    @property
    def whole(self) -> Array:
        """The piece."""
        out = np.zeros(self._filled, np.uint8)
        for start, array in self._parts:
            out[start : start + array.nbytes] = array.reshape(-1).view(np.uint8)
        return out


class Placed(NamedTuple):
    """Blocks to look at: how many, at most where queries have their own, and offsets of arrays.

    starts   of the first block of each query, or None where all have the same
    """

    n: int
    blocks: int
    masks: int
    starts: int | None = None

    def at(self, memory: int) -> Where:
        """The same where arrays are at `memory`."""
        starts = 0 if self.starts is None else memory + self.starts
        return Where(self.n, memory + self.blocks, memory + self.masks, starts)


def placed(some: Some, staging: Staging) -> Placed:
    return Placed(len(some.blocks), staging.add(some.blocks), staging.add(some.masks))


def placed_each(places: list[Some], staging: Staging) -> Placed:
    """The same of each query's own, one after another."""
    counts = [len(some.blocks) for some in places]
    whole = Some(*(np.concatenate(arrays) for arrays in zip(*places, strict=True)))
    starts = staging.add(np.cumsum([0, *counts]))
    return placed(whole, staging)._replace(n=max(counts), starts=starts)


def staged(operands: Operands, staging: Staging) -> Asked:
    """Where prepared queries are going to be."""
    whole = operands.memory[operands.start - address(operands.memory) :]
    factors = 4 * len(operands.program) * operands.padded
    half = operands.padded * operands.row_bytes + factors  # seeds come before
    entries = staging.add(whole[: half + 2 * factors])
    return Asked(
        operands.nq, operands.padded, operands.row_bytes, entries, entries + half,
        entries + half + factors, staging.add(operands.alpha),
    )  # fmt: skip
