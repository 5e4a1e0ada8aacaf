"""What every layout is: columns of a row, and segments that a kernel scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu.program import BLOCK

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Column:
    """What a row holds: `width` entries of `dtype`, `interleave` (1, 8 or 32) rows side by side."""

    name: str
    dtype: np.dtype[Any]
    width: int = 1
    interleave: int = 1

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.width * self.dtype.itemsize

    def groups(self, blocks: int) -> tuple[int, int, int]:
        """The shape of `blocks` blocks: groups of rows, entries, rows of a group."""
        return (blocks * BLOCK // self.interleave, self.width, self.interleave)


class Layout(Protocol):
    """How codes lie in memory, and what kernels need to know of it.

    A layout has one or more segments, ranges of dimensions with a query scale of their own. Its
    columns are named; several layouts of one codec have names that differ.
    """

    @property
    def dims(self) -> int:
        """Query entries that meet the codes."""
        ...

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that hold the codes."""
        ...

    @property
    def operand_bytes(self) -> int:
        """Bytes of one prepared query."""
        ...

    def program(self, index: Mapping[str, int], scale: int, operand: int) -> npt.NDArray[np.int64]:
        """What kernels are told, (segments, FIELDS); see kernels.cpu.program.

        index     number of each column by name
        scale     number of the scale's column, or program.NONE
        operand   byte offset of this layout in a prepared query
        """
        ...

    def spread(self, values: FloatArray) -> FloatArray:
        """Query entries (nq, dims) as the operand lays them out, padded with zeros."""
        ...

    def unpack(self, columns: Mapping[str, Array]) -> Array:
        """What was packed, (n, dims)."""
        ...
