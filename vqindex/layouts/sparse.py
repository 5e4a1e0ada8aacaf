"""SparseCodes: a few coordinates of a row, its outliers, each with a value of its own.

    raw(q, i) = sum_k value_ik * q[coordinate_ik],  value int8

It stands beside codes of all coordinates and adds to them. Where those are looked up in tables,
bounds count it exactly: a block's outliers are as quick to add up as few more codes.

    outliers   (bytes,) uint8, interleave 32: of each its coordinate, low byte first, one byte up
               to 256 dimensions and two beyond; then its value
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import program
from vqindex.kernels.cpu.program import BLOCK, FIELDS
from vqindex.kernels.cpu.sparse import ONE_BYTE
from vqindex.layouts.base import Array, Column, FloatArray

MOST = 512  # outliers of a row: their products with the entries of a query add up in int32
MOST_DIMS = 1 << 16


@dataclass(frozen=True)
class SparseCodes:
    """`count` outliers of `dims` dimensions, 1 to MOST of 1 to MOST_DIMS."""

    dims: int
    count: int
    prefix: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= min(MOST, self.dims) or self.dims > MOST_DIMS:
            raise ValueError(
                f"1 to {MOST} outliers of at most {MOST_DIMS:,} dimensions, got {self.count} of "
                f"{self.dims}."
            )

    @property
    def _each(self) -> int:
        """Bytes of an outlier."""
        return 2 if self.dims <= ONE_BYTE else 3

    @property
    def _words(self) -> int:
        return -(-self.dims // 64)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The outliers."""
        width = self._each * self.count
        return (Column(f"{self.prefix}outliers", np.dtype(np.uint8), width, BLOCK),)

    @property
    def operand_bytes(self) -> int:
        """See Layout: an int32 for each dimension, and no less than a block of rows has."""
        return max(256 * self._words, -(-BLOCK * self.columns[0].width // 64) * 64)

    def program(self, index: Mapping[str, int], scale: int, operand: int) -> npt.NDArray[np.int64]:
        """See Layout."""
        (column,) = self.columns
        fields = np.zeros((1, FIELDS), np.int64)
        fields[0, program.BITS] = program.SPARSE
        fields[0, program.WORDS] = self._words
        fields[0, program.PLANE] = fields[0, program.REST] = index[column.name]
        fields[0, program.REST_BYTES] = column.width
        fields[0, program.SCALE] = scale
        fields[0, program.OPERAND] = operand
        fields[0, program.CODES] = self.count
        return fields

    def spread(self, values: FloatArray) -> FloatArray:
        """See Layout: (nq, operand_bytes), entries of which the first quarter are used."""
        return np.pad(values, ((0, 0), (0, self.operand_bytes - self.dims)))

    def pack(
        self, coordinates: npt.NDArray[np.integer], values: npt.NDArray[np.int8]
    ) -> dict[str, Array]:
        """Columns of coordinates (n, count) below `dims` and their values (n, count)."""
        (column,) = self.columns
        out = np.empty((len(values), self.count, self._each), np.uint8)
        wide = np.ascontiguousarray(coordinates, "<u2").view(np.uint8)
        out[:, :, :-1] = wide.reshape(len(values), self.count, 2)[:, :, : self._each - 1]
        out[:, :, -1] = values.view(np.uint8)
        return {column.name: out.reshape(len(values), column.width)}

    def outliers(
        self, columns: Mapping[str, Array]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]:
        """Coordinates and values, (n, count) each, as they were packed."""
        octets = columns[self.columns[0].name].reshape(-1, self.count, self._each)
        coordinates = octets[:, :, 0].astype(np.int64)
        if self._each == 3:
            coordinates += octets[:, :, 1].astype(np.int64) << 8
        values = np.ascontiguousarray(octets[:, :, -1]).view(np.int8)
        return np.minimum(coordinates, self.dims - 1), values

    def unpack(self, columns: Mapping[str, Array]) -> FloatArray:
        """See Layout: the values where the outliers are, zero elsewhere, (n, dims) float32."""
        coordinates, values = self.outliers(columns)
        out = np.zeros((len(values), self.dims), np.float32)
        np.add.at(out, (np.arange(len(values))[:, None], coordinates), values.astype(np.float32))
        return out
