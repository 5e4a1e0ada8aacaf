"""Pyramid vector quantization: directions of 64 dimensions by integer pulses, norms by gains.

A rotated row is cut into groups of 64. A group x is coded as a point y of integers of about its
direction, sum |y_j| = k, and as one of 8 gains for its norm; it stands for gain * y / |y|. Points
are numbered, which uses up the whole of 64, 128, 192 or 256 bits, as entropy coding would. The
distortion of Gaussian rows, and that of Lloyd-Max levels of as many bits less 3/64:

    bits a dimension   1.047    2.047    3.047    4.047
    PVQ                .363     .0940    .0230    .00583
    EDEN               .363     .1175    .0345    .00951

In return a row has to be decoded to be scored, some microseconds each time: for storage and for
reranking.

The square norm of a group of n out of d rotated dimensions is d times Beta(n/2, (d - n)/2); gains
are the Lloyd-Max levels of its root. A row's scale makes inner products unbiased, as EDEN's does.

Source: Fischer, A pyramid vector quantizer, 1986; PVQ for LLMs, arXiv 2410.16926.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from vqindex.errors import CorruptFileError, SpecError
from vqindex.kernels.cpu.pyramid import WIDEST
from vqindex.layouts.base import Array, FloatArray
from vqindex.layouts.pyramid import GAINS, MOST_BITS, PyramidCodes
from vqindex.lazy import lazy
from vqindex.quantizers.base import Encoded, divide, row_norms
from vqindex.quantizers.options import Centering, check_yes_or_no, spelled
from vqindex.quantizers.scaled import ScaledLevels
from vqindex.transforms.base import Number, stored

LARGEST = 4.0  # standard deviations of an entry that levels go up to
_SAMPLE = 1 << 16  # Gaussian entries that distortion is measured with
_GRID = 4096


@final
@dataclass(frozen=True)
class Pyramid(Centering):
    """Recipe: `bits` (1 to 4) a dimension, and 3/64 more for gains.

    center   take the mean of the first rows off all rows
    """

    bits: int = 4
    center: bool = True

    names: ClassVar[tuple[str, ...]] = ("PVQ",)
    options: ClassVar[tuple[str, ...]] = ("center",)
    rotation: ClassVar[str] = "Hadamard"
    sketchable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if type(self.bits) is not int or not 1 <= self.bits <= MOST_BITS:
            raise SpecError(f"bits must be 1 to {MOST_BITS}, got {self.bits!r}.")
        check_yes_or_no(center=self.center)

    @property
    def spec(self) -> str:
        """See Quantizer."""
        return spelled(f"PVQ{self.bits}", center=(self.center, True))

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "Pyramid":
        """The recipe of `PVQ<b>`."""
        if number is None:
            raise SpecError(f"{name} needs its bits, such as {name}4.")
        return cls(number, **options)  # type: ignore[arg-type]

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> "FittedPyramid":
        """See Quantizer; the gains depend on nothing but the dimension."""
        return _fitted(self.bits, dim)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedPyramid":
        """See Quantizer. Gains are read, not computed, so that a file means the same ever."""
        gains, edges = (stored(arrays, name, np.float32, 2) for name in ("gains", "edges"))
        distortion = float(stored(arrays, "distortion", np.float64, 0))
        if (
            gains.shape != (2, GAINS)
            or edges.shape != (2, GAINS - 1)
            or (gains < 0).any()
            or (gains > 1e6).any()
            or not 0 <= distortion < 1
        ):
            raise CorruptFileError(
                f"{self.spec} needs 'gains' (2, {GAINS}) from 0 to 1e6, 'edges' (2, {GAINS - 1}) "
                f"and a distortion from 0 to 1, got {gains.shape}, {edges.shape}, {distortion}."
            )
        return FittedPyramid(dim, self.bits, gains, edges, distortion)


@lru_cache(maxsize=64)
def _fitted(bits: int, dim: int) -> "FittedPyramid":
    unit = min(LARGEST, dim**0.5) / 127.5
    laws = [gain_levels(size, dim) for size in (min(WIDEST, dim), dim % WIDEST or dim)]
    gains, edges = (np.array(part, np.float32) for part in zip(*laws, strict=True))
    made = FittedPyramid(dim, bits, gains / np.float32(unit), edges, 0.0)
    x = np.random.default_rng(0).standard_normal((-(-_SAMPLE // dim), dim)).astype(np.float32)
    z = x * divide(np.full(len(x), dim**0.5), row_norms(x))[:, None]
    columns, dots = made.layout.encode(z)
    squares = (made.layout.levels(columns).astype(np.float64) ** 2).sum(axis=1)
    distortion = max(0.0, float((1 - dots**2 / (squares * dim)).mean()))
    return FittedPyramid(dim, bits, made.gains, edges, distortion)


def gain_levels(n: int, d: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The 8 levels of least square error, and the 7 edges, for the norm of n of d entries.

    Entries of a uniformly random vector of norm sqrt(d), whose norm is sqrt(d) where n is d.
    """
    if n == d:
        return np.full(GAINS, d**0.5), np.full(GAINS - 1, d**0.5)
    middle, reach = math.asin((n / d) ** 0.5), 12 / (2 * d + 4) ** 0.5
    low, high = max(0.0, middle - reach), min(math.pi / 2, middle + reach)
    angles = low + (high - low) * (np.arange(_GRID) + 0.5) / _GRID
    log = (n - 1) * np.log(np.sin(angles)) + (d - n - 1) * np.log(np.cos(angles))
    mass = np.exp(log - log.max())
    norms = d**0.5 * np.sin(angles)
    below = np.cumsum(mass) / mass.sum()
    levels = np.interp((np.arange(GAINS) + 0.5) / GAINS, below, norms)
    for _ in range(300):
        cell = np.searchsorted((levels[1:] + levels[:-1]) / 2, norms)
        weight = np.bincount(cell, mass, GAINS)
        levels = np.bincount(cell, mass * norms, GAINS) / weight
    return levels, (levels[1:] + levels[:-1]) / 2


@final
@dataclass(frozen=True, eq=False)
class FittedPyramid(ScaledLevels):
    """Codes rows by pulses and gains; see the module.

    gains, edges   of a whole group and of a shorter last one, see layouts.pyramid; (2, 8), (2, 7)
    """

    dim: int
    bits: int
    gains: FloatArray
    edges: FloatArray
    distortion: float

    @lazy
    def layout(self) -> PyramidCodes:
        """Numbered points, and gains."""
        gains, edges = (tuple(map(tuple, a.tolist())) for a in (self.gains, self.edges))
        return PyramidCodes(self.dim, self.bits, gains, edges)

    def encode(self, y: FloatArray) -> Encoded:
        """See FittedQuantizer."""
        norms = row_norms(y)
        root = np.float32(np.sqrt(self.dim))
        factor = divide(np.full(len(y), root), norms)
        columns, dots = self.layout.encode(y * factor[:, None])
        columns["scale"] = divide(norms.astype(np.float64) * float(root), dots)
        return Encoded(columns, self)

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""
        return {
            "gains": self.gains,
            "edges": self.edges,
            "distortion": np.array(self.distortion),
        }
