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
from vqindex.errors import ShapeError, SpecError
from vqindex.layouts.base import Array, FloatArray
from vqindex.quantizers.anisotropic import assign, learn, weight_of
from vqindex.quantizers.options import check_yes_or_no, decimal, spelled
from vqindex.quantizers.words import FittedWords, Scale, Weights, WordQuantizer, codes_of
from vqindex.subspaces import Subspaces, split
from vqindex.transforms.base import Number


@final
@dataclass(frozen=True)
class Product(WordQuantizer):
    """Recipe: `parts` codes of `bits` (4 or 8).

    rotated  after a rotation that is learned with the codebooks: OPQ
    scale    "none", "unbiased" or "length", see words; 4 bytes a row but for none
    center   take the mean of the first rows off all rows
    weighting   "none" or "queries", see words
    anisotropic   T of a loss for inner products, above 0 and below 1, see anisotropic; None is the
                  square error
    """

    parts: int
    bits: int = 4
    rotated: bool = False
    scale: Scale = "none"
    center: bool = True
    weighting: Weights = "none"
    anisotropic: float | None = None

    names: ClassVar[tuple[str, ...]] = ("PQ", "OPQ")
    options: ClassVar[tuple[str, ...]] = ("anisotropic", "center", "scale", "weighting")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_yes_or_no(rotated=self.rotated)
        if self.anisotropic is None:
            return
        if type(self.anisotropic) is not float or not 0 < self.anisotropic < 1:
            raise SpecError(f"anisotropic must be above 0 and below 1, got {self.anisotropic!r}.")
        if self.weighting != "none":
            raise SpecError("words are learned by weighting or by anisotropic, not by both.")

    @property
    def rotation(self) -> str:
        """See Quantizer."""
        return f"OPQ{self.parts}x{self.bits}" if self.rotated else "None"

    @property
    def spec(self) -> str:
        """See Quantizer."""
        name = f"{'OPQ' if self.rotated else 'PQ'}{self.parts}x{self.bits}"
        return spelled(
            name, center=(self.center, True), scale=(self.scale, "none"),
            weighting=(self.weighting, "none"), anisotropic=(self.anisotropic, None),
        )  # fmt: skip

    @property
    def metrics(self) -> tuple[str, ...]:
        """See Selective: under l2 errors along a row are worth less than others, not more."""
        return ("ip", "cosine") if self.anisotropic else ("l2", "ip", "cosine")

    def _eta(self, dim: int) -> float:
        return weight_of(self.anisotropic, dim) if self.anisotropic else 1.0

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "Product":
        """The recipe of `PQ<m>x<bits>` or `OPQ<m>x<bits>` with options."""
        parts, bits = codes_of(name, number)
        return cls(parts, bits, name == "OPQ", **decimal(options, "anisotropic"))

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
        starts, size = split(dim, self.parts), 1 << self.bits
        weighting = self._weighting(sample, queries, starts)
        if weighting is not None:
            found = codebooks(weighting.apply(sample), starts, size, seed)
            spaces = Subspaces(starts, *weighting.back(found.words))
            return FittedProduct(spaces, self.bits, self.scale, 0.0).measured(sample)
        found = codebooks(sample, starts, size, seed)
        spaces = Subspaces(starts, found.words)
        if self.anisotropic:
            x, eta = sample[: self.sample_size], self._eta(dim)
            spaces = learn(spaces, x, eta)
            return FittedProduct(spaces, self.bits, self.scale, 0.0, eta).measured(x)
        distortion = min(found.distortion, 1 - 2.0**-20)
        return FittedProduct(spaces, self.bits, self.scale, distortion)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedProduct":
        """See Quantizer."""
        want = (self.parts, 1 << self.bits, -(-dim // self.parts))
        words, aims, distortion = self._restored(arrays, want, self.parts <= dim)
        spaces = Subspaces(split(dim, self.parts), words, aims)
        return FittedProduct(spaces, self.bits, self.scale, distortion, self._eta(dim))


@final
@dataclass(frozen=True, eq=False)
class FittedProduct(FittedWords):
    """Codes rows by codebooks of sub-spaces; see the module.

    eta   what an error along a row counts, over one across it
    """

    eta: float = 1.0

    @property
    def squares(self) -> FloatArray | None:
        """What each entry of the tables adds to |x~|^2, (parts * size,); None under a scale."""
        return 2 * self.spaces.halves.reshape(-1) if self.rule == "none" else None

    def _codes(self, y: FloatArray) -> npt.NDArray[np.uint8]:
        near = self.spaces.encode(y) if self.eta == 1 else assign(self.spaces, y, self.eta)
        return near.astype(np.uint8)

    def _decode(self, codes: npt.NDArray[np.uint8]) -> FloatArray:
        return self.spaces.decode(codes)
