"""LVQ: each row between its own least and greatest entry in evenly spaced steps, once or twice.

    y_j ~ middle + step * level_j
    middle = (max y + min y) / 2,  step = (max y - min y) / (2^b - 1)

with level_j half-integers, as min y + step * code_j in the paper, so that

    <q, y> ~ middle * sum(q) + step * <q, level>

A second code of b2 bits cuts each step, the first one's error, into 2^b2 - 1 further ones. The
first code can be read alone, and its first bits: each then stands for the middle of its cells.
Middle and step are float32, of which the paper keeps half the bytes.

Source: Similarity search in the blink of an eye with compressed indices, arXiv 2304.04759.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from vqindex.errors import CorruptFileError, SpecError
from vqindex.kernels.cpu import grid
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.layouts.joined import Joined
from vqindex.layouts.offset import OffsetColumn
from vqindex.layouts.scalar import ScalarCodes, Segment
from vqindex.lazy import lazy
from vqindex.quantizers.base import Encoded
from vqindex.quantizers.scaled import Scaled
from vqindex.transforms.base import Number, stored

_LEAST_SHRINK = 2.0**-4  # of reconstructions; a few bits for skew rows may want less


@final
@dataclass(frozen=True)
class LVQ:
    """Recipe: `bits` (1 to 8) a dimension, and `more` (0 to 8) for what these leave."""

    bits: int = 4
    more: int = 0

    names: ClassVar[tuple[str, ...]] = ("LVQ",)
    options: ClassVar[tuple[str, ...]] = ()
    rotation: ClassVar[str] = "None"
    centered: ClassVar[bool] = True
    sketchable: ClassVar[bool] = True
    sample_size: ClassVar[int] = 1024

    def __post_init__(self) -> None:
        if type(self.bits) is not int or not 1 <= self.bits <= 8:
            raise SpecError(f"bits must be 1 to 8, got {self.bits!r}.")
        if type(self.more) is not int or not 0 <= self.more <= 8:
            raise SpecError(f"bits of the second code must be 1 to 8, got {self.more!r}.")

    @property
    def spec(self) -> str:
        """See Quantizer."""
        return f"LVQ{self.bits}" + (f"x{self.more}" if self.more else "")

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "LVQ":
        """The recipe of `LVQ<b>` or `LVQ<b>x<b>`."""
        bits = number if isinstance(number, tuple) else (number,)
        if number is None or len(bits) > 2 or bits[1:] == (0,):
            raise SpecError("LVQ needs the bits of one code or two, such as LVQ8 or LVQ4x8.")
        return cls(*bits)

    @property
    def prefix_bits(self) -> int:
        """See Nested: those of the first code."""
        return self.bits

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> "FittedLVQ":
        """See Quantizer; how much reconstructions err is measured on the sample."""
        if sample is None:
            raise SpecError(f"{self.spec} is fitted to a sample of rows, got none.")
        plain = FittedLVQ(dim, self, 0.0, 1.0)
        y = sample.astype(np.float64)
        x = plain.encode(sample).approximation.astype(np.float64)
        product, square, whole = (float((a * b).sum()) for a, b in ((x, y), (x, x), (y, y)))
        if square == 0:
            return plain
        shrink = max(product / square, _LEAST_SHRINK)
        error = float(((x * shrink - y) ** 2).sum())
        return FittedLVQ(dim, self, min(error / whole, 1.0), shrink)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedLVQ":
        """See Quantizer."""
        distortion, shrink = (
            float(stored(arrays, name, np.float64, 0)) for name in ("distortion", "shrink")
        )
        if not (0 <= distortion <= 1 and _LEAST_SHRINK <= shrink <= 2):
            raise CorruptFileError(
                f"LVQ needs a distortion of 0 to 1 and a shrink of {_LEAST_SHRINK} to 2, got "
                f"{distortion} and {shrink}."
            )
        return FittedLVQ(dim, self, distortion, shrink)


@final
@dataclass(frozen=True)
class FittedLVQ(Scaled):
    """Codes rows by their own range; see the module.

    distortion, shrink   see FittedQuantizer: of both codes, all bits
    read                 how many bits of the first code are read, and nothing of the second; None:
                         everything
    """

    dim: int
    recipe: LVQ
    distortion: float
    shrink: float
    read: int | None = None

    @lazy
    def first(self) -> ScalarCodes:
        """The codes of the rows."""
        return ScalarCodes((Segment(self.dim, tuple(range(2 ** (self.recipe.bits - 1)))),))

    @lazy
    def second(self) -> ScalarCodes | None:
        """The codes of what the first leave, in columns of their own."""
        if not self.recipe.more:
            return None
        magnitudes = tuple(range(2 ** (self.recipe.more - 1)))
        return ScalarCodes((Segment(self.dim, magnitudes),), "second_")

    @lazy
    def _shown(self) -> ScalarCodes:
        """What is read of the first codes."""
        if self.read is None:
            return self.first
        return self.first.first_bits((Segment(self.dim, tuple(range(2 ** (self.read - 1)))),))

    @property
    def _coarser(self) -> np.float32:
        """Steps of the first code in one of what is read of it."""
        return np.float32(1 if self.read is None else 2 ** (self.recipe.bits - self.read))

    @lazy
    def layout(self) -> Joined:
        """The first codes and the middles, which are a code of their own, and the second codes."""
        first = self._shown, OffsetColumn("middle")
        second = self.second if self.read is None else None
        return Joined(first if second is None else (*first, second))

    @property
    def columns(self) -> tuple[Column, ...]:
        """Codes, and as float32 the middle and the scale, which is the step."""
        second = () if self.second is None else self.second.columns
        middle, scale = (Column(name, np.dtype(np.float32)) for name in ("middle", "scale"))
        return (*self.first.columns, middle, *second, scale)

    @property
    def _finer(self) -> np.float32:
        """Steps of the second code in one of the first."""
        return np.float32(2**self.recipe.more - 1)

    def encode(self, y: FloatArray) -> Encoded:
        """See FittedQuantizer."""
        y, bits = np.ascontiguousarray(y), self.recipe.bits
        low, high = np.empty((2, len(y)), np.float32)
        grid.extents(y, low, high)
        middle = (low + high) * np.float32(0.5)
        step = (high - low) / np.float32(2**bits - 1)
        factor = np.zeros_like(step)
        np.divide(1, step, out=factor, where=step >= np.finfo(np.float32).tiny)
        columns, _ = self.first.encode_grid(y, middle, factor)
        if self.second is not None:
            left = np.empty_like(y)
            grid.remainders(y, middle, factor, bits, self._finer, left)
            zeros, ones = np.zeros_like(step), np.ones_like(step)
            columns |= self.second.encode_grid(left, zeros, ones)[0]
        return Encoded(columns | {"middle": middle, "scale": step}, self, rounded=True)

    def expand(self, columns: Mapping[str, Array]) -> FloatArray:
        """See FittedQuantizer."""
        step = columns["scale"].ravel()
        x = self._shown.levels(columns, step * self._coarser)
        if self.second is not None and self.read is None:
            x += self.second.levels(columns, step / self._finer)
        x += columns["middle"].reshape(-1, 1)
        return x

    def operand(self, y: FloatArray) -> FloatArray:
        """See FittedQuantizer: the query, its sum and, for second codes, itself in their steps."""
        total = y.sum(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
        parts = [y * self._coarser, total]
        if len(self.layout.parts) > len(parts):
            parts.append(y / self._finer)
        return np.concatenate(parts, axis=1)

    def at(self, bits: int) -> "FittedLVQ":
        """See Nested."""
        return replace(self, read=bits)

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""
        return {"distortion": np.array(self.distortion), "shrink": np.array(self.shrink)}
