"""LeanVec: fewer dimensions, by two linear maps learned from rows and from queries.

Rows meet B and queries A, both (d, k), so that A B^T loses the least of inner products:

    minimise  E <q, (A B^T - I) x>^2,    C = E x x^T,  H = E q q^T

With C^1/2 and H^1/2 symmetric and U S V^T the k leading singular triples of H^1/2 C^1/2,

    A = C^1/2 V S^-1/2,    B = H^1/2 U S^-1/2

reach the minimum, the sum of the squares of the other singular values. Of all pairs with that
product these are the ones after which an isotropic error of the coded rows costs least, for
B^T C B = A^T H A = S. A^T B = I, and y A^T is the least-squares estimate of x from y = x B.

Without queries H = C is taken, and A = B are the k principal axes. A sample of few queries is
counted as if d more had been distributed like the rows.

Source: LeanVec, arXiv 2312.16335, eq. 9. The paper finds orthonormal A and B by Frank-Wolfe; the
closed form above has none of those bounds, and so less loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np

from vqindex.errors import CorruptFileError, ShapeError, SpecError
from vqindex.kernels.cpu import hadamard
from vqindex.layouts.base import Array, FloatArray
from vqindex.lazy import lazy
from vqindex.transforms.base import Number, check_spec, generator, rows, stored
from vqindex.transforms.dense_rotation import haar
from vqindex.transforms.moments import Matrix, moment, moment_of_queries


@final
@dataclass(frozen=True)
class LeanVec:
    """Recipe: reduce to `dims` dimensions, half of them if None.

    rotate   follow it by a random rotation, for what wants one; no leaves the axes in order,
             those that matter most first
    """

    dims: int | None = None
    rotate: bool = True

    name: ClassVar[str] = "LeanVec"
    options: ClassVar[tuple[str, ...]] = ("rotate",)
    sample_size: ClassVar[int] = 4096

    def __post_init__(self) -> None:
        if self.dims is not None and (type(self.dims) is not int or self.dims < 1):
            raise SpecError(f"LeanVec needs at least one dimension, got {self.dims!r}.")
        if type(self.rotate) is not bool:
            raise SpecError(f"rotate must be yes or no, got {self.rotate!r}.")

    @property
    def spec(self) -> str:
        """See Transform."""
        return f"{self.name}{self.dims or ''}" + ("" if self.rotate else "(rotate=no)")

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> Self:
        """The recipe of `LeanVec<k>` or `LeanVec`."""
        check_spec(cls, None, options)
        return cls(number, options.get("rotate", True))  # type: ignore[arg-type]

    def fit(
        self,
        sample: FloatArray | None,
        dim: int,
        seed: int,
        queries: FloatArray | None = None,
    ) -> "FittedLeanVec":
        """See Transform. Raises ShapeError if there are fewer than `dims` dimensions."""
        k = -(-dim // 2) if self.dims is None else self.dims
        if k > dim:
            raise ShapeError(f"{self.spec} needs vectors of at least {k} dimensions, got {dim}.")
        if sample is None:
            raise ValueError(f"{self.spec} is fitted from a sample, got none.")
        of_rows = of_queries = moment(sample)
        if queries is not None:
            of_queries = moment_of_queries(sample, queries)
        a, b = reduction(of_rows, of_queries, k)
        if self.rotate:
            rotation = haar(generator(self.name, seed), k)
            a, b = a @ rotation, b @ rotation
        return FittedLeanVec(a.astype(np.float32), b.astype(np.float32), self.rotate)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedLeanVec":
        """See Transform."""
        a, b = (stored(arrays, name, np.float32, 2) for name in ("queries", "rows"))
        if a.shape != b.shape or a.shape[0] != dim or a.shape[1] != (self.dims or a.shape[1]):
            raise CorruptFileError(
                f"{self.spec} of {dim} dimensions needs 'queries' and 'rows' of one shape "
                f"({dim}, {self.dims or 'k'}), got {a.shape} and {b.shape}."
            )
        return FittedLeanVec(a, b, self.rotate)


def reduction(of_rows: Matrix, of_queries: Matrix, k: int) -> tuple[Matrix, Matrix]:
    """The module's A and B, (d, k) each, from second moments (d, d)."""
    c, h = _root(of_rows), _root(of_queries)
    u, s, v = np.linalg.svd(h @ c)
    return c @ v[:k].T / np.sqrt(s[:k]), h @ u[:, :k] / np.sqrt(s[:k])


def _root(moment: Matrix) -> Matrix:
    values, vectors = np.linalg.eigh(moment)
    root: Matrix = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


@final
@dataclass(frozen=True, eq=False)
class FittedLeanVec:
    """Rows by B, queries by A; see the module."""

    queries: FloatArray  # A, (dim_in, dim_out)
    rows: FloatArray  # B
    isotropic: bool  # whether a random rotation is part of both
    weights: ClassVar[None] = None

    @property
    def step(self) -> None:
        """See FittedTransform."""
        return None

    @property
    def dim_in(self) -> int:
        """See FittedTransform."""
        return len(self.rows)

    @property
    def dim_out(self) -> int:
        """See FittedTransform."""
        return int(self.rows.shape[1])

    @lazy
    def _padded(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        a, b, back = (hadamard.pad(m[None]) for m in (self.queries, self.rows, self.queries.T))
        return a, b, back

    def apply(self, x: FloatArray) -> FloatArray:
        """See FittedTransform."""
        return _times(x, self._padded[1], self.dim_out)

    def apply_query(self, q: FloatArray) -> FloatArray:
        """See FittedTransform."""
        return _times(q, self._padded[0], self.dim_out)

    def inverse(self, y: FloatArray) -> FloatArray:
        """See FittedTransform; the least-squares estimate."""
        return _times(y, self._padded[2], self.dim_in)

    def arrays(self) -> dict[str, Array]:
        """`queries` and `rows`, (dim_in, dim_out) float32."""
        return {"queries": self.queries, "rows": self.rows}


def _times(x: FloatArray, padded: FloatArray, width: int) -> FloatArray:
    x = rows(x, padded.shape[1])
    out = np.empty((len(x), width), np.float32)
    hadamard.matmul(x, padded, out)
    return out
