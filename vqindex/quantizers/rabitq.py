"""RaBitQ: each row's direction by the nearest of a grid's, with one scale a row.

With y the rotated row and v the levels +-(t + 1/2) of evenly spaced cells, met by a multiple of y
that the search chooses, a row stands for |y|^2 / <y, v> * v: inner products are unbiased over
rotations. At one bit this is EDEN's code and DRIVE's.

    exact   the multiple whose levels have the greatest cosine with y (kernels.reference.rescale)
    fast    one multiple of y / |y| for all rows, the best for a uniformly random direction

Of rows of 384 dimensions, one thread of a 2-core server searches a million in about 2 s at 2 bits,
4 s at 4, 8 s at 6 and 60 s at 8; rotating and packing them takes 1.2 s. The error it saves is most
where there are many levels: at 1,536 dimensions 1 % at 4 bits and 28 % at 8, at 128 dimensions
11 % and 53 %.

Sources: RaBitQ, arXiv 2405.12497; extended RaBitQ, arXiv 2409.09913.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from vqindex.errors import CorruptFileError, SpecError
from vqindex.kernels.cpu import rescale
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.layouts.scalar import ScalarCodes, Segment
from vqindex.lazy import lazy
from vqindex.quantizers.base import Encoded, FittedQuantizer, divide, row_norms, sign_ratio
from vqindex.quantizers.levels import Levels, uniform_levels
from vqindex.quantizers.options import check_choice, check_yes_or_no, spelled
from vqindex.quantizers.prefix import prefix
from vqindex.quantizers.scaled import ScaledLevels
from vqindex.transforms.base import Number, stored

Search = Literal["exact", "fast"]
SEARCHES: tuple[Search, ...] = ("exact", "fast")
EPS0 = 1.9  # standard deviations in `error`
_ENTRIES = 1 << 18  # of random directions, whose distortion is within about 1 % of the expected


@final
@dataclass(frozen=True)
class RaBitQ:
    """Recipe: `bits` (1 to 8) a dimension, one scale a row.

    search   "exact" or "fast", as above
    error    keep an error bound of each row, two bytes, for one's own use of the codes: see
             FittedRaBitQ.error_bounds; searches bound scores without
    """

    bits: int = 4
    search: Search = "exact"
    error: bool = False

    names: ClassVar[tuple[str, ...]] = ("RaBitQ",)
    options: ClassVar[tuple[str, ...]] = ("error", "search")
    rotation: ClassVar[str] = "Hadamard"
    centered: ClassVar[bool] = True
    sketchable: ClassVar[bool] = True
    sample_size: ClassVar[int] = 1024  # for the mean

    def __post_init__(self) -> None:
        if type(self.bits) is not int or not 1 <= self.bits <= 8:
            raise SpecError(f"bits must be 1 to 8, got {self.bits!r}.")
        check_choice(SEARCHES, search=self.search)
        check_yes_or_no(error=self.error)

    @property
    def spec(self) -> str:
        """See Quantizer."""
        error, search = (self.error, False), (self.search, "exact")
        return spelled(f"RaBitQ{self.bits}", error=error, search=search)

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "RaBitQ":
        """The recipe of `RaBitQ<b>` with options `search` and `error`."""
        if number is None:
            raise SpecError("RaBitQ needs its bits, such as RaBitQ4.")
        return cls(number, **options)  # type: ignore[arg-type]

    @property
    def prefix_bits(self) -> int:
        """See Nested."""
        return self.bits

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> "FittedRaBitQ":
        """See Quantizer; what is learned depends on nothing but the dimension."""
        levels = uniform_levels(self.bits, dim)
        distortion = levels.distortion
        if self.search == "exact" and self.bits > 1:
            distortion = _measured_distortion(self.bits, dim)
        return FittedRaBitQ(dim, self, levels.unit, distortion)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedRaBitQ":
        """See Quantizer."""
        unit, distortion = (
            float(stored(arrays, name, np.float64, 0)) for name in ("unit", "distortion")
        )
        if not (2.0**-10 < unit < 2.0**10 and 0 <= distortion < 1):
            raise CorruptFileError(
                "RaBitQ needs a unit between 2**-10 and 2**10 and a distortion below 1, got "
                f"{unit} and {distortion}."
            )
        return FittedRaBitQ(dim, self, unit, distortion)


@functools.lru_cache(maxsize=256)
def _measured_distortion(bits: int, dim: int) -> float:
    """Mean 1 - cos^2 of random directions and their codes by exact search."""
    part = FittedRaBitQ(dim, RaBitQ(bits), uniform_levels(bits, dim).unit, 0.0)
    shape = -(-_ENTRIES // dim), dim
    y = np.random.default_rng(0).standard_normal(shape, np.float32)
    x = part.encode(y).approximation.astype(np.float64)
    cosines = (y * x).sum(axis=1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    return float((1 - cosines**2).mean().clip(0))


@final
@dataclass(frozen=True)
class FittedRaBitQ(ScaledLevels):
    """Codes rows by a grid; see the module.

    unit         what a step of the grid is worth under the fast search, over |y| / sqrt(d)
    distortion   see FittedQuantizer: by quadrature for the fast search, and for the exact one as
                 measured on some thousand random directions, always the same
    """

    dim: int
    recipe: RaBitQ
    unit: float
    distortion: float

    @lazy
    def layout(self) -> ScalarCodes:
        """One segment of every dimension."""
        return ScalarCodes((Segment(self.dim, tuple(range(2 ** (self.recipe.bits - 1)))),))

    @property
    def ratio(self) -> str | None:
        """See FittedQuantizer."""
        return "ratio" if self.recipe.bits > 1 else None

    @property
    def columns(self) -> tuple[Column, ...]:
        """As of any scale, and a float16 error where the recipe keeps one."""
        error = (Column("error", np.dtype(np.float16)),) if self.recipe.error else ()
        return (*super().columns, *error)

    def encode(self, y: FloatArray) -> Encoded:
        """See FittedQuantizer."""
        norms, top = row_norms(y), 2 ** (self.recipe.bits - 1) - 1
        factors = divide(np.full(len(y), np.sqrt(self.dim) / self.unit, np.float32), norms)
        if self.recipe.search == "exact" and top:
            rescale.best_factors(np.ascontiguousarray(y), factors.copy(), top, factors)
        columns, sums = self.layout.encode_grid(y, np.zeros(len(y), np.float32), factors)
        dot, square, absolute = sums.T.astype(np.float64)
        squares = norms.astype(np.float64) ** 2
        scale = columns["scale"] = divide(squares, dot)
        if self.ratio:
            columns["ratio"] = sign_ratio(squares, absolute, scale)
        if self.recipe.error:
            beside = np.maximum(square - dot * divide(dot, squares), 0)  # |v|^2 off the row's line
            columns["error"] = (EPS0 * np.sqrt(beside / max(self.dim - 1, 1))).astype(np.float16)
        return Encoded(columns, self)

    def error_bounds(self, columns: Mapping[str, Array]) -> FloatArray:
        """How far estimates of <q, y> may be off, for |q| = 1, of rows coded with error=yes: (n,).

        Over rotations an error is normal but for O(1 / d), and EPS0 = 1.9 of its standard
        deviations hold it, either way, for 94 % of rows and queries at least: with a the cosine of
        a row and its levels, |y| * 1.9 * sqrt((1 / a^2 - 1) / (d - 1)). Scores err as much times
        the norm of what the rotated query stands for: |q|, under cosine 1, and 2 |q - centre|
        under l2.

        Raises SpecError where the recipe keeps no errors.
        """
        if not self.recipe.error:
            raise SpecError(f"{self.recipe.spec} keeps no error bounds; use error=yes.")
        bounds: FloatArray = columns["scale"].ravel() * columns["error"].ravel().astype(np.float32)
        return bounds

    def at(self, bits: int) -> FittedQuantizer:
        """See Nested."""
        if bits == self.recipe.bits:
            return self
        magnitudes = np.arange(2 ** (self.recipe.bits - 1), dtype=np.int8)
        thresholds = (magnitudes[1:] * self.unit).astype(np.float32)
        levels = Levels(
            self.recipe.bits, self.dim, magnitudes, self.unit, thresholds, self.distortion
        )
        return prefix(self, self.layout, [levels], bits)

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""
        return {"unit": np.array(self.unit), "distortion": np.array(self.distortion)}
