"""Codes: the columns of all rows, in slabs of fixed-size blocks.

A column gives every row a few entries of one dtype. Rows lie in blocks of 32, blocks in slabs of
128; within a block, `interleave` rows may lie side by side, entry by entry, so that one vector
load sees the same entry of several rows. Appending never copies what is there; removing a row
moves the last one into its place. Kernels read slabs through a table of their addresses.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from vqindex.errors import ReadOnlyError
from vqindex.kernels.cpu.program import BLOCK, SLAB, SLAB_ROWS
from vqindex.layouts.base import Column
from vqindex.memory import aligned_zeros

Array = npt.NDArray[Any]


def masks_of(rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """Bit r of mask b is set where row r of block b takes part; rows (BLOCK * blocks,) bool."""
    return np.packbits(rows, bitorder="little").view("<u4").astype(np.uint32)


class Blocks(NamedTuple):
    """Blocks of which some rows take part.

    numbers   (b,) int64, ascending
    masks     (b,) uint32: bit r is set where row r of the block takes part; not 0
    """

    numbers: npt.NDArray[np.int64]
    masks: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, rows: npt.NDArray[np.bool_]) -> Self:
        """The blocks of all rows, those that take part (n,) bool."""
        masks = masks_of(np.pad(rows, (0, -len(rows) % BLOCK)))
        numbers = np.flatnonzero(masks)
        return cls(numbers, masks[numbers])

    def shared(self, parts: int) -> "list[Blocks]":
        """About as many in each of at most `parts` parts."""
        step = max(1, -(-len(self.numbers) // parts))
        return [
            Blocks(self.numbers[a : a + step], self.masks[a : a + step])
            for a in range(0, len(self.numbers), step)
        ]


def _by_slab(
    rows: npt.NDArray[np.int64],
) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """For each slab: its number, where `rows` names it, and which of its rows."""
    slabs = rows // SLAB_ROWS
    for slab in np.unique(slabs):
        here = np.flatnonzero(slabs == slab)
        yield int(slab), here, rows[here] % SLAB_ROWS


class Codes:
    """The codes of n rows: for each column a list of slabs.

    addresses   (columns, slabs) int64: where each slab begins
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self.index = {column.name: i for i, column in enumerate(self.columns)}
        self.n = 0
        self.writable = True
        self._slabs: list[list[Array]] = [[] for _ in self.columns]
        self.addresses = np.zeros((len(self.columns), 0), np.int64)
        self._blocks: tuple[int, Blocks] | None = None
        self.bound: dict[Any, Any] = {}  # what scans made of the addresses; gone when they change

    @property
    def nblocks(self) -> int:
        """Blocks in use."""
        return -(-self.n // BLOCK)

    @property
    def blocks(self) -> Blocks:
        """All blocks and rows."""
        if self._blocks is None or self._blocks[0] != self.n:
            self._blocks = self.n, Blocks.of(np.ones(self.n, np.bool_))
        return self._blocks[1]

    @property
    def row_bytes(self) -> int:
        """What each further row costs."""
        return sum(column.row_bytes for column in self.columns)

    @property
    def nbytes(self) -> int:
        """Bytes of the blocks in use; the untouched rest of the last slab is not resident."""
        return self.nblocks * BLOCK * self.row_bytes

    def _resize(self, slabs: int) -> None:
        for column, have in zip(self.columns, self._slabs, strict=True):
            del have[slabs:]
            while len(have) < slabs:
                have.append(aligned_zeros(column.groups(SLAB), column.dtype))
        self._readdress(min(slabs, self.addresses.shape[1]))

    def _readdress(self, kept: int) -> None:
        """Find the addresses of all slabs but the first `kept`, which are where they were."""
        where = [[slab.ctypes.data for slab in have[kept:]] for have in self._slabs]
        new = np.array(where, np.int64).reshape(len(self.columns), -1)
        if new.size or kept < self.addresses.shape[1]:
            self.bound = {}
            self.addresses = np.concatenate([self.addresses[:, :kept], new], axis=1)

    def _check_writable(self) -> None:
        if not self.writable:
            raise ReadOnlyError(
                "this index is mapped from a file and cannot change; load it with mmap=False."
            )

    def append(self, rows: Mapping[str, Array]) -> None:
        """Add rows: for each column its entries, (m, width) or, for width 1, (m,)."""
        self.write(self.extend(len(rows[self.columns[0].name])), rows)

    def extend(self, m: int) -> int:
        """Make room for m more rows, to be written before they are read; returns the first."""
        self._check_writable()
        start = self.n
        self._resize(-(-(start + m) // SLAB_ROWS))
        self.n = start + m
        return start

    def write(self, start: int, rows: Mapping[str, Array]) -> None:
        """Write rows, as `append` takes them, from `start` on; other threads may write others."""
        for i, column in enumerate(self.columns):
            array = np.asarray(rows[column.name]).reshape(-1, column.width)
            stop = start + len(array)
            for slab in range(start // SLAB_ROWS, -(-stop // SLAB_ROWS)):
                first = slab * SLAB_ROWS
                low, high = max(start, first), min(stop, first + SLAB_ROWS)
                self._write(i, slab, low - first, array[low - start : high - start])

    def _write(self, i: int, slab: int, at: int, array: Array) -> None:
        side = self.columns[i].interleave
        groups = self._slabs[i][slab]
        head = min(-at % side, len(array))
        whole = (len(array) - head) // side * side
        body = array[head : head + whole].reshape(-1, side, array.shape[1])
        first = (at + head) // side
        groups[first : first + len(body)] = body.transpose(0, 2, 1)
        for j in [*range(head), *range(head + whole, len(array))]:
            groups[(at + j) // side, :, (at + j) % side] = array[j]

    def take(
        self, rows: npt.NDArray[np.int64], names: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """The entries of chosen rows, (m, width) for each column."""
        found = {}
        for column, slabs in zip(self.columns, self._slabs, strict=True):
            if names is not None and column.name not in names:
                continue
            out = np.empty((len(rows), column.width), column.dtype)
            for slab, here, inside in _by_slab(rows):
                side = column.interleave
                out[here] = slabs[slab][inside // side, :, inside % side]
            found[column.name] = out
        return found

    def column(self, name: str) -> Array:
        """A copy of one column of width 1, (n,)."""
        parts = [slab.reshape(-1) for slab in self._slabs[self.index[name]]]
        whole = (
            np.concatenate(parts) if parts else np.empty(0, self.columns[self.index[name]].dtype)
        )
        return whole[: self.n]

    def put(self, rows: npt.NDArray[np.int64], values: Mapping[str, Array]) -> None:
        """Write the entries of chosen rows, (m, width) for each column or, for width 1, (m,)."""
        self._check_writable()
        for column, slabs in zip(self.columns, self._slabs, strict=True):
            array = np.asarray(values[column.name]).reshape(-1, column.width)
            for slab, here, inside in _by_slab(rows):
                side = column.interleave
                slabs[slab][inside // side, :, inside % side] = array[here]

    def arranged(self, blocks: npt.NDArray[np.int64]) -> "Codes":
        """The same blocks, all of them full, in another order, in memory of their own."""
        codes = Codes(self.columns)
        codes.extend(BLOCK * len(blocks))
        for column, have, into in zip(self.columns, self._slabs, codes._slabs, strict=True):
            step = column.groups(1)[0]
            for i, block in enumerate(blocks.tolist()):
                (slab, at), (old, there) = divmod(i, SLAB), divmod(block, SLAB)
                into[slab][step * at :][:step] = have[old][step * there :][:step]
        return codes

    def clear(self, rows: npt.NDArray[np.int64]) -> None:
        """Write zeros over chosen rows."""
        self.put(rows, {c.name: np.zeros((len(rows), c.width), c.dtype) for c in self.columns})

    def truncate(self, n: int) -> None:
        """Drop the rows from n on, and give slabs that are no longer needed back."""
        self._check_writable()
        self.clear(np.arange(n, min(self.n, -(-n // SLAB_ROWS) * SLAB_ROWS)))
        self.n = n
        self._resize(-(-n // SLAB_ROWS))

    def chunks(self, name: str) -> Iterator[Array]:
        """A column's blocks in use, slab by slab, each (groups, width, interleave)."""
        i = self.index[name]
        left = self.nblocks
        for slab in self._slabs[i]:
            groups = self.columns[i].groups(min(left, SLAB))[0]
            yield slab[:groups]
            left -= SLAB

    @classmethod
    def adopt(
        cls, columns: Sequence[Column], n: int, arrays: Mapping[str, Array], writable: bool
    ) -> "Codes":
        """Codes over whole columns as `chunks` gave them, without copying but for the last slab.

        arrays   for each column (groups, width, interleave), ceil(n / 32) blocks
        """
        codes = cls(columns)
        codes.n = n
        for column, have in zip(codes.columns, codes._slabs, strict=True):
            whole, step = arrays[column.name], column.groups(SLAB)[0]
            for start in range(0, len(whole), step):
                slab = whole[start : start + step]
                if writable and len(slab) < step:
                    full = aligned_zeros(column.groups(SLAB), column.dtype)
                    full[: len(slab)] = slab
                    slab = full
                have.append(slab)
        codes.writable = writable
        codes._readdress(0)
        return codes
