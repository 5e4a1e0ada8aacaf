"""Lloyd-Max levels on rotated coordinates, with one scale a row: EDEN, DRIVE and TurboQuant.

With z the rotated row in units where coordinates have variance one and u its levels, a row stands
for scale * u, where scale is
    unbiased   |r|^2 / <r, u>       inner products are unbiased over rotations (EDEN)
    biased     <r, u> / |u|^2       least error of the reconstruction (EDEN)
    fixed      |r| / sqrt(d)        TurboQuant_mse

Bits may be a fraction: the first words of 64 coordinates have a bit more than the others, as many
of them as the bits of all words allow. Coordinates are alike after a rotation, so it does not
matter which, levels of both kinds count alike, and the distortion is the mean of theirs.

Sources: DRIVE, arXiv 2105.08339; EDEN, arXiv 2108.08842; TurboQuant, arXiv 2504.19874, Alg. 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from vqindex.errors import CorruptFileError, SpecError
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.layouts.scalar import ScalarCodes, Segment
from vqindex.lazy import lazy
from vqindex.quantizers.base import (
    Encoded,
    FittedQuantizer,
    divide,
    inner_products,
    row_norms,
    sign_ratio,
)
from vqindex.quantizers.levels import Levels, levels_at, scalar_levels
from vqindex.quantizers.options import Centering, check_choice, check_yes_or_no, spelled
from vqindex.quantizers.prefix import Prefix, prefix
from vqindex.quantizers.scaled import ScaledLevels
from vqindex.transforms.base import Number, stored

Scale = Literal["unbiased", "biased", "fixed"]
SCALES: tuple[Scale, ...] = ("unbiased", "biased", "fixed")
_SUFFIXES = "", "_fewer"  # of arrays, by segment


@final
@dataclass(frozen=True)
class LloydMax(Centering):
    """Recipe: `bits` (1 to 8, or a fraction between) a dimension, one scale a row.

    scale    "unbiased", "biased" or "fixed", as above
    center   take the mean of the first rows off all rows
    nested   keep a scale for each prefix of the code too, two bytes for each from two bits on
    """

    bits: float = 4
    scale: Scale = "unbiased"
    center: bool = True
    nested: bool = False

    names: ClassVar[tuple[str, ...]] = ("EDEN", "TQ")
    options: ClassVar[tuple[str, ...]] = ("center", "nested", "scale")
    rotation: ClassVar[str] = "Hadamard"
    sketchable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice(SCALES, scale=self.scale)
        if type(self.bits) not in (int, float) or not 1 <= self.bits <= 8:
            raise SpecError(f"bits must be 1 to 8, got {self.bits!r}.")
        check_yes_or_no(center=self.center, nested=self.nested)
        if self.nested and (self.scale != "unbiased" or self.bits < 3):
            raise SpecError(
                "nested=yes keeps unbiased scales of codes from 2 bits on, beside an unbiased "
                f"scale of 3 bits or more; got {self.bits} bits and scale={self.scale}."
            )

    @property
    def spec(self) -> str:
        """`TQ<b>` is EDEN<b>(scale=fixed,center=no)."""
        name = "TQ" if self.scale == "fixed" else "EDEN"
        center = self.center, name == "EDEN"
        scale = self.scale, "unbiased" if name == "EDEN" else "fixed"
        bits = np.format_float_positional(self.bits, trim="-")
        return spelled(f"{name}{bits}", center=center, nested=(self.nested, False), scale=scale)

    @classmethod
    def from_spec(cls, name: str, bits: Number, options: Mapping[str, object]) -> "LloydMax":
        """The recipe of `EDEN<b>` or `TQ<b>` with options `center` and, for EDEN, the others."""
        if bits is None:
            raise SpecError(f"{name} needs its bits, such as {name}4.")
        defaults = {"EDEN": ("unbiased", True), "TQ": ("fixed", False)}[name]
        scale = options.get("scale", defaults[0])
        if name == "TQ" and scale != "fixed":
            raise SpecError(f"TQ{bits} has a fixed scale; use EDEN{bits}(scale={scale}).")
        center = options.get("center", defaults[1])
        return cls(bits, scale, center, options.get("nested", False))  # type: ignore[arg-type]

    @property
    def prefix_bits(self) -> int:
        """See Nested."""
        return int(self.bits)

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> "FittedLloydMax":
        """See Quantizer; the levels depend on nothing but the dimension."""
        (first, _), *others = shares = self._shares(dim)
        levels = scalar_levels(first, dim)
        fewer = (levels_at(bits, dim, levels.unit) for bits, _ in others)
        return self._fitted(shares, (levels, *fewer))

    def _fitted(
        self, shares: list[tuple[int, int]], levels: tuple[Levels, ...]
    ) -> "FittedLloydMax":
        dims = tuple(dims for _, dims in shares)
        return FittedLloydMax(self.scale, dims, levels, self.nested)

    def _shares(self, dim: int) -> list[tuple[int, int]]:
        """Bits and dimensions of each segment."""
        low, words = int(self.bits), -(-dim // 64)
        finer = 64 * (int(self.bits * words) - low * words)
        return [(low + 1, finer), (low, dim - finer)] if finer else [(low, dim)]

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedLloydMax":
        """See Quantizer. The levels are read, not computed, so that a file means the same ever."""
        unit = float(stored(arrays, "unit", np.float64, 0))
        shares = self._shares(dim)
        levels = (
            _restored(arrays, suffix, bits, dim, unit)
            for (bits, _), suffix in zip(shares, _SUFFIXES, strict=False)
        )
        return self._fitted(shares, tuple(levels))


def _restored(arrays: Mapping[str, Array], suffix: str, bits: int, dim: int, unit: float) -> Levels:
    magnitudes = stored(arrays, f"magnitudes{suffix}", np.int8, 1)
    thresholds = stored(arrays, f"thresholds{suffix}", np.float32, 1)
    distortion = float(stored(arrays, f"distortion{suffix}", np.float64, 0))
    size = 2 ** (bits - 1)
    if (
        magnitudes.shape != (size,)
        or thresholds.shape != (size - 1,)
        or magnitudes[0] < 0
        or (magnitudes[1:] <= magnitudes[:-1]).any()
        or (thresholds[1:] < thresholds[:-1]).any()
        or unit <= 0
        or not 0 <= distortion < 1
    ):
        raise CorruptFileError(
            f"levels of {bits} bits need {size} magnitudes >= 0 and {size - 1} "
            "thresholds, ascending, a unit > 0 and a distortion below 1."
        )
    return Levels(bits, dim, magnitudes, unit, thresholds, distortion)


@final
@dataclass(frozen=True)
class FittedLloydMax(ScaledLevels):
    """Codes rows by fixed levels; see the module.

    dims     dimensions of each segment: of all, or first those that have a bit more
    levels   of each segment, all of one unit
    nested   whether there are scales of prefixes
    """

    rule: Scale
    dims: tuple[int, ...]
    levels: tuple[Levels, ...]
    nested: bool = False

    @lazy
    def dim(self) -> int:
        """Dimensions of a row."""
        return sum(self.dims)

    @lazy
    def layout(self) -> ScalarCodes:
        """See FittedQuantizer."""
        return ScalarCodes(
            tuple(
                Segment(dims, tuple(levels.magnitudes.tolist()))
                for dims, levels in zip(self.dims, self.levels, strict=True)
            )
        )

    @property
    def ratio(self) -> str | None:
        """See FittedQuantizer."""
        return "ratio" if self.levels[0].bits > 1 else None

    @property
    def _own(self) -> dict[int, str]:
        """The columns of the ratios of prefixes' own scales, by their bits."""
        if not self.nested:
            return {}
        return {bits: f"ratio{bits}" for bits in range(2, self.levels[0].bits)}

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of ScaledLevels; where they are kept, ratios of prefixes' own scales follow."""
        own = (Column(name, np.dtype(np.float16)) for name in self._own.values())
        return (*super().columns, *own)

    def encode(self, y: FloatArray) -> Encoded:
        """See FittedQuantizer."""
        norms = row_norms(y)
        root = np.float32(np.sqrt(self.dim))
        factors = divide(np.full(len(y), root), norms)[:, None]
        columns, sums = self.layout.encode(
            y, factors.repeat(len(self.dims), axis=1), [own.thresholds for own in self.levels]
        )
        dot, square, absolute = sums.sum(axis=1, dtype=np.float64).T
        square_norms = norms.astype(np.float64) ** 2
        if self.rule == "unbiased":
            scale = divide(square_norms, dot)
        elif self.rule == "biased":
            scale = divide(dot, square)
        else:
            scale = norms * np.float32(self.levels[0].unit) / root
        columns["scale"] = scale
        if self.ratio:
            columns["ratio"] = sign_ratio(square_norms, absolute, scale)
        for bits, name in self._own.items():
            product = inner_products(y, self._prefix(bits).layout.levels(columns))
            columns[name] = sign_ratio(square_norms, 2 * product, scale)
        return Encoded(columns, self, rounded=self.rule == "biased")

    @property
    def distortion(self) -> float:
        """See FittedQuantizer: of the levels, exact for a uniformly rotated row."""
        each = zip(self.dims, self.levels, strict=True)
        return sum(dims * levels.distortion for dims, levels in each) / self.dim

    @property
    def shrink(self) -> float:
        """See FittedQuantizer."""
        return super().shrink if self.rule == "unbiased" else 1.0

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""
        arrays: dict[str, Array] = {}
        for suffix, levels in zip(_SUFFIXES, self.levels, strict=False):
            arrays[f"magnitudes{suffix}"] = levels.magnitudes
            arrays[f"thresholds{suffix}"] = levels.thresholds
            arrays.setdefault("unit", np.array(levels.unit))
            arrays[f"distortion{suffix}"] = np.array(levels.distortion)
        return arrays

    def at(self, bits: int) -> FittedQuantizer:
        """See Nested."""
        whole = all(own.bits <= bits for own in self.levels)
        return self if whole else self._prefix(bits)

    def _prefix(self, bits: int) -> Prefix:
        return prefix(self, self.layout, self.levels, bits, self._own.get(bits))
