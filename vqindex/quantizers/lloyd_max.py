"""Lloyd-Max levels on rotated coordinates, with one scale a row: EDEN, DRIVE and TurboQuant.

With z the rotated row in units where coordinates have variance one and u its levels, a row stands
for scale * u, where scale is
    unbiased   |r|^2 / <r, u>       inner products are unbiased over rotations (EDEN)
    biased     <r, u> / |u|^2       least error of the reconstruction (EDEN)
    fixed      |r| / sqrt(d)        TurboQuant_mse

Sources: DRIVE, arXiv 2105.08339; EDEN, arXiv 2108.08842; TurboQuant, arXiv 2504.19874, Alg. 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from vqindex.errors import CorruptFileError, SpecError
from vqindex.layouts.base import Array, FloatArray
from vqindex.layouts.scalar import ScalarCodes, Segment
from vqindex.lazy import lazy
from vqindex.quantizers.base import Encoded, divide, row_norms, sign_ratio
from vqindex.quantizers.levels import Levels, scalar_levels
from vqindex.quantizers.options import Centering, check_choice, check_yes_or_no, spelled
from vqindex.quantizers.scaled import ScaledLevels
from vqindex.transforms.base import Number, stored

Scale = Literal["unbiased", "biased", "fixed"]
SCALES: tuple[Scale, ...] = ("unbiased", "biased", "fixed")


@final
@dataclass(frozen=True)
class LloydMax(Centering):
    """Recipe: `bits` (1 to 8) a dimension, one scale a row.

    scale    "unbiased", "biased" or "fixed", as above
    center   take the mean of the first rows off all rows
    """

    bits: int = 4
    scale: Scale = "unbiased"
    center: bool = True

    names: ClassVar[tuple[str, ...]] = ("EDEN", "TQ")
    options: ClassVar[tuple[str, ...]] = ("center", "scale")
    rotation: ClassVar[str] = "Hadamard"
    sketchable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice(SCALES, scale=self.scale)
        if type(self.bits) is not int or not 1 <= self.bits <= 8:
            raise SpecError(f"bits must be 1 to 8, got {self.bits!r}.")
        check_yes_or_no(center=self.center)

    @property
    def spec(self) -> str:
        """`TQ<b>` is EDEN<b>(scale=fixed,center=no)."""
        name = "TQ" if self.scale == "fixed" else "EDEN"
        center = self.center, name == "EDEN"
        scale = self.scale, "unbiased" if name == "EDEN" else "fixed"
        return spelled(f"{name}{self.bits}", center=center, scale=scale)

    @classmethod
    def from_spec(cls, name: str, bits: Number, options: Mapping[str, object]) -> "LloydMax":
        """The recipe of `EDEN<b>` or `TQ<b>` with options `center` and, for EDEN, `scale`."""
        if bits is None:
            raise SpecError(f"{name} needs its bits, such as {name}4.")
        defaults = {"EDEN": ("unbiased", True), "TQ": ("fixed", False)}[name]
        scale = options.get("scale", defaults[0])
        if name == "TQ" and scale != "fixed":
            raise SpecError(f"TQ{bits} has a fixed scale; use EDEN{bits}(scale={scale}).")
        center = options.get("center", defaults[1])
        return cls(bits, scale, center)  # type: ignore[arg-type]

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> "FittedLloydMax":
        """See Quantizer; the levels depend on nothing but the dimension."""
        return FittedLloydMax(dim, self.scale, scalar_levels(self.bits, dim))

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedLloydMax":
        """See Quantizer. The levels are read, not computed, so that a file means the same ever."""
        magnitudes = stored(arrays, "magnitudes", np.int8, 1)
        thresholds = stored(arrays, "thresholds", np.float32, 1)
        unit, distortion = (
            float(stored(arrays, name, np.float64, 0)) for name in ("unit", "distortion")
        )
        size = 2 ** (self.bits - 1)
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
                f"levels of {self.bits} bits need {size} magnitudes >= 0 and {size - 1} "
                "thresholds, ascending, a unit > 0 and a distortion below 1."
            )
        levels = Levels(self.bits, dim, magnitudes, unit, thresholds, distortion)
        return FittedLloydMax(dim, self.scale, levels)


@final
@dataclass(frozen=True)
class FittedLloydMax(ScaledLevels):
    """Codes rows by fixed levels; see the module."""

    dim: int
    rule: Scale
    levels: Levels

    @lazy
    def layout(self) -> ScalarCodes:
        """One segment of every dimension."""
        magnitudes = tuple(int(t) for t in self.levels.magnitudes)
        return ScalarCodes((Segment(self.dim, magnitudes),))

    @property
    def ratio(self) -> str | None:
        """See FittedQuantizer."""
        return "ratio" if self.levels.bits > 1 else None

    def encode(self, y: FloatArray) -> Encoded:
        """See FittedQuantizer."""
        norms = row_norms(y)
        root = np.float32(np.sqrt(self.dim))
        columns, sums = self.layout.encode(
            y, divide(np.full(len(y), root), norms)[:, None], [self.levels.thresholds]
        )
        dot, square, absolute = sums[:, 0].T.astype(np.float64)
        square_norms = norms.astype(np.float64) ** 2
        if self.rule == "unbiased":
            scale = divide(square_norms, dot)
        elif self.rule == "biased":
            scale = divide(dot, square)
        else:
            scale = norms * np.float32(self.levels.unit) / root
        columns["scale"] = scale
        if self.ratio:
            columns["ratio"] = sign_ratio(square_norms, absolute, scale)
        return Encoded(columns, self, rounded=self.rule == "biased")

    @property
    def distortion(self) -> float:
        """See FittedQuantizer: of the levels, exact for a uniformly rotated row."""
        return self.levels.distortion

    @property
    def shrink(self) -> float:
        """See FittedQuantizer."""
        return super().shrink if self.rule == "unbiased" else 1.0

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""
        return {
            "magnitudes": self.levels.magnitudes,
            "thresholds": self.levels.thresholds,
            "unit": np.array(self.levels.unit),
            "distortion": np.array(self.levels.distortion),
        }
