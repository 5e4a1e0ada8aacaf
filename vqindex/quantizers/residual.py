"""Residual quantization: codebooks in stages, each for what those before leave.

A row stands for the sum of a word of each stage, found by a beam search. With groups, runs of
dimensions have stages of their own (GRVQ): as many groups as codes is product quantization. Words
of different stages are not orthogonal, so |x~|^2 is no sum of look-ups. Times a scale; see words.

Sources: Chen et al., Approximate nearest neighbor search by residual vector quantization, 2010;
Babenko and Lempitsky, Additive quantization, 2014 (beam search); HiFi-Codec, arXiv 2305.02765
(groups).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from vqindex import threads as pool
from vqindex.clustering import kmeans, leading_words
from vqindex.errors import ShapeError, SpecError
from vqindex.kernels.cpu import beam, hadamard
from vqindex.layouts.base import Array, FloatArray
from vqindex.lazy import lazy
from vqindex.quantizers.options import spelled, whole
from vqindex.quantizers.words import FittedWords, Scale, Weights, WordQuantizer, codes_of
from vqindex.subspaces import halves, split
from vqindex.transforms.base import Number

MOST_WORDS = 4096  # of a group: the products of its words with each other are 64 MB
ITERATIONS = 10  # of k-means at each stage
CHUNK = 1024  # rows of one task of fitting
ROWS = 256  # searched at a time


@final
@dataclass(frozen=True)
class Residual(WordQuantizer):
    """Recipe: `parts` codes of `bits` (4 or 8).

    beam     sums kept at each stage
    groups   runs of dimensions with codes of their own; a divisor of `parts`
    scale    "none", "unbiased" or "length"; 4 bytes a row but for none
    center   take the mean of the first rows off all rows
    weighting   "none" or "queries", see words
    """

    parts: int
    bits: int = 4
    beam: int = 5
    groups: int = 1
    scale: Scale = "none"
    center: bool = True
    weighting: Weights = "none"

    names: ClassVar[tuple[str, ...]] = ("RQ",)
    options: ClassVar[tuple[str, ...]] = ("beam", "center", "groups", "scale", "weighting")
    rotation: ClassVar[str] = "None"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beam", "groups"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise SpecError(f"{name} must be an integer >= 1, got {value!r}.")
        if self.parts % self.groups:
            raise SpecError(f"groups must divide the {self.parts} codes, got {self.groups}.")
        if self._words > MOST_WORDS:
            raise SpecError(
                f"a group of a residual quantizer has up to {MOST_WORDS:,} words, got "
                f"{self._words:,} for {self.parts} codes of {self.bits} bits: use groups=<more>."
            )

    @property
    def _words(self) -> int:
        """Of a group."""
        return self.parts // self.groups << self.bits

    @property
    def spec(self) -> str:
        """See Quantizer."""
        return spelled(
            f"RQ{self.parts}x{self.bits}",
            beam=(self.beam, 5), center=(self.center, True),
            groups=(self.groups, 1), scale=(self.scale, "none"),
            weighting=(self.weighting, "none"),
        )  # fmt: skip

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "Residual":
        """The recipe of `RQ<m>x<bits>` with options."""
        parts, bits = codes_of(name, number)
        return cls(parts, bits, **whole(options, "beam", "groups"))

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> "FittedResidual":
        """See Quantizer."""
        if sample is None:
            raise ValueError(f"{self.spec} learns its codebooks: it needs a sample, got None.")
        if self.groups > dim:
            raise ShapeError(
                f"{self.spec} needs a dimension for each of {self.groups} groups, got rows of "
                f"{dim}: use {dim} groups or fewer."
            )
        starts, x = split(dim, self.groups), sample[: self.sample_size]
        weighting = self._weighting(x, queries, starts)
        y = x if weighting is None else weighting.apply(x)
        words = np.zeros((self.groups, self._words, -(-dim // self.groups)), np.float32)
        for group, (start, stop) in enumerate(pairwise(starts)):
            part = np.ascontiguousarray(y[:, start:stop])
            stages = self._words >> self.bits
            words[group, :, : stop - start] = _stages(part, stages, 1 << self.bits, self.beam, seed)
        aims = None
        if weighting is not None:
            words, aims = weighting.back(words)
        return FittedResidual(dim, self.bits, self.scale, words, aims, 0.0, self.beam).measured(x)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedResidual":
        """See Quantizer."""
        want = (self.groups, self._words, -(-dim // self.groups))
        restored = self._restored(arrays, want, self.groups <= dim)
        return FittedResidual(dim, self.bits, self.scale, *restored, self.beam)


def _stages(x: FloatArray, stages: int, size: int, width: int, seed: int) -> FloatArray:
    """Words (stages * size, d) of rows x (n, d), each stage of what is left by the best sums."""
    n, d = x.shape
    words = np.zeros((1, stages * size, d), np.float32)
    gram = np.zeros((stages * size, stages * size), np.float32)
    kept, codes, scores = 1, np.zeros((n, width, stages), np.uint8), np.zeros((n, width), "f4")
    starts, left = np.array([0, d]), x
    for stage in range(stages):
        here = slice(size * stage, size * (stage + 1))
        start = leading_words(left, size, seed + stage)
        found = kmeans(left, size, seed + stage, iterations=ITERATIONS, words=start)
        words[0, here] = found.words[0]
        gram[: here.stop, here] = words[0, : here.stop] @ words[0, here].T
        products, half = x @ words[0, here].T, halves(words)[0]
        tasks = [
            partial(beam.extend, products[at], 0, gram, half, stage, kept, codes[at], scores[at])
            for at in (slice(a, a + CHUNK) for a in range(0, n, CHUNK))
        ]
        kept = pool.run(tasks, pool.default_threads())[0]
        decoded = np.empty_like(x)
        best = np.ascontiguousarray(codes[:, 0])
        beam.decode(best, size, starts, words, decoded)
        left = x - decoded
    return np.ascontiguousarray(words[0])


@final
@dataclass(frozen=True, eq=False)
class FittedResidual(FittedWords):
    """Codes rows by sums of words; see the module."""

    width: int  # of the beam

    @lazy
    def _groups(self) -> list[tuple[FloatArray, FloatArray]]:
        """For each group its aims as the right operand of `matmul`, and words times aims."""
        found, aims = [], self.words if self.aims is None else self.aims
        for words, goals, width in zip(self.words, aims, np.diff(self._spaces.starts), strict=True):
            own = np.ascontiguousarray(words[:, :width])
            right = hadamard.pad(goals[:, :width].T[None])
            gram = np.empty((len(own), len(own)), np.float32)
            hadamard.matmul(own, right, gram)
            found.append((right, gram))
        return found

    def _codes(self, y: FloatArray) -> npt.NDArray[np.uint8]:
        starts, stages = self._spaces.starts, self._stages
        codes = np.empty((len(y), self.layout.parts), np.uint8)
        for a in range(0, len(y), ROWS):
            for group, half in enumerate(self._spaces.offsets):
                rows = np.ascontiguousarray(y[a : a + ROWS, starts[group] : starts[group + 1]])
                codes[a : a + ROWS, stages * group : stages * (group + 1)] = self._search(
                    rows, half, *self._groups[group]
                )
        return codes

    def _search(
        self, rows: FloatArray, half: FloatArray, right: FloatArray, gram: FloatArray
    ) -> npt.NDArray[np.uint8]:
        """The codes of one group, (n, stages)."""
        products = np.empty((len(rows), len(gram)), np.float32)
        hadamard.matmul(rows, right, products)
        codes = np.zeros((len(rows), self.width, self._stages), np.uint8)
        scores = np.zeros((len(rows), self.width), np.float32)
        kept = 1
        for stage in range(self._stages):
            column = stage << self.bits
            kept = int(beam.extend(products, column, gram, half, stage, kept, codes, scores))
        return np.ascontiguousarray(codes[:, 0])

    def _decode(self, codes: npt.NDArray[np.uint8]) -> FloatArray:
        codes = np.ascontiguousarray(codes)
        out = np.empty((len(codes), self.dim), np.float32)
        beam.decode(codes, 1 << self.bits, self._spaces.starts, self.words, out)
        return out
