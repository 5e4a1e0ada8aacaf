"""Trellis codes: a few new bits for every two dimensions, read with the bits beside them.

A row is a stream of exactly `bits` a dimension. Every two dimensions are a word of a table that
the `window` bits of the stream name which begin 2 * bits further on than those before, so that
most bits take part in several words. Viterbi's method finds the stream whose words are nearest to
the row. The last windows wrap round to the stream's beginning.

The table is no formula's but trained: Gaussian words in a random order, moved to the means of what
they code of Gaussian rows. It errs less than computed codes of as many states:

    bits                       1      1.5    2      2.5    3      3.5     4
    QTIP, window 12            .2803         .0733         .0198          .0055
    this, window 12            .2728  .1412  .0731  .0378  .0197  .01035  .00556
    this, window 10            .2778  .1450  .0756  .0396  .0210

A row is one trellis from end to end, however long it is. Encoding takes time in proportion to
2**window.

Source: QTIP, arXiv 2406.11235, sections 3 and 4.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from vqindex.errors import SpecError
from vqindex.kernels.cpu import trellis as kernels
from vqindex.layouts.base import Array, FloatArray
from vqindex.layouts.codebook import CodebookCodes
from vqindex.quantizers.codebook import (
    Codebook,
    CodebookQuantizer,
    Coder,
    measured,
    normal,
    on_grid,
)
from vqindex.quantizers.options import whole
from vqindex.quantizers.vector import gaussian_points
from vqindex.transforms.base import Number, generator

WINDOWS = range(8, 15)
_ROUNDS, _ROWS = 12, 400  # of training
_PRIOR = 4  # means of a word's own place that are counted with what it codes


@final
@dataclass(frozen=True)
class Trellis(CodebookQuantizer):
    """Recipe: `bits` a dimension, 1 to 4 by halves, and windows of `window` bits.

    window   8 to 14, and at least 2 * bits + 4: a bit more takes twice the time to encode
    """

    bits: float = 2
    window: int = 12

    names: ClassVar[tuple[str, ...]] = ("TCQ",)
    options: ClassVar[tuple[str, ...]] = ("center", "scale", "window")

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.bits) not in (int, float) or self.bits not in np.arange(1, 4.5, 0.5):
            raise SpecError(f"TCQ takes 1 to 4 bits by halves, got {self.bits!r}.")
        if type(self.window) is not int or self.window not in WINDOWS[self._fewest - 8 :]:
            raise SpecError(
                f"window must be {self._fewest} to {WINDOWS[-1]} at {self.bits:g} bits, "
                f"got {self.window!r}."
            )

    @property
    def _fewest(self) -> int:
        return max(WINDOWS[0], self.stride + 4)

    @property
    def stride(self) -> int:
        """New bits of a word, which has two dimensions."""
        return int(2 * self.bits)

    @property
    def spec(self) -> str:
        """See Quantizer."""
        return self.spelled(f"TCQ{self.bits:g}", window=(self.window, 12))

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "Trellis":
        """The recipe of `TCQ<b>` with options `window`, `center` and `scale`."""
        return cls(number, **whole(options, "window"))  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int, int]:
        """See CodebookQuantizer."""
        return 1 << self.window, 2, self.stride

    @property
    def coder(self) -> Coder:
        """See CodebookQuantizer."""
        return best_path

    def codebook(self) -> Codebook:
        """See CodebookQuantizer."""
        return trained_words(self.window, self.stride)


def best_path(layout: CodebookCodes, y: FloatArray, factors: FloatArray) -> Array:
    """The codes of the stream whose words are nearest: a Coder."""
    words = layout.codebook + np.float32(0.5)
    return _paths(words, y, factors, layout.stride, layout.codes)


def _paths(
    words: npt.NDArray[np.floating], y: FloatArray, factors: FloatArray, stride: int, count: int
) -> npt.NDArray[np.uint16]:
    planes = np.ascontiguousarray(words.T, np.float32)
    codes = np.empty((len(y), count), np.uint16)
    kernels.encode(np.ascontiguousarray(y), factors, planes, stride, codes)
    return codes


@functools.cache
def trained_words(window: int, stride: int) -> Codebook:
    """The table of a trellis: in each round words go twice as far as the means of their cells."""
    states = 1 << window
    words = generator("trellis", 0).permutation(gaussian_points(states, 2))
    ones = np.ones(_ROWS, np.float32)
    for z in np.split(normal(_ROUNDS * _ROWS, 384), _ROUNDS):
        codes = _paths(words, z, ones, stride, 192).ravel()
        used = np.bincount(codes, minlength=states).astype(np.float64)
        sums = [np.bincount(codes, z[:, i::2].ravel(), states) for i in (0, 1)]
        moves = np.stack(sums, axis=1) - used[:, None] * words
        words = words + 2 * moves / (used + _PRIOR)[:, None]
    t, unit = on_grid(words, used)
    return measured(t, unit, stride, best_path)
