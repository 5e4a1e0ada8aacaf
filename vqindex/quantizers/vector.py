"""Vector codes for Gaussian coordinates: the words of a k-means in 2 or 4 dimensions, data-free."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from vqindex.errors import SpecError
from vqindex.kernels.cpu import codewords
from vqindex.quantizers.codebook import Codebook, CodebookQuantizer, on_grid
from vqindex.quantizers.options import check_choice, whole
from vqindex.transforms.base import Number

Floats = npt.NDArray[np.float64]

GROUPS = (2, 4)
WORDS = (4, 16, 64, 256)
_POINTS = 1 << 16  # of a sample
_ROUNDS = 90
_LEAST = 1e-300  # mass of a cell that no point is in


@final
@dataclass(frozen=True)
class VectorQuantizer(CodebookQuantizer):
    """Recipe: one of `words` (4, 16, 64 or 256) for each `group` (2 or 4) of dimensions.

    That is log2(words) / group bits a dimension: VQ2 has 2, VQ4 has 1. Distortions reached:

        words   4      16     64     256
        VQ2     .3634  .1076  .0298  .00782
        VQ4     .6468  .3416  .1843  .0973
    """

    group: int = 2
    words: int = 16

    names: ClassVar[tuple[str, ...]] = ("VQ",)
    options: ClassVar[tuple[str, ...]] = ("center", "scale", "words")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group not in GROUPS or type(self.group) is not int:
            raise SpecError(f"VQ codes 2 or 4 dimensions together, got {self.group!r}.")
        check_choice(WORDS, words=self.words)

    @property
    def spec(self) -> str:
        """See Quantizer."""
        return self.spelled(f"VQ{self.group}", words=(self.words, 16))

    @classmethod
    def from_spec(
        cls, name: str, number: Number, options: Mapping[str, object]
    ) -> "VectorQuantizer":
        """The recipe of `VQ2` or `VQ4` with options `words`, `center` and `scale`."""
        if not isinstance(number, int):
            raise SpecError(f"{name} is written VQ2 or VQ4, got {name} and {number}.")
        return cls(group=number, **whole(options, "words"))

    @property
    def shape(self) -> tuple[int, int, int]:
        """See CodebookQuantizer."""
        return self.words, self.group, self.words.bit_length() - 1

    def codebook(self) -> Codebook:
        """See CodebookQuantizer."""
        return gaussian_words(self.words, self.group)


@functools.cache
def gaussian_words(count: int, group: int) -> Codebook:
    """Words of least distortion for N(0, 1), by Lloyd's method on points of a lattice.

    The points are drawn from a wider law, and weighted, so that the outer cells see enough of
    them; words start where their best density is, f**(group / (group + 2)), and go 1.7 times as
    far as the means of their cells, until the last rounds.
    """
    wide = (group + 2) / group
    x = gaussian_points(_POINTS, group) * wide**0.5
    weight = np.exp((x * x).sum(axis=1) * (0.5 / wide - 0.5))
    words = gaussian_points(count, group) * (0.9 * wide**0.5)
    for i in range(_ROUNDS):
        codes = _cells(x, words)
        mass: Floats = np.maximum(np.bincount(codes, weight, count), _LEAST)
        sums = [np.bincount(codes, weight * x[:, j], count) for j in range(group)]
        means = np.stack(sums, axis=1) / mass[:, None]
        words += (means - words) * (1.7 if i < _ROUNDS - 5 else 1.0)
    levels, unit = on_grid(words, mass)
    z, decoded = gaussian_points(4 * _POINTS + 1, group), (levels + 0.5) * unit
    error = z - decoded[_cells(z, decoded)]
    return Codebook(levels, unit, count.bit_length() - 1, float((error**2).mean()))


def _cells(x: Floats, words: npt.NDArray[np.floating]) -> npt.NDArray[np.uint16]:
    """The nearest word of points (n, group)."""
    w = words.astype(np.float32)
    codes, gains = np.empty((1, len(x)), np.uint16), np.empty((1, len(x)), np.float32)
    row, one = x.astype(np.float32).reshape(1, -1), np.ones(1, np.float32)
    codewords.nearest(row, one, w, (w * w).sum(axis=1) * np.float32(-0.5), codes, gains)
    found: npt.NDArray[np.uint16] = codes[0]
    return found


def gaussian_points(n: int, dims: int) -> Floats:
    """Points (n, dims) spread evenly over N(0, 1), dims even: no two rows, no numbers drawn.

    Box and Muller's map of the sequence of multiples of powers of 1 / phi, phi**(dims + 1) =
    phi + 1, which fills the unit cube; in two dimensions its first coordinate is counted instead.
    """
    phi = 2.0
    for _ in range(64):
        phi = (1 + phi) ** (1 / (dims + 1))
    count = np.arange(n)[:, None] + 0.5
    u = count * phi ** -np.arange(1, dims + 1) % 1
    if dims == 2:
        u = np.concatenate([count / n, u[:, :1]], axis=1)
    radius, angle = np.sqrt(-2 * np.log1p(-u[:, ::2])), 2 * np.pi * u[:, 1::2]
    points: Floats = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
    return points.reshape(n, dims)
