"""Coarse codes: of each row the nearest of a few centroids, from which the row is then coded.

What is left of a row is shorter, and errs by less, whatever codes it. Its centroid takes a byte;
so does one of what that leaves, at a second level, and there is room for two. The products of a
query with all centroids are a table, looked up for each row.

Sources: Jegou et al., Product quantization for nearest neighbor search, 2011 (IVFADC, of which this
is the residual without the lists); Chen et al., Approximate nearest neighbor search by residual
vector quantization, 2010 (levels).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from vqindex.clustering import FEWEST, kmeans, leading_words
from vqindex.errors import CorruptFileError, SpecError
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.layouts.table import TableCodes
from vqindex.lazy import lazy
from vqindex.subspaces import Subspaces
from vqindex.transforms.base import Number, stored

MOST = 256  # centroids of a level
ITERATIONS = 10  # of k-means at each level


@final
@dataclass(frozen=True)
class Coarse:
    """Recipe: how many centroids each of one or two levels has, 2 to 256."""

    sizes: tuple[int, ...] = (256,)

    names: ClassVar[tuple[str, ...]] = ("Coarse",)
    options: ClassVar[tuple[str, ...]] = ()
    sample_size: ClassVar[int] = FEWEST

    def __post_init__(self) -> None:
        sizes = self.sizes if isinstance(self.sizes, tuple) else ()
        if len(sizes) not in (1, 2) or not all(type(k) is int and 2 <= k <= MOST for k in sizes):
            raise SpecError(f"sizes must be one or two of 2 to {MOST}, got {self.sizes!r}.")

    @property
    def spec(self) -> str:
        """The factory string."""
        return f"Coarse{'x'.join(map(str, self.sizes))}"

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "Coarse":
        """The recipe of `Coarse<k>` or `Coarse<k>x<k>`."""
        if number is None:
            raise SpecError(f"{name} needs its centroids, such as {name}256 or {name}256x256.")
        return cls(number if isinstance(number, tuple) else (number,))  # type: ignore[arg-type]

    def fit(self, sample: FloatArray | None, dim: int, seed: int) -> "FittedCoarse":
        """The centroids of a sample (n, dim) float32, centred."""
        if sample is None:
            raise ValueError(f"{self.spec} learns its centroids: it needs a sample, got None.")
        words, left = [], sample
        for level, k in enumerate(self.sizes):
            start = leading_words(left, k, seed + level)
            found = kmeans(left, k, seed + level, iterations=ITERATIONS, words=start).words[0]
            words.append(found)
            part = FittedCoarse(dim, (k,), found)
            left = left - part.points(part.encode(left))
        return FittedCoarse(dim, self.sizes, np.concatenate(words))

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedCoarse":
        """The centroids of a file; CorruptFileError."""
        words = stored(arrays, "words", np.float32, 2)
        if words.shape != (sum(self.sizes), dim):
            want = sum(self.sizes), dim
            raise CorruptFileError(f"'words' must have shape {want}, got {words.shape}.")
        return FittedCoarse(dim, self.sizes, words)


@final
@dataclass(frozen=True, eq=False)
class FittedCoarse:
    """Finds centroids; see the module.

    words   (sum of sizes, dim) float32, level after level
    """

    dim: int
    sizes: tuple[int, ...]
    words: FloatArray

    @lazy
    def layout(self) -> TableCodes:
        """A byte for each level."""
        return TableCodes(len(self.sizes), 8, "coarse_")

    @property
    def columns(self) -> tuple[Column, ...]:
        """The codes."""
        return self.layout.columns

    @lazy
    def _levels(self) -> list[Subspaces]:
        """The words of each level; up to a multiple of four the first again, which is preferred."""
        levels = np.split(self.words, np.cumsum(self.sizes)[:-1])
        repeated = [np.concatenate([w, w[:1].repeat(-len(w) % 4, axis=0)]) for w in levels]
        return [Subspaces(np.array([0, self.dim]), words[None]) for words in repeated]

    def encode(self, r: FloatArray) -> dict[str, Array]:
        """The columns of rows (n, dim) float32, centred."""
        codes, left = np.empty((len(r), len(self.sizes)), np.uint8), r
        for i, level in enumerate(self._levels):
            codes[:, i] = numbers = level.encode(left)[:, 0]
            if i + 1 < len(self.sizes):
                left = left - level.decode(numbers[:, None])
        return self.layout.pack(codes)

    def points(self, columns: Mapping[str, Array]) -> FloatArray:
        """What rows are coded from, (n, dim) float32: the sum of their centroids."""
        codes = self.layout.unpack(columns)
        found = np.zeros((len(codes), self.dim), np.float32)
        for level, numbers, k in zip(self._levels, codes.T, self.sizes, strict=True):
            found += level.decode(np.minimum(numbers, k - 1)[:, None])
        return found

    def operand(self, asked: FloatArray) -> FloatArray:
        """The tables of queries (nq, dim) float32, (nq, 256 * levels), the first entry repeated."""
        tables = np.empty((len(asked), len(self.sizes), self.layout.size), np.float32)
        for i, level in enumerate(self._levels):
            products = level.products(asked)[:, 0]
            tables[:, i, : products.shape[1]] = products
            tables[:, i, products.shape[1] :] = products[:, :1]
        return tables.reshape(len(asked), -1)

    def arrays(self) -> dict[str, Array]:
        """What a file must hold to make this again beside the recipe."""
        return {"words": self.words}
