"""Haar-random rotations: exactly uniform over all rotations and reflections, O(d^2) a row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np
import numpy.typing as npt

from vqindex.errors import CorruptFileError
from vqindex.kernels.cpu import hadamard
from vqindex.kernels.cpu.step import MATRIX, Step
from vqindex.layouts.base import Array, FloatArray
from vqindex.lazy import lazy
from vqindex.memory import address
from vqindex.transforms.base import Number, Orthogonal, check_spec, generator, rows, stored


def haar(rng: np.random.Generator, d: int) -> npt.NDArray[np.float64]:
    """A Haar-random orthogonal matrix (d, d).

    Q of a Gaussian matrix, its columns signed as the diagonal of R, without which Q depends on
    LAPACK's choice of signs and is not uniform.
    Source: Mezzadri, How to generate random matrices from the classical compact groups, 2007.
    """
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    signed: npt.NDArray[np.float64] = q * np.copysign(1, np.diag(r))
    return signed


@final
@dataclass(frozen=True)
class DenseRotation:
    """Recipe: a Haar-random orthogonal matrix, d^2 numbers and d^2 products a row."""

    name: ClassVar[str] = "Haar"
    options: ClassVar[tuple[str, ...]] = ()
    sample_size: ClassVar[int] = 0

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
        self,
        sample: FloatArray | None,
        dim: int,
        seed: int,
        queries: FloatArray | None = None,
    ) -> "FittedDenseRotation":
        """See Transform; nothing is learned."""
        matrix = haar(generator(self.name, seed), dim).astype(np.float32)
        return FittedDenseRotation(dim, matrix)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedDenseRotation":
        """See Transform."""
        return FittedDenseRotation.from_arrays(arrays, dim)


@final
@dataclass(frozen=True, eq=False)
class FittedDenseRotation(Orthogonal):
    """y = x @ matrix, and x = y @ matrix.T."""

    matrix: FloatArray  # (dim, dim)
    isotropic: bool = True

    @lazy
    def _forward(self) -> FloatArray:
        return hadamard.pad(self.matrix[None])

    @lazy
    def _backward(self) -> FloatArray:
        return hadamard.pad(self.matrix.T[None])

    @property
    def step(self) -> Step:
        """See FittedTransform."""
        matrix = self._forward
        return Step(MATRIX, bytes=4 * matrix.shape[2], numbers=address(matrix))

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
        """`matrix` (dim, dim) float32."""
        return {"matrix": self.matrix}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], dim: int) -> Self:
        """See FittedTransform. Any square matrix will do; `inverse` is then its transpose."""
        matrix = stored(arrays, "matrix", np.float32, 2)
        if matrix.shape != (dim, dim):
            raise CorruptFileError(f"'matrix' must have shape {(dim, dim)}, got {matrix.shape}.")
        return cls(dim, matrix)
