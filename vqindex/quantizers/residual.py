"""Residual quantization: codebooks in stages, each for what those before leave.

A row stands for the sum of a word of each stage, found by a beam search. With groups, runs of
dimensions have stages of their own (GRVQ): as many groups as codes is product quantization. The
`outliers` share of dimensions, those of the largest squares, may be a group by themselves, which
has as many codes for few dimensions as others for many (VPTQ, whose outliers are the columns of a
weight matrix that cost a model most). Words of different stages are not orthogonal, so |x~|^2 is
no sum of look-ups. Times a scale; see words.

Sources: Chen et al., Approximate nearest neighbor search by residual vector quantization, 2010;
Babenko and Lempitsky, Additive quantization, 2014 (beam search); HiFi-Codec, arXiv 2305.02765
(groups); VPTQ, arXiv 2409.17066 (outliers).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from vqindex import threads as pool
from vqindex.clustering import kmeans, leading_words
from vqindex.errors import CorruptFileError, ShapeError, SpecError
from vqindex.kernels.cpu import beam, hadamard
from vqindex.layouts.base import Array, FloatArray
from vqindex.lazy import lazy
from vqindex.quantizers.options import check_share, decimal, spelled, whole
from vqindex.quantizers.words import FittedWords, Scale, Weights, WordQuantizer, codes_of
from vqindex.subspaces import Integers, Subspaces, halves, split
from vqindex.transforms.base import Number, stored

MOST_WORDS = 4096  # of a group: the products of its words with each other are 64 MB
MOST_OUTLIERS = 0.5  # of the dimensions: beyond, the others are fewer
ITERATIONS = 10  # of k-means at each stage
CHUNK = 1024  # rows of one task of fitting
ROWS = 256  # searched at a time


@final
@dataclass(frozen=True)
class Residual(WordQuantizer):
    """Recipe: `parts` codes of `bits` (4 or 8).

    beam     sums kept at each stage
    groups   runs of dimensions with codes of their own; a divisor of `parts`
    outliers share of dimensions that are the first group, 0 for groups alike; rounded, one at least
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
    outliers: float = 0.0
    weighting: Weights = "none"

    names: ClassVar[tuple[str, ...]] = ("RQ",)
    options: ClassVar[tuple[str, ...]] = (
        "beam", "center", "groups", "outliers", "scale", "weighting",
    )  # fmt: skip
    rotation: ClassVar[str] = "None"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beam", "groups"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise SpecError(f"{name} must be an integer >= 1, got {value!r}.")
        if self.parts % self.groups:
            raise SpecError(f"groups must divide the {self.parts} codes, got {self.groups}.")
        check_share(MOST_OUTLIERS, outliers=self.outliers)
        if self.outliers and self.groups < 2:
            raise SpecError("outliers are a group of their own: use groups=2 or more.")
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
            groups=(self.groups, 1), outliers=(self.outliers, 0), scale=(self.scale, "none"),
            weighting=(self.weighting, "none"),
        )  # fmt: skip

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "Residual":
        """The recipe of `RQ<m>x<bits>` with options."""
        parts, bits = codes_of(name, number)
        return cls(parts, bits, **decimal(whole(options, "beam", "groups"), "outliers"))

    def _starts(self, dim: int) -> Integers:
        """Where each group begins, and where the last ends."""
        few = max(1, round(self.outliers * dim)) if self.outliers else 0
        if self.groups - (few > 0) > dim - few:
            raise ShapeError(
                f"{self.spec} needs a dimension for each of {self.groups} groups, got rows of "
                f"{dim}: use {dim} groups or fewer."
            )
        if not few:
            return split(dim, self.groups)
        return np.append(0, few + split(dim - few, self.groups - 1))

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> "FittedResidual":
        """See Quantizer."""
        if sample is None:
            raise ValueError(f"{self.spec} learns its codebooks: it needs a sample, got None.")
        starts, x, order = self._starts(dim), sample[: self.sample_size], None
        if self.outliers:
            largest = np.argsort(-np.square(x, dtype=np.float64).sum(axis=0), kind="stable")
            order = np.concatenate([np.sort(part) for part in np.split(largest, starts[1:2])])
        words = np.zeros((self.groups, self._words, np.diff(starts).max()), np.float32)
        spaces = Subspaces(starts, words, order=order)
        y, asked = spaces.placed(x), None if queries is None else spaces.placed(queries)
        weighting = self._weighting(y, asked, starts)
        if weighting is not None:
            y = weighting.apply(y)
        for group, (start, stop) in enumerate(pairwise(starts)):
            part = np.ascontiguousarray(y[:, start:stop])
            stages = self._words >> self.bits
            words[group, :, : stop - start] = _stages(part, stages, 1 << self.bits, self.beam, seed)
        if weighting is not None:
            own, aims = weighting.back(words)
            spaces = replace(spaces, words=own, aims=aims)
        return FittedResidual(spaces, self.bits, self.scale, 0.0, self.beam).measured(x)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedResidual":
        """See Quantizer."""
        starts, order = self._starts(dim), None
        want = self.groups, self._words, int(np.diff(starts).max())
        words, aims, distortion = self._restored(arrays, want, self.groups <= dim)
        if self.outliers:
            order = stored(arrays, "order", np.int64, 1)
            if not np.array_equal(np.sort(order), np.arange(dim)):
                raise CorruptFileError(f"'order' must be the numbers below {dim}, each once.")
        spaces = Subspaces(starts, words, aims, order)
        return FittedResidual(spaces, self.bits, self.scale, distortion, self.beam)


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
        for words, goals, width in zip(self.words, aims, np.diff(self.spaces.starts), strict=True):
            own = np.ascontiguousarray(words[:, :width])
            right = hadamard.pad(goals[:, :width].T[None])
            gram = np.empty((len(own), len(own)), np.float32)
            hadamard.matmul(own, right, gram)
            found.append((right, gram))
        return found

    def _codes(self, y: FloatArray) -> npt.NDArray[np.uint8]:
        y, starts, stages = self.spaces.placed(y), self.spaces.starts, self._stages
        codes = np.empty((len(y), self.layout.parts), np.uint8)
        for a in range(0, len(y), ROWS):
            for group, half in enumerate(self.spaces.offsets):
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
        out = np.empty((len(codes), self.spaces.dim), np.float32)
        beam.decode(codes, 1 << self.bits, self.spaces.starts, self.words, out)
        return self.spaces.unplaced(out)
