"""What product and residual quantizers have in common: a row stands for words of codebooks.

Times one of
    none       1: no further byte a row
    unbiased   |r|^2 / <r, u>       inner products with the row itself are exact
    length     |r| / |u|            the reconstruction is as long as the row
Words are those of least square error or, weighting=queries, of least error of inner products with
queries like those it was fitted to; see weighting.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from vqindex.clustering import sample_rows
from vqindex.errors import CorruptFileError, SpecError
from vqindex.kernels.cpu import encode
from vqindex.kernels.cpu.program import UNBOUND
from vqindex.kernels.cpu.step import Gains, Tables
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.layouts.table import TableCodes
from vqindex.lazy import lazy
from vqindex.memory import address
from vqindex.quantizers.base import Encoded, divide, row_norms, square_norms
from vqindex.quantizers.options import Centering, check_choice, check_yes_or_no
from vqindex.quantizers.weighting import Weighting
from vqindex.subspaces import Subspaces
from vqindex.transforms.base import Number, stored

Scale = Literal["none", "unbiased", "length"]
SCALES: tuple[Scale, ...] = ("none", "unbiased", "length")
Weights = Literal["none", "queries"]
WEIGHTS: tuple[Weights, ...] = ("none", "queries")


def codes_of(name: str, number: Number) -> tuple[int, int]:
    """How many codes of how many bits `name` and its number say; SpecError."""
    if not isinstance(number, tuple) or len(number) != 2:
        raise SpecError(f"{name} needs its codes and their bits, such as {name}48x4.")
    return number


class WordQuantizer(Centering):
    """A recipe of `parts` codes of `bits` (4 or 8), with options `scale`, `weighting`, `center`."""

    parts: int
    bits: int
    scale: Scale
    weighting: Weights

    sketchable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if type(self.parts) is not int or self.parts < 1:
            raise SpecError(f"parts must be an integer >= 1, got {self.parts!r}.")
        if self.bits not in (4, 8):
            raise SpecError(f"codes of words have 4 or 8 bits, got {self.bits!r}.")
        check_choice(SCALES, scale=self.scale)
        check_choice(WEIGHTS, weighting=self.weighting)
        check_yes_or_no(center=self.center)

    @property
    def sample_size(self) -> int:
        """As many rows as k-means makes use of."""
        return sample_rows(1 << self.bits)

    def _weighting(
        self, sample: FloatArray, queries: FloatArray | None, starts: npt.NDArray[np.int64]
    ) -> Weighting | None:
        """What queries make of distances in each run of dimensions; SpecError without them."""
        if self.weighting == "none":
            return None
        if queries is None:
            raise SpecError(
                "weighting=queries learns from queries, and there were none: call "
                "fit(sample, queries) before rows are added, or leave the option out."
            )
        return Weighting.of(sample, queries, starts)

    def _restored(
        self, arrays: Mapping[str, Array], want: tuple[int, int, int], fits: bool
    ) -> tuple[FloatArray, FloatArray | None, float]:
        """The words, of the shape wanted, aims and distortion of a file; CorruptFileError.

        fits   whether the dimension is no less than the codebooks
        """
        words = stored(arrays, "words", np.float32, 3)
        aims = stored(arrays, "aims", np.float32, 3) if self.weighting != "none" else None
        distortion = float(stored(arrays, "distortion", np.float64, 0))
        for name, array in (("words", words), ("aims", aims)):
            if array is not None and (array.shape != want or not fits):
                raise CorruptFileError(f"{name!r} must have shape {want}, got {array.shape}.")
        if not 0 <= distortion < 1:
            raise CorruptFileError(f"'distortion' must be 0 or more and below 1, got {distortion}.")
        return words, aims, distortion


class Ruled(ABC):
    """Rows stand for what their codes are, times a scale by one of the rules above."""

    layout: Any
    rule: Scale
    distortion: float
    ratio: ClassVar[None] = None

    @property
    def scale(self) -> str | None:
        """See FittedQuantizer."""
        return None if self.rule == "none" else "scale"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The codes, and a float32 scale unless there is none."""
        scale = (Column("scale", np.dtype(np.float32)),) if self.scale else ()
        return (*self.layout.columns, *scale)

    @abstractmethod
    def _pack(self, y: FloatArray) -> dict[str, Array]:
        """The layout's columns of rows (n, dim)."""

    @abstractmethod
    def _unscaled(self, columns: Mapping[str, Array]) -> FloatArray:
        """What codes say of rows, (n, dim)."""

    @abstractmethod
    def operand(self, y: FloatArray) -> FloatArray:
        """See FittedQuantizer."""

    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""

    def encode(self, y: FloatArray) -> Encoded:
        """See FittedQuantizer."""
        y = np.ascontiguousarray(y)
        columns = self._pack(y)
        if self.rule != "none":
            columns["scale"] = self._scales(y, self._unscaled(columns))
        return Encoded(columns, self, rounded=self.rule == "none")

    def _scales(self, y: FloatArray, decoded: FloatArray) -> FloatArray:
        """What rows' codes are multiplied by, (n,) >= 0, so that they stand for rows y (n, d).

        Words that point away from a row say nothing of it. Were their scale negative, what bounds
        scores from above would bound them from below.
        """
        if self.rule == "length":
            return divide(row_norms(y), row_norms(decoded))
        products = np.empty(len(y), np.float32)
        encode.inner_products(y, decoded, products)
        return divide(square_norms(y), np.maximum(products, np.float32(0)))

    @property
    def shrink(self) -> float:
        """See FittedQuantizer. Words are means of rows: shorter by sqrt(1 - distortion)."""
        powers = {"none": 0.0, "length": 0.5, "unbiased": 1.0}
        return float((1 - self.distortion) ** powers[self.rule])

    def expand(self, columns: Mapping[str, Array]) -> FloatArray:
        """See FittedQuantizer."""
        rows = self._unscaled(columns)
        return rows * columns["scale"].reshape(-1, 1) if self.scale else rows

    def distortion_of(self, x: FloatArray) -> float:
        """The share of the squares of rows (n, dim) that codes without a scale leave, below 1."""
        error = float(np.square(x - self._unscaled(self._pack(x)), dtype=np.float64).sum())
        total = float(np.square(x, dtype=np.float64).sum())
        return min(error / total, 1 - 2.0**-20) if total else 0.0


