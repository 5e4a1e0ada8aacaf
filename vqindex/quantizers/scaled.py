"""What fitted quantizers with one float32 scale a row have in common."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.quantizers.base import FittedQuantizer


class Scaled:
    """A row stands for its scale times what its codes are; others may bound it by signs."""

    layout: Any
    scale: ClassVar[str] = "scale"

    @property
    def ratio(self) -> str | None:
        """See FittedQuantizer."""
        return None

    @property
    def columns(self) -> tuple[Column, ...]:
        """Codes, a float32 scale and, where signs bound a score, a float16 ratio of their own."""
        ratio = (Column("ratio", np.dtype(np.float16)),) if self.ratio else ()
        return (*self.layout.columns, Column("scale", np.dtype(np.float32)), *ratio)


class ScaledLevels(Scaled):
    """A row stands for its scale times levels, which meet the query as it is."""

    @property
    def shrink(self: FittedQuantizer) -> float:
        """See FittedQuantizer; an unbiased scale is too long by 1 / (1 - distortion)."""
        return 1 - self.distortion

    def expand(self, columns: Mapping[str, Array]) -> FloatArray:
        """See FittedQuantizer."""
        levels: FloatArray = self.layout.levels(columns, columns["scale"])
        return levels

    def operand(self, y: FloatArray) -> FloatArray:
        """See FittedQuantizer."""
        return y
