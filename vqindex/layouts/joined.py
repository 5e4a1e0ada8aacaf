"""Joined: several layouts as one, for a quantizer whose codes have more than one part."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vqindex.layouts.base import Array, Column, FloatArray, Layout


@dataclass(frozen=True)
class Joined:
    """Parts whose scores add up; each has columns of its own, and meets query entries of its own.

    The first parts of a joined layout are a coarser code: their segments, the beginning of the
    program, score it with the beginning of the same prepared query.
    """

    parts: tuple[Layout, ...]

    @property
    def dims(self) -> int:
        """See Layout: those of the parts, one after another."""
        return sum(part.dims for part in self.parts)

    @property
    def columns(self) -> tuple[Column, ...]:
        """See Layout."""
        return tuple(column for part in self.parts for column in part.columns)

    @property
    def operand_bytes(self) -> int:
        """See Layout."""
        return sum(part.operand_bytes for part in self.parts)

    def program(self, index: Mapping[str, int], scale: int, operand: int) -> npt.NDArray[np.int64]:
        """See Layout."""
        fields = []
        for part in self.parts:
            fields.append(part.program(index, scale, operand))
            operand += part.operand_bytes
        return np.concatenate(fields)

    def spread(self, values: FloatArray) -> FloatArray:
        """See Layout."""
        ends = np.cumsum([part.dims for part in self.parts])[:-1]
        shares = np.split(values, ends, axis=1)
        spread = [part.spread(share) for part, share in zip(self.parts, shares, strict=True)]
        return np.concatenate(spread, axis=1)

    def unpack(self, columns: Mapping[str, Array]) -> Array:
        """See Layout."""
        return np.concatenate([part.unpack(columns) for part in self.parts], axis=1)
