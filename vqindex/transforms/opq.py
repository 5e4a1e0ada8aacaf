"""The rotation of OPQ: learned together with the codebooks of a product quantizer.

The first one is by principal components, dealt out so that the product of variances is about the
same in every sub-space. Then codebooks and rotation take turns: with Y = X R and Y' the rows as
coded, the rotation that brings X nearest to Y' is U V^T, where U S V^T = X^T Y'.

Source: Ge et al., Optimized product quantization, 2013, sections 3.1 and 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from vqindex.clustering import codebooks
from vqindex.errors import ShapeError, SpecError
from vqindex.layouts.base import Array, FloatArray
from vqindex.subspaces import Subspaces, split
from vqindex.transforms.base import Number
from vqindex.transforms.dense_rotation import FittedDenseRotation

ROWS = 1 << 15  # of a sample: with half of them turns fit the sample and nothing else
TURNS = 10
FIRST = 5  # iterations of k-means before the first turn; one each later


def allocation(variances: npt.NDArray[np.float64], widths: npt.NDArray[np.int64]) -> Array:
    """Which axes each sub-space takes, one sub-space after another, (d,) int64.

    The largest variance left goes to where the product of variances is least so far.

    variances   (d,) descending, >= 0
    widths      (m,) of the sub-spaces, d in all
    """
    floor = max(variances[0] * 1e-12, np.finfo(np.float64).tiny)
    logs = np.log(np.maximum(variances, floor) / floor)  # none below 0: a product never shrinks
    totals = np.zeros(len(widths))
    taken: list[list[int]] = [[] for _ in widths]
    for axis, log in enumerate(logs):
        space = int(totals.argmin())
        taken[space].append(axis)
        totals[space] += log
        if len(taken[space]) == widths[space]:
            totals[space] = np.inf
    return np.concatenate(taken).astype(np.int64)


@final
@dataclass(frozen=True)
class LearnedRotation:
    """Recipe: the rotation for a product quantizer of `parts` codes of `bits`."""

    parts: int
    bits: int = 4

    name: ClassVar[str] = "OPQ"
    options: ClassVar[tuple[str, ...]] = ()
    sample_size: ClassVar[int] = ROWS

    def __post_init__(self) -> None:
        if type(self.parts) is not int or self.parts < 1 or self.bits not in (4, 8):
            raise SpecError(
                f"OPQ needs 1 or more codes of 4 or 8 bits, got {self.parts!r} of {self.bits!r}."
            )

    @property
    def spec(self) -> str:
        """See Transform."""
        return f"{self.name}{self.parts}x{self.bits}"

    @classmethod
    def from_spec(
        cls, name: str, number: Number, options: Mapping[str, object]
    ) -> "LearnedRotation":
        """The recipe of `OPQ<m>x<bits>`."""
        if options:
            raise SpecError(f"{name} has no option {next(iter(options))!r}; it has none.")
        if not isinstance(number, tuple) or len(number) != 2:
            raise SpecError(f"{name} needs its codes and their bits, such as {name}48x4.")
        return cls(*number)

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> FittedDenseRotation:
        """See Transform."""
        if sample is None:
            raise ValueError(f"{self.spec} learns its rotation: it needs a sample, got None.")
        if self.parts > dim:
            raise ShapeError(
                f"{self.spec} needs a dimension for each of {self.parts} codes, got rows of {dim}: "
                f"use {dim} codes or fewer."
            )
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *b"OPQ"])))
        x = sample[rng.permutation(len(sample))[:ROWS]]
        starts = split(dim, self.parts)
        variances, axes = np.linalg.eigh((x.T @ x).astype(np.float64))
        order = allocation(np.maximum(variances[::-1], 0), np.diff(starts))
        matrix = axes[:, ::-1][:, order].astype(np.float32)
        words = None
        for turn in range(TURNS):
            y = x @ matrix
            found = codebooks(
                y, starts, 1 << self.bits, seed, iterations=1 if turn else FIRST, words=words
            )
            words = found.words
            spaces = Subspaces(starts, words)
            coded = spaces.decode(spaces.encode(y))
            u, _, v = np.linalg.svd((x.T @ coded).astype(np.float64))
            matrix = (u @ v).astype(np.float32)
        return FittedDenseRotation(dim, np.ascontiguousarray(matrix), isotropic=False)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> FittedDenseRotation:
        """See Transform."""
        return replace(FittedDenseRotation.from_arrays(arrays, dim), isotropic=False)
