"""Lloyd-Max levels whose number is no power of two, several dimensions to a code.

    levels   dimensions  bits   bits a dimension   distortion of N(0, 1)
    3        5           8      1.6                .1902
    5        3           7      2.333              .07994
    11       2           7      3.5                .0192

A code is the number whose digits, lowest first, are the dimensions' levels.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import numpy as np

from vqindex.errors import SpecError
from vqindex.kernels.cpu import codewords
from vqindex.layouts.base import Array, FloatArray
from vqindex.layouts.codebook import CodebookCodes
from vqindex.quantizers.codebook import Codebook, CodebookQuantizer, Coder, on_grid
from vqindex.quantizers.lloyd import lloyd
from vqindex.quantizers.options import check_choice
from vqindex.transforms.base import Number

_SHAPES = {3: (5, 8), 5: (3, 7), 11: (2, 7)}  # dimensions and bits of a code


@final
@dataclass(frozen=True)
class FractionalLevels(CodebookQuantizer):
    """Recipe: 3, 5 or 11 `levels`; written `Ternary`, `Levels5` and `Levels11`."""

    levels: int = 3

    names: ClassVar[tuple[str, ...]] = ("Ternary", "Levels")
    options: ClassVar[tuple[str, ...]] = ("center", "scale")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(_SHAPES, levels=self.levels)

    @property
    def spec(self) -> str:
        """See Quantizer."""
        return self.spelled("Ternary" if self.levels == 3 else f"Levels{self.levels}")

    @classmethod
    def from_spec(
        cls, name: str, number: Number, options: Mapping[str, object]
    ) -> "FractionalLevels":
        """The recipe of `Ternary` or `Levels<n>` with options `center` and `scale`."""
        if name == "Ternary":
            if number is not None:
                raise SpecError(f"Ternary takes no further number, got {number}.")
            number = 3
        return cls(number, **options)  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int, int]:
        """See CodebookQuantizer."""
        group, bits = _SHAPES[self.levels]
        return 1 << bits, group, bits

    @property
    def coder(self) -> Coder:
        """See CodebookQuantizer."""
        return partial(by_digits, count=self.levels)

    def codebook(self) -> Codebook:
        """See CodebookQuantizer."""
        return _packed(self.levels)


@functools.cache
def _packed(count: int) -> Codebook:
    group, bits = _SHAPES[count]
    z = np.linspace(-9, 9, 200_001)
    density = np.exp(-0.5 * z * z)
    levels = lloyd(z, density, count)
    levels = 0.5 * (levels - levels[::-1])
    cells = np.searchsorted(0.5 * (levels[1:] + levels[:-1]), z)
    mass = np.asarray(np.bincount(cells, density), np.float64)
    t, unit = on_grid(levels[:, None], mass)
    error = z - (t[cells, 0] + 0.5) * unit
    numbers = np.arange(1 << bits)
    numbers[count**group :] = 0  # beyond the last code: the first again, which is found before
    words = t[numbers[:, None] // count ** np.arange(group) % count, 0]
    return Codebook(words, unit, bits, float(error**2 @ density / density.sum()))


def by_digits(layout: CodebookCodes, y: FloatArray, factors: FloatArray, count: int) -> Array:
    """The nearest word of all products of `count` levels, a level at a time: a Coder."""
    levels = layout.codebook[:count, :1] + np.float32(0.5)
    digits = np.zeros((len(y), layout.codes * layout.group), np.uint16)
    gains = np.empty(digits.shape, np.float32)
    offsets = levels[:, 0] ** 2 * np.float32(-0.5)
    codewords.nearest(np.ascontiguousarray(y), factors, levels, offsets, digits, gains)
    codes = np.zeros((len(y), layout.codes), np.uint16)
    for i in range(layout.group):
        codes += digits[:, i :: layout.group] * np.uint16(count**i)
    return codes
