"""Product quantization: a codebook for each of m sub-spaces, PQ and, after a learned rotation, OPQ.

Where m does not divide the dimension, some sub-spaces are wider than others by one. A row stands
for its words side by side, times one of
    none       1: no further byte a row. Words are orthogonal, so |q - x~|^2 is a sum of look-ups
    unbiased   |r|^2 / <r, u>       inner products with the row itself are exact
    length     |r| / |u|            the reconstruction is as long as the row

Sources: Jegou et al., Product quantization for nearest neighbor search, 2011; Ge et al.,
Optimized product quantization, 2013.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from vqindex.clustering import codebooks, sample_rows
from vqindex.errors import CorruptFileError, ShapeError, SpecError
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.layouts.table import TableCodes
from vqindex.lazy import lazy
from vqindex.quantizers.base import Encoded, divide, inner_products, row_norms, square_norms
from vqindex.subspaces import Subspaces, split
from vqindex.transforms.base import Number, stored

Scale = Literal["none", "unbiased", "length"]
SCALES: tuple[Scale, ...] = ("none", "unbiased", "length")


@final
@dataclass(frozen=True)
class Product:
    """Recipe: `parts` codes of `bits` (4 or 8).

    rotated  after a rotation that is learned with the codebooks: OPQ
    scale    "none", "unbiased" or "length", as above; 4 bytes a row but for none
    center   take the mean of the first rows off all rows
    """

    parts: int
    bits: int = 4
    rotated: bool = False
    scale: Scale = "none"
    center: bool = True

    names: ClassVar[tuple[str, ...]] = ("PQ", "OPQ")
    options: ClassVar[tuple[str, ...]] = ("center", "scale")
    sketchable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if type(self.parts) is not int or self.parts < 1:
            raise SpecError(f"a product quantizer needs 1 or more codes, got {self.parts!r}.")
        if self.bits not in (4, 8):
            raise SpecError(f"the codes of a product quantizer have 4 or 8 bits, got {self.bits}.")
        if self.scale not in SCALES:
            raise SpecError(f"scale must be one of {', '.join(SCALES)}, got {self.scale!r}.")
        for name in ("rotated", "center"):
            if type(getattr(self, name)) is not bool:
                raise SpecError(f"{name} must be yes or no, got {getattr(self, name)!r}.")

    @property
    def rotation(self) -> str:
        """See Quantizer."""
        return f"OPQ{self.parts}x{self.bits}" if self.rotated else "None"

    @property
    def centered(self) -> bool:
        """See Quantizer."""
        return self.center

    @property
    def sample_size(self) -> int:
        """As many rows as k-means makes use of."""
        return sample_rows(1 << self.bits)

    @property
    def spec(self) -> str:
        """See Quantizer."""
        options = [] if self.center else ["center=no"]
        if self.scale != "none":
            options.append(f"scale={self.scale}")
        name = f"{'OPQ' if self.rotated else 'PQ'}{self.parts}x{self.bits}"
        return name + (f"({','.join(options)})" if options else "")

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "Product":
        """The recipe of `PQ<m>x<bits>` or `OPQ<m>x<bits>` with options `center` and `scale`."""
        parts, bits = codes_of(name, number)
        center, scale = options.get("center", True), options.get("scale", "none")
        return cls(parts, bits, name == "OPQ", scale, center)  # type: ignore[arg-type]

    def fit(self, sample: FloatArray | None, dim: int, seed: int) -> "FittedProduct":
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
        words = stored(arrays, "words", np.float32, 3)
        distortion = float(stored(arrays, "distortion", np.float64, 0))
        want = (self.parts, 1 << self.bits, -(-dim // self.parts))
        if words.shape != want or self.parts > dim:
            raise CorruptFileError(f"'words' must have shape {want}, got {words.shape}.")
        if not 0 <= distortion < 1:
            raise CorruptFileError(f"'distortion' must be 0 or more and below 1, got {distortion}.")
        return FittedProduct(dim, self.bits, self.scale, words, distortion)


def codes_of(name: str, number: Number) -> tuple[int, int]:
    """How many codes of how many bits `name` and its number say; SpecError."""
    if not isinstance(number, tuple) or len(number) != 2:
        raise SpecError(f"{name} needs its codes and their bits, such as {name}48x4.")
    return number


def scales(rule: Scale, y: FloatArray, decoded: FloatArray) -> FloatArray:
    """What rows' words are multiplied by, (n,), so that they stand for rows y (n, d)."""
    if rule == "length":
        return divide(row_norms(y), row_norms(decoded))
    return divide(square_norms(y), inner_products(y, decoded))


def shrink_of(rule: Scale, distortion: float) -> float:
    """What makes the least-error reconstruction of scaled words, which are means of rows.

    A mean is shorter than its rows by sqrt(1 - distortion).
    """
    powers = {"none": 0.0, "length": 0.5, "unbiased": 1.0}
    return float((1 - distortion) ** powers[rule])


@final
@dataclass(frozen=True, eq=False)
class FittedProduct:
    """Codes rows by codebooks of sub-spaces; see the module."""

    dim: int
    bits: int
    rule: Scale
    words: FloatArray  # (parts, size, width), zero beyond a sub-space's dimensions
    distortion: float
    ratio: ClassVar[None] = None

    @lazy
    def layout(self) -> TableCodes:
        """A code for each sub-space."""
        return TableCodes(len(self.words), self.bits)

    @lazy
    def _spaces(self) -> Subspaces:
        return Subspaces(self.dim, self.words)

    @property
    def squares(self) -> FloatArray | None:
        """What each entry of the tables adds to |x~|^2, (parts * size,); None under a scale."""
        return 2 * self._spaces.halves.reshape(-1) if self.rule == "none" else None

    @property
    def scale(self) -> str | None:
        """See FittedQuantizer."""
        return None if self.rule == "none" else "scale"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The codes, and a float32 scale unless there is none."""
        scale = (Column("scale", np.dtype(np.float32)),) if self.scale else ()
        return (*self.layout.columns, *scale)

    def encode(self, y: FloatArray) -> Encoded:
        """See FittedQuantizer."""
        y = np.ascontiguousarray(y)
        columns = self.layout.pack(self._spaces.encode(y).astype(np.uint8))
        if self.rule != "none":
            columns["scale"] = scales(self.rule, y, self._decode(columns))
        return Encoded(columns, self, rounded=self.rule == "none")

    def _decode(self, columns: Mapping[str, Array]) -> FloatArray:
        """Words side by side, (n, dim)."""
        return self._spaces.decode(self.layout.unpack(columns))

    @property
    def shrink(self) -> float:
        """See FittedQuantizer."""
        return shrink_of(self.rule, self.distortion)

    def expand(self, columns: Mapping[str, Array]) -> FloatArray:
        """See FittedQuantizer."""
        rows = self._decode(columns)
        return rows * columns["scale"].reshape(-1, 1) if self.scale else rows

    def operand(self, y: FloatArray) -> FloatArray:
        """See FittedQuantizer: the tables, (nq, parts * size)."""
        return self._spaces.products(y).reshape(len(y), -1)

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""
        return {"words": self.words, "distortion": np.array(self.distortion)}
