"""What quantizers that name words of a codebook have in common.

With z the rotated row in units where coordinates have variance one and u its words, a row stands
for scale * u, where scale is
    unbiased   |r|^2 / <r, u>       inner products are unbiased over rotations
    biased     <r, u> / |u|^2       least error of the reconstruction
The words are made for N(0, 1), the law of rotated coordinates in many dimensions, and rounded to
half-integers times a unit.

Source of the scales: EDEN, arXiv 2108.08842, for any code of a rotated row.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
import numpy.typing as npt

from vqindex.errors import CorruptFileError
from vqindex.kernels.cpu import codewords
from vqindex.layouts.base import Array, FloatArray
from vqindex.layouts.codebook import CodebookCodes
from vqindex.lazy import lazy
from vqindex.quantizers.base import Encoded, divide, row_norms
from vqindex.quantizers.options import Centering, check_choice, check_yes_or_no, spelled
from vqindex.quantizers.scaled import ScaledLevels
from vqindex.transforms.base import generator, stored

Scale = Literal["unbiased", "biased"]
SCALES: tuple[Scale, ...] = ("unbiased", "biased")


@dataclass(frozen=True, eq=False)
class Codebook:
    """Words of a code, (words + 1/2) * unit, for coordinates of variance one.

    words        (ksub, group) int8
    stride       bits from one code to the next
    distortion   E |z - word|^2 / E |z|^2 for N(0, 1)
    """

    words: npt.NDArray[np.int8]
    unit: float
    stride: int
    distortion: float


# Codes (n, codes) of rows y (n, d) times factors (n,), in units of the codebook's.
Coder = Callable[[CodebookCodes, FloatArray, FloatArray], Array]


def nearest(layout: CodebookCodes, y: FloatArray, factors: FloatArray) -> Array:
    """The nearest word for each group of entries, the lowest one of equals: a Coder."""
    words = layout.codebook.astype(np.float32) + np.float32(0.5)
    offsets = (words * words).sum(axis=1) * np.float32(-0.5)  # sums of quarters: exact
    codes = np.empty((len(y), layout.codes), np.uint16)
    gains = np.empty(codes.shape, np.float32)
    codewords.nearest(np.ascontiguousarray(y), factors, words, offsets, codes, gains)
    return codes


def on_grid(
    words: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int8], float]:
    """Words (ksub, group) as int8 t and a unit, whose (t + 1/2) * unit are nearest by weights."""
    best = (np.inf, words, 0.0)
    for unit in np.abs(words).max() / 127.5 * np.geomspace(0.7, 1.4, 101):
        t = np.clip(np.rint(words / unit - 0.5), -128, 127)
        off = float((weights @ ((t + 0.5) * unit - words) ** 2).sum())
        if off < best[0]:
            best = (off, t, float(unit))
    return best[1].astype(np.int8), best[2]


def measured(words: npt.NDArray[np.int8], unit: float, stride: int, coder: Coder) -> Codebook:
    """The codebook, with the distortion that it reaches on Gaussian numbers."""
    z = normal(512, 384)
    layout = CodebookCodes(384, words, stride)
    columns = layout.pack(coder(layout, z, np.full(len(z), 1 / unit, np.float32)))
    x, u = z.astype(np.float64), layout.unpack(columns).astype(np.float64)
    cosine = (x * u).sum() / np.sqrt((x * x).sum() * (u * u).sum())
    return Codebook(words, unit, stride, float(1 - cosine**2))


def normal(n: int, dims: int) -> FloatArray:
    """The same Gaussian numbers ever, (n, dims), of no stream that a user's vectors come from."""
    return generator("codebook", 0).standard_normal((n, dims), np.float32)


@dataclass(frozen=True, kw_only=True)
class CodebookQuantizer(Centering, ABC):
    """A recipe whose codes name words.

    scale    "unbiased" or "biased", as above
    center   take the mean of the first rows off all rows
    """

    scale: Scale = "unbiased"
    center: bool = True

    rotation: ClassVar[str] = "Hadamard"
    sketchable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice(SCALES, scale=self.scale)
        check_yes_or_no(center=self.center)

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """Words of the codebook, entries of a word, bits from one code to the next."""

    @abstractmethod
    def codebook(self) -> Codebook:
        """The codebook, which depends on nothing but the recipe."""

    @property
    def coder(self) -> Coder:
        """What finds the codes of rows."""
        return nearest

    def spelled(self, name: str, **options: tuple[object, object]) -> str:
        """The factory string of a name, these options and the shared ones."""
        center, scale = (self.center, True), (self.scale, "unbiased")
        return spelled(name, center=center, scale=scale, **options)

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> "FittedCodebook":
        """See Quantizer."""
        return FittedCodebook(dim, self.scale, self.codebook(), self.coder)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedCodebook":
        """See Quantizer. The words are read, not computed, so that a file means the same ever."""
        words = stored(arrays, "words", np.int8, 2)
        unit, distortion = (
            float(stored(arrays, name, np.float64, 0)) for name in ("unit", "distortion")
        )
        *shape, stride = self.shape
        if words.shape != tuple(shape) or unit <= 0 or not 0 <= distortion < 1:
            raise CorruptFileError(
                f"a codebook needs words of shape {tuple(shape)}, a unit > 0 and a distortion "
                f"below 1, got {words.shape}, {unit} and {distortion}."
            )
        book = Codebook(words, unit, stride, distortion)
        return FittedCodebook(dim, self.scale, book, self.coder)


@final
@dataclass(frozen=True)
class FittedCodebook(ScaledLevels):
    """Codes rows by fixed words; see the module."""

    dim: int
    rule: Scale
    book: Codebook
    coder: Coder

    @lazy
    def layout(self) -> CodebookCodes:
        """A stream of codes."""
        return CodebookCodes(self.dim, self.book.words, self.book.stride)

    def encode(self, y: FloatArray) -> Encoded:
        """See FittedQuantizer."""
        y, norms = np.ascontiguousarray(y), row_norms(y)
        root = np.float32(np.sqrt(self.dim) / self.book.unit)
        columns = self.layout.pack(self.coder(self.layout, y, divide(np.array([root]), norms)))
        sums = np.empty((len(y), 2), np.float32)
        codewords.sums(y, self.layout.levels(columns), sums)
        dot, square = sums.T.astype(np.float64)
        if self.rule == "unbiased":
            columns["scale"] = divide(norms.astype(np.float64) ** 2, dot)
        else:
            columns["scale"] = divide(dot, square)
        return Encoded(columns, self, rounded=self.rule == "biased")

    @property
    def distortion(self) -> float:
        """See FittedQuantizer: of the words, for N(0, 1)."""
        return self.book.distortion

    @property
    def shrink(self) -> float:
        """See FittedQuantizer."""
        return super().shrink if self.rule == "unbiased" else 1.0

    def expand(self, columns: Mapping[str, Array]) -> FloatArray:
        """See FittedQuantizer."""
        return self.layout.unpack(columns) * columns["scale"].reshape(-1, 1)

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""
        return {
            "words": self.book.words,
            "unit": np.array(self.book.unit),
            "distortion": np.array(self.book.distortion),
        }
