"""What a transform is: a recipe, and the fitted linear map that it makes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np

from vqindex.errors import CorruptFileError, DtypeError, ShapeError, SpecError
from vqindex.kernels.cpu.step import Step
from vqindex.layouts.base import Array, FloatArray

Number = int | float | tuple[int, ...] | None  # after a name in factory strings: 4, 2.5, 96x4


class FittedTransform(Protocol):
    """A linear map of rows; frozen. A row comes out the same, bit for bit, alone or in a batch."""

    @property
    def isotropic(self) -> bool:
        """Whether every coordinate comes out as good as random, so that signs bound a score."""
        ...

    @property
    def dim_in(self) -> int:
        """Dimensions of a vector."""
        ...

    @property
    def dim_out(self) -> int:
        """Dimensions of what `apply` returns."""
        ...

    @property
    def weights(self) -> FloatArray | None:
        """(dim_out,): what the square of each coordinate adds to a row's square norm.

        None where that is one, and where the square norm is not such a sum.
        """
        ...

    def apply(self, x: FloatArray) -> FloatArray:
        """Rows (n, dim_in) float32 to (n, dim_out); may be x itself, which is never changed."""
        ...

    @property
    def step(self) -> Step | None:
        """`apply_query` for kernels that take one query at a time; None where it is no one step."""
        ...

    def apply_query(self, q: FloatArray) -> FloatArray:
        """Queries (nq, dim_in), so that <apply_query(q), apply(x)> stands for <q, x>."""
        ...

    def inverse(self, y: FloatArray) -> FloatArray:
        """Rows (n, dim_out) float32 back to (n, dim_in)."""
        ...

    def arrays(self) -> dict[str, Array]:
        """What a file must hold to make this again beside the recipe."""
        ...


class Transform(Protocol):
    """A recipe: frozen, small, made from a factory string and written back to one."""

    name: ClassVar[str]  # in factory strings
    options: ClassVar[tuple[str, ...]]  # in factory strings, in brackets

    @property
    def sample_size(self) -> int:
        """Rows wanted for fitting; 0 when nothing is learned from data."""
        ...

    @property
    def spec(self) -> str:
        """The factory string."""
        ...

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> Self:
        """The recipe of a factory string taken apart; SpecError."""
        ...

    def fit(
        self,
        sample: FloatArray | None,
        dim: int,
        seed: int,
        queries: FloatArray | None = None,
    ) -> FittedTransform:
        """The transform of `dim` dimensions.

        sample    (n, dim) float32, centred; None where none is wanted
        queries   (nq, dim) float32 as `apply_query` will see them, None where none are known
        """
        ...

    def restore(self, arrays: Mapping[str, Array], dim: int) -> FittedTransform:
        """The fitted transform whose `arrays()` these are; CorruptFileError."""
        ...


@dataclass(frozen=True, eq=False)
class Orthogonal(ABC):
    """What square maps that keep inner products have in common."""

    dim: int
    weights: ClassVar[None] = None

    @property
    def step(self) -> Step | None:
        """See FittedTransform."""
        return None

    @property
    def isotropic(self) -> bool:
        """See FittedTransform."""
        return True

    @property
    def dim_in(self) -> int:
        """See FittedTransform."""
        return self.dim

    @property
    def dim_out(self) -> int:
        """See FittedTransform."""
        return self.dim

    @abstractmethod
    def apply(self, x: FloatArray) -> FloatArray:
        """See FittedTransform."""

    def apply_query(self, q: FloatArray) -> FloatArray:
        """See FittedTransform; the same map."""
        return self.apply(q)


def generator(name: str, seed: int) -> np.random.Generator:
    """Random numbers of one transform: PCG64 seeded by (seed, the UTF-8 bytes of its name).

    Never the stream of default_rng(seed): the caller's own vectors may have been drawn from it,
    and a rotation made of the very numbers it is to rotate is not random to them.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *name.encode()])))


def rows(x: FloatArray, dim: int) -> FloatArray:
    """x as kernels read it, copied only where it is strided, unaligned or read-only.

    Raises ShapeError unless x has shape (n, dim), DtypeError unless it is float32.
    """
    if x.ndim != 2 or x.shape[1] != dim:
        raise ShapeError(f"this transform takes rows of shape (n, {dim}), got {x.shape}.")
    if x.dtype != np.float32:
        raise DtypeError(f"a transform takes float32, got {x.dtype}: convert with x.astype.")
    return x if x.flags.carray else x.copy()


def stored(arrays: Mapping[str, Array], name: str, dtype: type[np.generic], ndim: int) -> Array:
    """One array of a file, checked; CorruptFileError."""
    array = arrays.get(name)
    if array is None or array.dtype != dtype or array.ndim != ndim:
        got = "none" if array is None else f"{array.dtype} of shape {array.shape}"
        raise CorruptFileError(
            f"a transform needs an array {name!r} of {dtype.__name__} and {ndim} axes, got {got}."
        )
    if not np.isfinite(array).all():
        raise CorruptFileError(f"a transform's array {name!r} must be finite.")
    return array


def check_spec(kind: type[Transform], number: Number, options: Mapping[str, object]) -> None:
    """Refuse a number after the name, and options that `kind` does not have; SpecError."""
    if number is not None:
        raise SpecError(f"{kind.name} takes no number, got {kind.name} and {number}.")
    for option in options:
        if option not in kind.options:
            known = ", ".join(kind.options) or "none"
            raise SpecError(f"{kind.name} has no option {option!r}; it has {known}.")
