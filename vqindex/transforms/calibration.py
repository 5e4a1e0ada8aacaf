"""Calibration: each coordinate of a rotation scaled to the same spread over a sample.

    y = s * (R x) of rows,   y = (R q) / s of queries,   s = 1 / root mean square

so that levels made for one law fit every coordinate, where rotation alone leaves some of them
wider than others. Inner products stay as they are. A shift of each coordinate as well is what
centring does, before the rotation, where a codec centres; spreads are about zero, as codes are.

Coded so, a row's error is orthogonal to it when coordinates are weighed by 1 / s^2, which is what
`weights` are for: else queries near a row would meet an error of its own direction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self, final

import numpy as np

from vqindex.errors import CorruptFileError, SpecError
from vqindex.layouts.base import Array, FloatArray
from vqindex.lazy import lazy
from vqindex.transforms.base import FittedTransform, Number, Transform, check_spec, rows, stored
from vqindex.transforms.dense_rotation import DenseRotation
from vqindex.transforms.hadamard_rotation import HadamardRotation
from vqindex.transforms.identity import Identity

_ROTATIONS: dict[str, Transform] = {
    kind.name: kind() for kind in (HadamardRotation, DenseRotation, Identity)
}
_NARROWEST = 0.01  # of the mean spread: what narrower coordinates are taken to have


@final
@dataclass(frozen=True)
class Calibration:
    """Recipe: a rotation that learns nothing, each coordinate of it scaled."""

    rotation: Transform = field(default_factory=HadamardRotation)

    name: ClassVar[str] = "Calibrated"
    options: ClassVar[tuple[str, ...]] = ("rotation",)
    sample_size: ClassVar[int] = 1024

    def __post_init__(self) -> None:
        if self.rotation not in _ROTATIONS.values():
            known = ", ".join(_ROTATIONS)
            raise SpecError(f"rotation must be {known}, without options, got {self.rotation!r}.")

    @property
    def spec(self) -> str:
        """See Transform."""
        name = self.rotation.name
        return self.name if name == "Hadamard" else f"{self.name}(rotation={name})"

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> Self:
        """See Transform."""
        check_spec(cls, number, options)
        rotation = str(options.get("rotation", "Hadamard"))
        if rotation not in _ROTATIONS:
            raise SpecError(f"rotation must be {', '.join(_ROTATIONS)}, got {rotation!r}.")
        return cls(_ROTATIONS[rotation])

    def fit(
        self,
        sample: FloatArray | None,
        dim: int,
        seed: int,
        queries: FloatArray | None = None,
    ) -> "FittedCalibration":
        """See Transform."""
        if sample is None:
            raise ValueError(f"{self.spec} is fitted from a sample, got none.")
        rotation = self.rotation.fit(None, dim, seed)
        spread = np.sqrt((rotation.apply(sample).astype(np.float64) ** 2).mean(axis=0))
        mean = spread.mean()
        spread = np.maximum(spread / mean, _NARROWEST) if mean > 0 else np.ones(dim)
        return FittedCalibration(rotation, (1 / spread).astype(np.float32))

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedCalibration":
        """See Transform."""
        scale = stored(arrays, "scale", np.float32, 1)
        if scale.shape != (dim,) or (scale <= 0).any():
            raise CorruptFileError(f"'scale' must be {dim} numbers > 0, got {scale.shape}.")
        return FittedCalibration(self.rotation.restore(arrays, dim), scale)


@final
@dataclass(frozen=True, eq=False)
class FittedCalibration:
    """A rotation and (dim,) what its coordinates are multiplied by; see the module."""

    rotation: FittedTransform
    scale: FloatArray

    @property
    def isotropic(self) -> bool:
        """See FittedTransform."""
        return self.rotation.isotropic

    @property
    def step(self) -> None:
        """See FittedTransform."""
        return None

    @property
    def dim_in(self) -> int:
        """See FittedTransform."""
        return len(self.scale)

    @property
    def dim_out(self) -> int:
        """See FittedTransform."""
        return len(self.scale)

    @lazy
    def weights(self) -> FloatArray:
        """See FittedTransform."""
        return np.float32(1) / (self.scale * self.scale)

    def apply(self, x: FloatArray) -> FloatArray:
        """See FittedTransform."""
        return self.rotation.apply(x) * self.scale

    def apply_query(self, q: FloatArray) -> FloatArray:
        """See FittedTransform."""
        return self.rotation.apply_query(q) / self.scale

    def inverse(self, y: FloatArray) -> FloatArray:
        """See FittedTransform."""
        return self.rotation.inverse(rows(y, self.dim_out) / self.scale)

    def arrays(self) -> dict[str, Array]:
        """Those of the rotation, and `scale` (dim,) float32."""
        return {**self.rotation.arrays(), "scale": self.scale}