@dataclass(frozen=True, eq=False)
class FittedWords(Ruled):
    """Codes rows by words, whose products with a query are its tables."""

    spaces: Subspaces  # words (spaces, stages * size, width)
    bits: int
    rule: Scale
    distortion: float

    @property
    def words(self) -> FloatArray:
        """Of each space, stage by stage."""
        return self.spaces.words

    @property
    def aims(self) -> FloatArray | None:
        """See Subspaces."""
        return self.spaces.aims

    def measured(self, x: FloatArray) -> Self:
        """With the distortion of rows (n, dim) that its words are means of."""
        return replace(self, distortion=self.distortion_of(x))

    @lazy
    def layout(self) -> TableCodes:
        """The codes of each space, stage by stage."""
        return TableCodes(len(self.words) * self._stages, self.bits)

    @property
    def _stages(self) -> int:
        """Codes of a space."""
        return int(self.words.shape[1]) >> self.bits

    @abstractmethod
    def _codes(self, y: FloatArray) -> npt.NDArray[np.uint8]:
        """The codes of rows, (n, parts)."""

    @abstractmethod
    def _decode(self, codes: npt.NDArray[np.uint8]) -> FloatArray:
        """What words say of rows, (n, dim)."""

    def _pack(self, y: FloatArray) -> dict[str, Array]:
        return self.layout.pack(self._codes(y))

    def _unscaled(self, columns: Mapping[str, Array]) -> FloatArray:
        return self._decode(self.layout.unpack(columns))

    def operand(self, y: FloatArray) -> FloatArray:
        """See FittedQuantizer: the tables, (nq, parts * size)."""
        return self.spaces.products(y).reshape(len(y), -1)

    def told(self, squares: FloatArray | None) -> tuple[Tables, Gains]:
        """See Told."""
        spaces, lines = self.spaces, self.spaces.lines
        tables = Tables(
            len(lines), lines.shape[2], lines.shape[1], address(spaces.starts), address(lines),
            UNBOUND if spaces.order is None else address(spaces.order),
            UNBOUND if squares is None else address(squares), self.bits == 4,
        )  # fmt: skip
        return tables, Gains()

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""
        arrays: dict[str, Array] = {
            "words": self.words, "distortion": np.array(self.distortion)
        }  # fmt: skip
        others = {"aims": self.aims, "order": self.spaces.order}
        return arrays | {name: array for name, array in others.items() if array is not None}
