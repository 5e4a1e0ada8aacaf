"""Principal axes: directions of a sample ordered by how much its rows vary along them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np
import numpy.typing as npt

from vqindex.errors import CorruptFileError, SpecError
from vqindex.kernels.cpu import hadamard
from vqindex.layouts.base import Array, FloatArray
from vqindex.lazy import lazy
from vqindex.transforms.base import Number, Orthogonal, check_spec, rows, stored

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
    ) -> "FittedPrincipalAxes":
        """See Transform; SpecError without a sample."""
        if sample is None:
            raise SpecError("PCA learns its axes from rows: it needs a sample.")
        return FittedPrincipalAxes(dim, principal_axes(sample).astype(np.float32))

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedPrincipalAxes":
        """See Transform."""
        return FittedPrincipalAxes.from_arrays(arrays, dim)


@final
@dataclass(frozen=True, eq=False)
class FittedPrincipalAxes(Orthogonal):
    """y = x @ axes, and x = y @ axes.T."""

    axes: FloatArray  # (dim, dim)

    @property
    def isotropic(self) -> bool:
        """See FittedTransform; coordinates differ as much as they can."""
        return False

    @lazy
    def _forward(self) -> FloatArray:
        return hadamard.pad(self.axes[None])

    @lazy
    def _backward(self) -> FloatArray:
        return hadamard.pad(self.axes.T[None])

    def apply(self, x: FloatArray) -> FloatArray:
        """See FittedTransform."""
        return self._times(x, self._forward)

    def inverse(self, y: FloatArray) -> FloatArray:
        """See FittedTransform; by the transpose."""
        return self._times(y, self._backward)

    def _times(self, x: FloatArray, padded: FloatArray) -> FloatArray:
        x = rows(x, self.dim)
        out = np.empty_like(x)
        hadamard.matmul(x, padded, out)
        return out

    def arrays(self) -> dict[str, Array]:
        """`axes` (dim, dim) float32."""
        return {"axes": self.axes}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], dim: int) -> Self:
        """See FittedTransform."""
        axes = stored(arrays, "axes", np.float32, 2)
        if axes.shape != (dim, dim):
            raise CorruptFileError(f"'axes' must have shape {(dim, dim)}, got {axes.shape}.")
        return cls(dim, axes)
