"""Principal axes: directions of a sample ordered by how much its rows vary along them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self, final

import numpy as np
import numpy.typing as npt

from vqindex.errors import SpecError
from vqindex.layouts.base import Array, FloatArray
from vqindex.transforms.base import Number, check_spec
from vqindex.transforms.dense_rotation import FittedDenseRotation

_ROWS = 4096  # of a sample multiplied at a time, so that float32 products are summed in float64


def principal_axes(sample: FloatArray) -> npt.NDArray[np.float64]:
    """Orthonormal columns (d, d), the direction of most second moment first.

    Of a column's entries the largest in size is positive, so that signs are no accident of LAPACK.

    sample   (n, d) float32, centred where a mean is not to count
    """
    d = sample.shape[1]
    moment = np.zeros((d, d))
    for start in range(0, len(sample), _ROWS):
        part = sample[start : start + _ROWS]
        moment += part.T @ part
    _, vectors = np.linalg.eigh(moment)
    axes: npt.NDArray[np.float64] = vectors[:, ::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return axes * np.copysign(1, largest)


@final
@dataclass(frozen=True)
class PrincipalAxes:
    """Recipe: the principal axes of a sample, d^2 numbers and d^2 products a row."""

    name: ClassVar[str] = "PCA"
    options: ClassVar[tuple[str, ...]] = ()
    sample_size: ClassVar[int] = 16_384

    @property
    def spec(self) -> str:
        """See Transform."""
        return self.name

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> Self:
        """See Transform."""
        check_spec(cls, number, options)
        return cls()

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> FittedDenseRotation:
        """See Transform; SpecError without a sample. Coordinates differ as much as they can."""
        if sample is None:
            raise SpecError("PCA learns its axes from rows: it needs a sample.")
        axes = principal_axes(sample).astype(np.float32)
        return FittedDenseRotation(dim, axes, isotropic=False)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> FittedDenseRotation:
        """See Transform."""
        return replace(FittedDenseRotation.from_arrays(arrays, dim), isotropic=False)
