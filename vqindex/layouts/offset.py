"""OffsetColumn: a number a row, times a number a query. No codes, so raw(q, i) = 1."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import program
from vqindex.kernels.cpu.program import FIELDS
from vqindex.layouts.base import Array, Column, FloatArray


@dataclass(frozen=True)
class OffsetColumn:
    """A float32 column of that name, which a query's one entry multiplies in float32.

    A segment of no words: its raw sum is 0, and operands make its half 1 and its gamma the entry.
    """

    name: str

    @property
    def dims(self) -> int:
        """See Layout."""
        return 1

    @property
    def columns(self) -> tuple[Column, ...]:
        """The numbers."""
        return (Column(self.name, np.dtype(np.float32)),)

    @property
    def operand_bytes(self) -> int:
        """See Layout: a place for the entry until it is a gamma."""
        return 64

    def program(self, index: Mapping[str, int], scale: int, operand: int) -> npt.NDArray[np.int64]:
        """See Layout; the column is its own scale."""
        fields = np.zeros((1, FIELDS), np.int64)
        fields[0, program.BITS] = program.BYTE_ROWS
        fields[0, program.REST] = fields[0, program.SCALE] = index[self.name]
        fields[0, program.OPERAND] = operand
        return fields

    def spread(self, values: FloatArray) -> FloatArray:
        """See Layout: (nq, 64)."""
        return np.pad(values, ((0, 0), (0, 63)))

    def unpack(self, columns: Mapping[str, Array]) -> Array:
        """The numbers, (n, 1)."""
        return columns[self.name].reshape(-1, 1)
