"""Product quantization: a codebook for each of m sub-spaces, PQ and, after a learned rotation, OPQ.

Where m does not divide the dimension, some sub-spaces are wider than others by one. A row stands
for its words side by side, times a scale; see words. Words are orthogonal, so that without a scale
|q - x~|^2 is a sum of look-ups.

Sources: Jegou et al., Product quantization for nearest neighbor search, 2011; Ge et al.,
Optimized product quantization, 2013.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from vqindex.clustering import codebooks
from vqindex.errors import ShapeError
from vqindex.layouts.base import Array, FloatArray
from vqindex.quantizers.options import check_yes_or_no, spelled
from vqindex.quantizers.words import FittedWords, Scale, WordQuantizer, codes_of
from vqindex.subspaces import split
from vqindex.transforms.base import Number


@final
@dataclass(frozen=True)
class Product(WordQuantizer):
    """Recipe: `parts` codes of `bits` (4 or 8).

    rotated  after a rotation that is learned with the codebooks: OPQ
    scale    "none", "unbiased" or "length", see words; 4 bytes a row but for none
    center   take the mean of the first rows off all rows
    """

    parts: int
    bits: int = 4
    rotated: bool = False
    scale: Scale = "none"
    center: bool = True

    names: ClassVar[tuple[str, ...]] = ("PQ", "OPQ")
    options: ClassVar[tuple[str, ...]] = ("center", "scale")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_yes_or_no(rotated=self.rotated)

    @property
    def rotation(self) -> str:
        """See Quantizer."""
        return f"OPQ{self.parts}x{self.bits}" if self.rotated else "None"

    @property
    def spec(self) -> str:
        """See Quantizer."""
        name = f"{'OPQ' if self.rotated else 'PQ'}{self.parts}x{self.bits}"
        return spelled(name, center=(self.center, True), scale=(self.scale, "none"))

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "Product":
        """The recipe of `PQ<m>x<bits>` or `OPQ<m>x<bits>` with options `center` and `scale`."""
        parts, bits = codes_of(name, number)
        return cls(parts, bits, name == "OPQ", **options)  # type: ignore[arg-type]

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> "FittedProduct":
        """See Quantizer."""
        if sample is None:
            raise ValueError(f"{self.spec} learns its codebooks: it needs a sample, got None.")
        if self.parts > dim:
            raise ShapeError(
                f"{self.spec} needs a dimension for each of {self.parts} codes, got rows of {dim}: "
                f"use {dim} codes or fewer."
            )
        found = codebooks(sample, split(dim, self.parts), 1 << self.bits, seed)
        distortion = min(found.distortion, 1 - 2.0**-20)
        return FittedProduct(dim, self.bits, self.scale, found.words, distortion)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedProduct":
        """See Quantizer."""
        want = (self.parts, 1 << self.bits, -(-dim // self.parts))
        words, distortion = self._restored(arrays, want, self.parts <= dim)
        return FittedProduct(dim, self.bits, self.scale, words, distortion)


@final
@dataclass(frozen=True, eq=False)
class FittedProduct(FittedWords):
    """Codes rows by codebooks of sub-spaces; see the module."""

    @property
    def squares(self) -> FloatArray | None:
        """What each entry of the tables adds to |x~|^2, (parts * size,); None under a scale."""
        return 2 * self._spaces.halves.reshape(-1) if self.rule == "none" else None

    def _codes(self, y: FloatArray) -> npt.NDArray[np.uint8]:
        return self._spaces.encode(y).astype(np.uint8)

    def _decode(self, codes: npt.NDArray[np.uint8]) -> FloatArray:
        return self._spaces.decode(codes)
