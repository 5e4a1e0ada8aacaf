"""What a quantizer is: a recipe, and the fitted part it makes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import encode
from vqindex.kernels.cpu.step import Gains, Tables
from vqindex.layouts.base import Array, Column, FloatArray, Layout
from vqindex.transforms.base import Number


@dataclass(frozen=True)
class Encoded:
    """Rows as a quantizer coded them.

    columns   entries of each column by name
    part      what coded them
    rounded   whether l2 is the distance of `approximation`, and not an estimate of the row's own
    """

    columns: dict[str, Array]
    part: "FittedQuantizer"
    rounded: bool = False

    @property
    def approximation(self) -> FloatArray:
        """What the scores stand for, (n, d) float32: score(q) ~ <q, approximation>."""
        return self.part.expand(self.columns)


class FittedQuantizer(Protocol):
    """Codes vectors, already centred and rotated; frozen. A residual sketch is one as well."""

    @property
    def layout(self) -> Layout:
        """How the codes lie."""
        ...

    @property
    def columns(self) -> tuple[Column, ...]:
        """The layout's columns and the factors'."""
        ...

    @property
    def scale(self) -> str | None:
        """The column that multiplies the layout's raw sums, or None."""
        ...

    @property
    def ratio(self) -> str | None:
        """The column by which the scale is multiplied for signs alone, or None."""
        ...

    def encode(self, y: FloatArray) -> Encoded:
        """Code rows (n, d) float32."""
        ...

    @property
    def distortion(self) -> float:
        """Expected square error of the least-error reconstruction, over the row's square norm."""
        ...

    @property
    def shrink(self) -> float:
        """What makes of `expand` the least-error reconstruction."""
        ...

    def expand(self, columns: Mapping[str, Array]) -> FloatArray:
        """What the scores of coded rows stand for, (n, d) float32, as Encoded.approximation."""
        ...

    def operand(self, y: FloatArray) -> FloatArray:
        """Query entries (nq, layout dims) that meet the codes, from rotated queries (nq, d)."""
        ...

    def arrays(self) -> dict[str, Array]:
        """What a file must hold to make this again beside the recipe."""
        ...


@runtime_checkable
class Summed(Protocol):
    """A fitted quantizer whose rows' square norms are sums of what their codes look up."""

    @property
    def squares(self) -> FloatArray | None:
        """What each entry of the operand's tables adds to |expand|^2; None under a scale."""
        ...


@runtime_checkable
class Nested(Protocol):
    """A fitted quantizer whose codes can be read by their first bits alone.

    Its recipe has `prefix_bits`, an int: as many bits as can be read so, or all of them.
    """

    def at(self, bits: int) -> FittedQuantizer:
        """What reads the first `bits` bits of the same columns, 1 to its recipe's prefix_bits."""
        ...


@runtime_checkable
class Uneven(Protocol):
    """A fitted quantizer whose coordinates are unlike each other, and their signs too."""

    @property
    def sign_errors(self) -> FloatArray | None:
        """How an estimate from signs errs in each coordinate, (d,) float32, or None: too much.

        The root mean square over scale * ratio; signs are those of the layout's first segment.
        """
        ...


@runtime_checkable
class Told(Protocol):
    """A fitted quantizer that tells a kernel what to make of one query, once it is transformed."""

    def told(self, squares: FloatArray | None) -> tuple[Tables, Gains]:
        """Tables, less `squares` if any, or entries."""
        ...


@runtime_checkable
class Selective(Protocol):
    """A recipe that serves some metrics only."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those it serves."""
        ...


class Quantizer(Protocol):
    """A recipe: frozen, small, made from a factory string and written back to one."""

    names: ClassVar[tuple[str, ...]]  # in factory strings, before the bits
    options: ClassVar[tuple[str, ...]]  # in factory strings, in brackets

    @property
    def rotation(self) -> str:
        """The transform used unless another is named."""
        ...

    @property
    def centered(self) -> bool:
        """Whether the mean of a sample is taken off the rows first."""
        ...

    @property
    def sketchable(self) -> bool:
        """Whether a residual sketch may follow: not after float rows, whose queries stay float."""
        ...

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
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> FittedQuantizer:
        """The fitted quantizer for `dim` dimensions.

        sample    (n, dim) centred and rotated; None where none is wanted
        queries   (nq, dim) float32 as `operand` will see them, None where none are known
        """
        ...

    def restore(self, arrays: Mapping[str, Array], dim: int) -> FittedQuantizer:
        """The fitted quantizer whose `arrays()` these are."""
        ...


def square_norms(y: FloatArray) -> FloatArray:
    """Sum of squares of each row, (n,) float32, in a fixed order."""
    out, y = np.empty(len(y), np.float32), np.ascontiguousarray(y)
    encode.square_norms(y, 0, y.shape[1], out)
    return out


def inner_products(x: FloatArray, y: FloatArray) -> FloatArray:
    """Inner product of each row of x with that of y, (n,) float32, in a fixed order."""
    out = np.empty(len(x), np.float32)
    encode.inner_products(np.ascontiguousarray(x), np.ascontiguousarray(y), out)
    return out


def row_norms(y: FloatArray) -> FloatArray:
    """Euclidean norm of each row, (n,) float32, in a fixed order."""
    return np.sqrt(square_norms(y))


def sign_ratio(squares: Array, sizes: Array, scale: Array) -> npt.NDArray[np.float16]:
    """The scale at which signs, standing for +-1/2, are unbiased, 2 |y|^2 / sum |y|, over a scale.

    squares, sizes, scale   (n,): |y|^2, sum |y| and the scale of each row; where that is 0, 0
    """
    ratio = divide(divide(2 * squares, sizes), scale)
    return np.minimum(ratio, np.finfo(np.float16).max).astype(np.float16)  # d > 1e5, one entry


def divide(x: npt.NDArray[Any], by: npt.NDArray[Any]) -> FloatArray:
    """x / by as float32, zero where `by` is zero."""
    out = np.zeros(np.broadcast(x, by).shape, np.result_type(x, by))
    np.divide(x, by, out=out, where=by != 0)
    return out.astype(np.float32, copy=False)
