"""PolarQuant: sixteen rotated dimensions as a radius and fifteen angles, 4 bits a dimension.

Pairs of entries have an angle uniform on the circle; pairs of their radii one in a quarter turn, of
density sin(2 a)^(2^s - 1) at step s = 1, 2, 3. Levels maximise the mean cosine of what an angle is
off by, for the cosine of a row and its code is the product of those of the four steps,

    m = E cos(a - level) over the steps,    distortion 1 - m^2 = .0318

For 3.875 bits a dimension that is more than three times what Lloyd-Max levels of 4 bits leave, and
more than PVQ leaves at 3: it is here to be compared with.

A row's scale makes inner products unbiased, as EDEN's does.

Source: PolarQuant, arXiv 2502.02617, with 16, 4, 4 and 4 levels and a float16 radius.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from vqindex.errors import CorruptFileError, SpecError
from vqindex.layouts.base import Array, FloatArray
from vqindex.layouts.polar import LEVELS, PolarCodes
from vqindex.lazy import lazy
from vqindex.quantizers.base import Encoded, divide, row_norms
from vqindex.quantizers.options import Centering, check_yes_or_no, spelled
from vqindex.quantizers.scaled import ScaledLevels
from vqindex.transforms.base import Number, stored

LARGEST = 4.0  # standard deviations of an entry that levels go up to
_GRID = 1 << 14


@final
@dataclass(frozen=True)
class Polar(Centering):
    """Recipe: 62 bits for 16 dimensions, in 64.

    center   take the mean of the first rows off all rows
    """

    center: bool = True

    names: ClassVar[tuple[str, ...]] = ("Polar",)
    options: ClassVar[tuple[str, ...]] = ("center",)
    rotation: ClassVar[str] = "Hadamard"
    sketchable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_yes_or_no(center=self.center)

    @property
    def spec(self) -> str:
        """See Quantizer."""
        return spelled("Polar", center=(self.center, True))

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "Polar":
        """The recipe of `Polar`."""
        if number is not None:
            raise SpecError(f"{name} takes no number, got {name} and {number}.")
        return cls(**options)  # type: ignore[arg-type]

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> "FittedPolar":
        """See Quantizer; nothing is learned."""
        steps, cosine = angle_levels()
        return FittedPolar(dim, np.concatenate(steps), 1 - cosine**2)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedPolar":
        """See Quantizer. Angles are read, not computed, so that a file means the same ever."""
        angles = stored(arrays, "angles", np.float64, 1)
        distortion = float(stored(arrays, "distortion", np.float64, 0))
        if angles.shape != (LEVELS,) or (np.abs(angles) > 7).any() or not 0 <= distortion < 1:
            raise CorruptFileError(
                f"{self.spec} needs {LEVELS} 'angles' in radians and a distortion from 0 to 1, "
                f"got {angles.shape} and {distortion}."
            )
        return FittedPolar(dim, angles, distortion)


@lru_cache(maxsize=1)
def angle_levels() -> tuple[list[npt.NDArray[np.float64]], float]:
    """The levels of each step, in radians, and the mean cosine of a row and its code."""
    circle = np.arange(0.5, 16, dtype=np.float64) * (math.tau / 16)
    half = math.pi / 16
    levels = [circle]
    cosine = math.sin(half) / half
    angles = (np.arange(_GRID) + 0.5) * (math.pi / 2 / _GRID)
    for step in (1, 2, 3):
        mass = np.sin(2 * angles) ** (2**step - 1)
        own: npt.NDArray[np.float64] = (np.arange(4) + 0.5) * math.pi / 8
        for _ in range(200):
            cell = np.searchsorted((own[1:] + own[:-1]) / 2, angles)
            across, along = (np.bincount(cell, mass * f(angles), 4) for f in (np.sin, np.cos))
            own = np.arctan2(across, along).astype(np.float64)
        levels.append(own)
        cosine *= float(np.hypot(across, along).sum() / mass.sum())
    return levels, cosine


@final
@dataclass(frozen=True, eq=False)
class FittedPolar(ScaledLevels):
    """Codes rows by angles; see the module."""

    dim: int
    angles: npt.NDArray[np.float64]
    distortion: float

    @lazy
    def layout(self) -> PolarCodes:
        """Words of angles."""
        return PolarCodes(self.dim, tuple(self.angles.tolist()))

    def encode(self, y: FloatArray) -> Encoded:
        """See FittedQuantizer."""
        norms = row_norms(y)
        length = np.float32(self.dim**0.5 / min(LARGEST, self.dim**0.5) * 127.5)  # in grid steps
        z = np.ascontiguousarray(y) * divide(np.full(len(y), length), norms)[:, None]
        columns = self.layout.encode(z)
        dots = (z * self.layout.levels(columns)).sum(axis=1, dtype=np.float64)
        columns["scale"] = divide(norms.astype(np.float64) * float(length), dots)
        return Encoded(columns, self)

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""
        return {"angles": self.angles, "distortion": np.array(self.distortion)}
