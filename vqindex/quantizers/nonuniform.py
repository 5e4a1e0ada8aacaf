"""KVQuant's codes: levels of each coordinate's own, and the few entries they fit worst kept apart.

Levels are those of least square error on a sample, of which each coordinate's tails are left out
first. A row's outliers, the `outliers` share of its coordinates where levels err most, have what
levels leave kept in 8 bits beside the code, up to the largest of the sample's, so that it is the
sum of both that a row stands for; KVQuant keeps them whole in place of the code. In two respects a
score needs less than an activation: the squared gradient of <q, x> is q_j^2, equal for all values
of a coordinate, so that no Fisher weight moves a level; and Q-Norm is the row's `scale` here, as of
product quantization.

Coordinates are taken as they are. A rotation would make them alike and their tails short, and
what is learned of each of them worth nothing.

Source: Hooper et al., KVQuant, arXiv 2401.18079.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from vqindex.clustering import sample_rows
from vqindex.errors import CorruptFileError, ShapeError, SpecError
from vqindex.kernels.cpu import sparse
from vqindex.layouts.base import Array, FloatArray
from vqindex.layouts.joined import Joined
from vqindex.layouts.sparse import MOST, MOST_DIMS, SparseCodes
from vqindex.layouts.table import TableCodes
from vqindex.lazy import lazy
from vqindex.quantizers.options import (
    Centering,
    check_choice,
    check_share,
    check_yes_or_no,
    decimal,
    spelled,
)
from vqindex.quantizers.words import SCALES, Ruled, Scale
from vqindex.subspaces import Subspaces, split
from vqindex.transforms.base import Number, stored

BITS = (1, 2, 4, 8)
OUTLIERS = 0.01
MOST_OUTLIERS = 0.25  # of a row: beyond, more bits of all are worth more
STEPS = 127  # of an outlier
BINS = 256
ITERATIONS = 50


@final
@dataclass(frozen=True)
class NonUniform(Centering):
    """Recipe: `bits` (1, 2, 4 or 8) a coordinate.

    outliers  share of a row's coordinates that are kept apart, at 2 bytes each or, beyond 256
              dimensions, 3; rounded, but at least one where the share is not 0
    scale     "none", "unbiased" or "length", see Product; 4 bytes a row but for none
    center    take the mean of the first rows off all rows
    """

    bits: int
    outliers: float = OUTLIERS
    scale: Scale = "none"
    center: bool = True

    names: ClassVar[tuple[str, ...]] = ("NUQ",)
    options: ClassVar[tuple[str, ...]] = ("center", "outliers", "scale")
    rotation: ClassVar[str] = "None"
    sketchable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if type(self.bits) is not int or self.bits not in BITS:
            raise SpecError(f"NUQ takes 1, 2, 4 or 8 bits, got {self.bits!r}.")
        check_share(MOST_OUTLIERS, outliers=self.outliers)
        check_choice(SCALES, scale=self.scale)
        check_yes_or_no(center=self.center)

    @property
    def sample_size(self) -> int:
        """As many rows as k-means makes use of."""
        return sample_rows(1 << self.bits)

    @property
    def spec(self) -> str:
        """See Quantizer."""
        return spelled(
            f"NUQ{self.bits}", center=(self.center, True),
            outliers=(self.outliers, OUTLIERS), scale=(self.scale, "none"),
        )  # fmt: skip

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "NonUniform":
        """The recipe of `NUQ<b>` with options `center`, `outliers` and `scale`."""
        return cls(number, **decimal(options, "outliers"))  # type: ignore[arg-type]

    def _count(self, dim: int) -> int:
        """Outliers of a row."""
        count = max(1, round(self.outliers * dim)) if self.outliers else 0
        if count and (dim > MOST_DIMS or count > MOST):
            raise ShapeError(
                f"{self.spec} keeps up to {MOST} outliers of up to {MOST_DIMS:,} dimensions, "
                f"got {count} of {dim:,}: use outliers=0."
            )
        return count

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> "FittedNonUniform":
        """See Quantizer."""
        if sample is None:
            raise ValueError(f"{self.spec} learns its levels: it needs a sample, got None.")
        count, x = self._count(dim), sample[: self.sample_size]
        ordered = np.sort(x.astype(np.float64), axis=0)
        cut = int(len(x) * self.outliers / 2)
        levels = [best_levels(v, 1 << self.bits) for v in ordered[cut : len(x) - cut].T]
        plain = FittedNonUniform(dim, count, 0.0, self.scale, np.array(levels, np.float32), 0.0)
        if count:
            left = np.abs(plain.left(x)).max(initial=0)
            plain = replace(plain, unit=float(np.float32(left / STEPS)))
        return replace(plain, distortion=plain.distortion_of(x))

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedNonUniform":
        """See Quantizer."""
        levels = stored(arrays, "levels", np.float32, 2)
        unit = float(stored(arrays, "unit", np.float32, 0))
        distortion = float(stored(arrays, "distortion", np.float64, 0))
        want = dim, 1 << self.bits
        if levels.shape != want or (np.diff(levels) < 0).any():
            raise CorruptFileError(f"'levels' must ascend and have shape {want}.")
        if unit < 0:
            raise CorruptFileError(f"'unit' must be 0 or more, got {unit}.")
        if not 0 <= distortion < 1:
            raise CorruptFileError(f"'distortion' must be 0 or more and below 1, got {distortion}.")
        return FittedNonUniform(dim, self._count(dim), unit, self.scale, levels, distortion)


def best_levels(values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """`count` levels of small square error for sorted values (n,), ascending.

    Lloyd's method from levels as dense as the cube root of the values' density, which is best
    where they are many; from quantiles, equal values, as zeros are in many data, take levels that
    they never give back.
    """
    n = len(values)
    edges = np.linspace(values[0], values[-1], BINS + 1)
    mass = np.diff(np.searchsorted(values, edges[1:-1]), prepend=0, append=n)
    dense = np.append(0.0, np.cumsum(np.cbrt(mass)))
    levels = np.interp((np.arange(count) + 0.5) / count * dense[-1], dense, edges)
    sums = np.append(0.0, np.cumsum(values))
    for _ in range(ITERATIONS):
        cells = np.searchsorted(values, 0.5 * (levels[1:] + levels[:-1]))
        cells = np.concatenate([[0], cells, [n]])
        counts = np.diff(cells)
        means = np.divide(np.diff(sums[cells]), counts, out=levels.copy(), where=counts > 0)
        moved = np.abs(means - levels).max()
        levels = means
        if moved <= 1e-6 * (values[-1] - values[0]):
            break
    return np.sort(levels)


@final
@dataclass(frozen=True, eq=False)
class FittedNonUniform(Ruled):
    """Codes rows by levels of each coordinate and by outliers; see the module."""

    dim: int
    count: int  # of outliers
    unit: float  # a step of an outlier
    rule: Scale
    levels: FloatArray  # (dim, size), ascending
    distortion: float

    @lazy
    def _spaces(self) -> Subspaces:
        """As many coordinates as 4 bits have room for make a run; its words are all their levels.

        The first coordinate of a run is in the lowest bits.
        """
        size = self.levels.shape[1]
        bits = size.bit_length() - 1
        parts = -(-self.dim // max(4 // bits, 1))
        starts = split(self.dim, parts)
        words = np.zeros((parts, max(size, 16), -(-self.dim // parts)), np.float32)
        numbers = np.arange(words.shape[1])
        for i in range(words.shape[2]):
            have = np.flatnonzero(np.diff(starts) > i)
            words[have, :, i] = self.levels[starts[have] + i][:, numbers >> bits * i & size - 1]
        return Subspaces(starts, words)

    @lazy
    def _table(self) -> TableCodes:
        parts, size, _ = self._spaces.words.shape
        return TableCodes(parts, size.bit_length() - 1)

    @lazy
    def layout(self) -> TableCodes | Joined:
        """A code for each run, and the outliers."""
        if not self.count:
            return self._table
        return Joined((self._table, self._outliers))

    @property
    def _outliers(self) -> SparseCodes:
        return SparseCodes(self.dim, self.count)

    @property
    def squares(self) -> FloatArray | None:
        """As of a product quantizer; None where there are outliers too."""
        if self.count or self.rule != "none":
            return None
        return 2 * self._spaces.halves.reshape(-1)

    def left(self, y: FloatArray) -> FloatArray:
        """What levels leave of rows (n, dim)."""
        return y - self._spaces.decode(self._spaces.encode(y))

    def _pack(self, y: FloatArray) -> dict[str, Array]:
        codes = self._spaces.encode(y)
        columns = self._table.pack(codes.astype(np.uint8))
        if self.count:
            left = y - self._spaces.decode(codes)
            found = np.empty((len(y), self.count), np.int64)
            sparse.largest(left, found)
            sizes = np.take_along_axis(left, found, 1).astype(np.float64)
            steps = np.rint(sizes / self.unit) if self.unit else 0 * sizes
            columns |= self._outliers.pack(found, np.clip(steps, -STEPS, STEPS).astype(np.int8))
        return columns

    def _unscaled(self, columns: Mapping[str, Array]) -> FloatArray:
        rows = self._spaces.decode(self._table.unpack(columns))
        if self.count:
            rows += self._outliers.unpack(columns) * np.float32(self.unit)
        return rows

    def operand(self, y: FloatArray) -> FloatArray:
        """See FittedQuantizer: the tables, (nq, parts * size), and where there are outliers y."""
        tables = self._spaces.products(y).reshape(len(y), -1)
        if not self.count:
            return tables
        return np.concatenate([tables, y * np.float32(self.unit)], axis=1)

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""
        figures = {"unit": np.array(self.unit, np.float32), "distortion": np.array(self.distortion)}
        return {"levels": self.levels, **figures}
