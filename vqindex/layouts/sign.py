"""SignCodes: one sign a dimension.

    raw(q, i) = sum_j +-q_j / 2

It is ScalarCodes of one bit, whose levels are +-1/2: the same plane, the same kernels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.layouts.scalar import ScalarCodes, Segment
from vqindex.lazy import lazy


@dataclass(frozen=True)
class SignCodes:
    """`dims` signs, a set bit for a negative one."""

    dims: int
    prefix: str = ""

    @lazy
    def _codes(self) -> ScalarCodes:
        return ScalarCodes((Segment(self.dims, (0,)),), self.prefix)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The sign plane."""
        return self._codes.columns

    @property
    def operand_bytes(self) -> int:
        """See Layout."""
        return self._codes.operand_bytes

    def program(self, index: Mapping[str, int], scale: int, operand: int) -> npt.NDArray[np.int64]:
        """See Layout."""
        return self._codes.program(index, scale, operand)

    def spread(self, values: FloatArray) -> FloatArray:
        """See Layout."""
        return self._codes.spread(values)

    def encode(self, values: FloatArray) -> dict[str, Array]:
        """Columns of the signs of values (n, dims or more) float32; -0.0 is not negative."""
        ones = np.ones((len(values), 1), np.float32)
        return self._codes.encode(values, ones, [np.empty(0, np.float32)])[0]

    def pack(self, negative: npt.NDArray[np.bool_]) -> dict[str, Array]:
        """Columns of signs (n, dims), True where negative."""
        return self._codes.pack(negative.astype(np.uint8))

    def unpack(self, columns: Mapping[str, Array]) -> npt.NDArray[np.bool_]:
        """The signs that `pack` packed, (n, dims)."""
        return self._codes.unpack(columns).astype(bool)
