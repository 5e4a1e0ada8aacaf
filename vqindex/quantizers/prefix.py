"""Prefixes: scalar codes read by their first bits alone, each with levels of its own.

The first b bits of a code name the union of neighbouring cells, and are worth the mean of that
union. With codes of four bits:

    bits                              1       2       3       4
    distortion of N(0, 1)        .36338  .12028  .03484  .00951
    with levels made for b bits  .36338  .11748  .03455  .00951

A row's scale makes its whole code unbiased. Its prefix has a scale of its own where there is a
column of it: of one bit, the ratio by which signs bound scores. Else the mean is taken times

    shrink(whole) / shrink(prefix)

which is right on average over rows and not for each: the rows' own factors differ by 1 to 2 % of
384 dimensions, 2 to 4 % of 128, and that is an error in the direction of the row itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.layouts.scalar import ScalarCodes, Segment
from vqindex.quantizers.base import Encoded, FittedQuantizer
from vqindex.quantizers.levels import MAGNITUDES, Levels, nested_levels

_TOP = MAGNITUDES - 0.5  # the largest level


@final
@dataclass(frozen=True)
class Prefix:
    """A fitted quantizer of scalar codes, of whose columns only the first bits are read.

    factor               what a query is multiplied by to meet the layout's levels
    distortion, shrink   see FittedQuantizer: on average over rows
    """

    whole: FittedQuantizer
    layout: ScalarCodes
    factor: float
    distortion: float
    shrink: float

    @property
    def columns(self) -> tuple[Column, ...]:
        """See FittedQuantizer: those of the whole codes."""
        return self.whole.columns

    @property
    def scale(self) -> str | None:
        """See FittedQuantizer: that of the whole codes."""
        return self.whole.scale

    @property
    def ratio(self) -> str | None:
        """See FittedQuantizer; it is in the scale where signs are all there is."""
        return self.whole.ratio

    def encode(self, y: FloatArray) -> Encoded:
        """See FittedQuantizer: whole codes."""
        return Encoded(self.whole.encode(y).columns, self)

    def expand(self, columns: Mapping[str, Array]) -> FloatArray:
        """See FittedQuantizer."""
        scale = columns[str(self.scale)].ravel() * np.float32(self.factor)
        if self.layout.ratio:
            scale = scale * columns[self.layout.ratio].ravel().astype(np.float32)
        return self.layout.levels(columns, scale)

    def operand(self, y: FloatArray) -> FloatArray:
        """See FittedQuantizer."""
        return y * np.float32(self.factor)

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer: those of the whole codes."""
        return self.whole.arrays()


def prefix(
    whole: FittedQuantizer,
    codes: ScalarCodes,
    levels: Sequence[Levels],
    bits: int,
    ratio: str | None = None,
) -> Prefix:
    """The first `bits` bits of each code, or as many as it has.

    levels   of each segment, all of one unit; what `whole` scales by is worth that unit
    ratio    column of the prefix's own scale over the whole code's, if there is one
    """
    nested = [nested_levels(own, min(bits, own.bits)) for own in levels]
    shares = [segment.dims / codes.dims for segment in codes.segments]
    distortion = sum(n.distortion * share for n, share in zip(nested, shares, strict=True))
    if bits == 1:
        signs = codes.first_bits(tuple(Segment(s.dims, (0,)) for s in codes.segments), 1, "ratio")
        return Prefix(whole, signs, 1.0, distortion, 1 - distortion)
    shrink = 1 - distortion if whole.shrink != 1 else 1.0
    gain = whole.shrink / shrink / levels[0].unit
    top = gain * max(n.values[-1] for n in nested)
    finer = 2 ** max(int(np.log2(_TOP / top)), 0)  # steps than those of the whole codes
    segments = tuple(
        Segment(s.dims, tuple(_steps(n.values * (gain * finer)).tolist()))
        for s, n in zip(codes.segments, nested, strict=True)
    )
    if ratio is not None:
        return Prefix(whole, codes.first_bits(segments, 1, ratio), 1.0, distortion, shrink)
    return Prefix(whole, codes.first_bits(segments, finer), 1 / finer, distortion, shrink)


def _steps(values: Array) -> Array:
    """The integers t whose t + 1/2 are nearest."""
    return np.clip(np.rint(values - 0.5), 0, MAGNITUDES - 1).astype(np.int64)
