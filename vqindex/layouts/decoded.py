"""DecodedCodes: rows that need no look-up, dotted as they lie.

raw(q, i) = sum_j x_ij q_j               float32 and float16 rows
raw(q, i) = sum_j (t_ij + 1/2) q_j       int8 rows, with an int8 query
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import program
from vqindex.kernels.cpu.program import FIELDS
from vqindex.layouts.base import Array, Column, FloatArray

_KINDS: dict[str, tuple[int, np.dtype[Any]]] = {
    "f32": (program.FLOAT_ROWS, np.dtype(np.float32)),
    "f16": (program.HALF_ROWS, np.dtype(np.float16)),
    "i8": (program.BYTE_ROWS, np.dtype(np.int8)),
}


@dataclass(frozen=True)
class DecodedCodes:
    """Rows of `dims` entries kept as "f32", "f16" or "i8", padded to whole vectors."""

    dims: int
    kind: str
    prefix: str = ""

    @property
    def is_float(self) -> bool:
        """Whether queries stay float32."""
        return self.kind != "i8"

    @property
    def vectors(self) -> int:
        """64-byte vectors of a decoded row."""
        return -(-self.dims // (16 if self.is_float else 64))

    @property
    def _width(self) -> int:
        return self.vectors * (16 if self.is_float else 64)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The rows."""
        return (Column(f"{self.prefix}rows", _KINDS[self.kind][1], self._width),)

    @property
    def operand_bytes(self) -> int:
        """See Layout."""
        return 64 * self.vectors

    def program(self, index: Mapping[str, int], scale: int, operand: int) -> npt.NDArray[np.int64]:
        """See Layout."""
        fields = np.zeros((1, FIELDS), np.int64)
        fields[0, program.BITS] = _KINDS[self.kind][0]
        fields[0, program.WORDS] = self.vectors
        fields[0, program.REST] = index[f"{self.prefix}rows"]
        fields[0, program.REST_BYTES] = self.columns[0].row_bytes
        fields[0, program.SCALE] = scale
        fields[0, program.OPERAND] = operand
        return fields

    def spread(self, values: FloatArray) -> FloatArray:
        """See Layout: (nq, width)."""
        out = np.zeros((len(values), self._width), np.float32)
        out[:, : self.dims] = values
        return out

    def pack(self, rows: Array) -> dict[str, Array]:
        """Columns of rows (n, dims); may be the rows themselves."""
        dtype = _KINDS[self.kind][1]
        if self.dims == self._width and rows.dtype == dtype:
            return {f"{self.prefix}rows": rows}
        out = np.zeros((len(rows), self._width), dtype)
        out[:, : self.dims] = rows
        return {f"{self.prefix}rows": out}

    def unpack(self, columns: Mapping[str, Array]) -> npt.NDArray[np.float32]:
        """The rows, (n, dims) float32, int8 ones as t + 1/2."""
        rows = columns[f"{self.prefix}rows"][:, : self.dims].astype(np.float32)
        return rows if self.is_float else rows + np.float32(0.5)
