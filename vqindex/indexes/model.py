"""Model: what an index has learned: how rows are coded, in lists or not, and once more."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt

from vqindex.codec import ID, Codec
from vqindex.indexes.centroids import Centroids
from vqindex.indexes.recipe import IndexRecipe
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.lazy import lazy
from vqindex.quantizers.base import row_norms

FINER = "finer."  # before the names of columns that reranking reads

LISTS = "lists"  # the column of the lists that a row is in

Ids = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class Model:
    """What an index has learned: how rows are coded, in lists or not, and again for reranking.

    staged   whether `finer` is all of the codes whose first bits are `codec`, in its columns
    """

    codec: Codec
    centroids: Centroids | None = None
    finer: Codec | None = None
    spill: int = 0
    staged: bool = False

    @classmethod
    def fit(
        cls, recipe: IndexRecipe, sample: FloatArray | None, dim: int,
        queries: FloatArray | None = None,
    ) -> "Model":  # fmt: skip
        """Fit every part from rows (n, dim), or None if nothing is learned."""
        centroids: Centroids | None = None

        def nearest(rows: FloatArray) -> FloatArray:
            nonlocal centroids
            assert recipe.lists is not None
            lists = min(recipe.lists.lists(len(rows)), len(rows))
            centroids = Centroids.fit(recipe.codec.metric, rows, lists, recipe.codec.seed)
            origins = centroids.origins(centroids.assign(rows))
            centroids = centroids.measured(rows, origins)
            return origins

        codec = recipe.codec.fit(sample, dim, queries, nearest if recipe.residual else None)
        if recipe.lists is not None and not recipe.residual and sample is not None:
            nearest(codec.centred(sample))
        finer = recipe.finer.fit(sample, dim, queries) if recipe.finer else None
        return cls(codec, centroids, finer, recipe.lists.spill if recipe.lists else 0)

    def arrays(self) -> dict[str, Array]:
        """What a file must hold to make this again beside the recipe."""
        parts = {"model": self.codec, "centroids": self.centroids, "finer": self.finer}
        return {
            f"{name}.{key}": array
            for name, one in parts.items()
            if one is not None
            for key, array in one.arrays().items()
        }

    @classmethod
    def restore(cls, recipe: IndexRecipe, dim: int, arrays: Mapping[str, Array]) -> "Model":
        """The one whose `arrays()` these are; CorruptFileError."""
        centroids = None
        if recipe.lists is not None:
            centroids = Centroids.restore(recipe.codec.metric, part(arrays, "centroids."), dim)
        codec = recipe.codec.restore(part(arrays, "model."), dim, recipe.residual)
        finer = recipe.finer.restore(part(arrays, "finer."), dim) if recipe.finer else None
        return cls(codec, centroids, finer, recipe.lists.spill if recipe.lists else 0)

    @property
    def copies(self) -> int:
        """How many lists each row is in, and coded for; 1 without lists."""
        return 1 if self.centroids is None else min(1 + self.spill, self.centroids.lists)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every column of a row, or of a copy where there are several."""
        if self.copies == 1:
            return (*self.codec.columns, *self.finer_columns)
        return tuple(c for c in self.codec.columns if c not in self.codec.kept_columns)

    @property
    def once(self) -> tuple[Column, ...]:
        """Those that a row of several copies has but once; none where it has one."""
        if self.copies == 1:
            return ()
        lists = Column(LISTS, np.dtype(np.int32), self.copies)
        own = Column(ID, np.dtype(np.int64))
        return (*self.finer_columns, *self.codec.kept_columns, own, lists)

    @property
    def width(self) -> int:
        """Columns before those of the finer codec, where those are."""
        return len(self.codec.columns) if self.copies == 1 and not self.staged else 0

    @property
    def finer_columns(self) -> tuple[Column, ...]:
        """Those of the finer codec, which knows them by their names without FINER."""
        own = self.finer.columns if self.finer else ()
        return tuple(replace(c, name=FINER + c.name) for c in own if c.name != ID)

    def at(self, bits: int | None, oversample: float | None = None) -> "Model":
        """What searches the same rows by the first bits of codes, or all; see Codec.at.

        Where candidates are to be scored again, that is by all bits if there are no finer codes.
        """
        codec = self.codec.at(bits)
        if codec is self.codec:
            return self
        if oversample is None or self.finer is not None:
            return replace(self, codec=codec)
        return replace(self, codec=codec, finer=self.codec, staged=True)

    @lazy
    def sizes(self) -> FloatArray:
        """(lists, 2), see records.Stored."""
        assert self.centroids is not None
        origins = self.centroids.origins(np.arange(self.centroids.lists))
        twice = 2 if self.codec.metric == "l2" else 1
        both = row_norms(self.codec.known(origins)), twice * row_norms(origins)
        return np.stack(both, axis=1).astype(np.float32)

    def encode(self, x: FloatArray, numbers: Ids | None) -> list[dict[str, Array]]:
        """All columns but the ids of rows (n, dim), in lists (n, copies) where there are any.

        Those of each copy; the first has what is held once as well.
        """
        each: list[Ids | None] = [None] if numbers is None else list(numbers.T)
        encoded = [self.codec.encode(x, self._origins(own)) for own in each]
        if self.finer is not None:
            encoded[0] |= {FINER + name: array for name, array in self.finer.encode(x).items()}
        if numbers is not None:
            encoded[0][LISTS] = numbers
        return encoded

    def _origins(self, numbers: Ids | None) -> FloatArray | None:
        """What rows of some lists are coded from."""
        if numbers is None or self.centroids is None or not self.codec.residual:
            return None
        return self.centroids.origins(numbers)

    def reconstruct(self, columns: dict[str, Array], numbers: Ids | None) -> FloatArray:
        """Rows, (n, dim) float32: originals where they are kept, else by the finest codes."""
        if self.finer is not None and not self.codec.keep:
            cut = len(FINER)
            own = {name[cut:]: a for name, a in columns.items() if name.startswith(FINER)}
            return self.finer.decode(own)
        return self.codec.reconstruct(columns, self._origins(numbers))

    @property
    def nbytes(self) -> int:
        """Bytes of what was fitted."""
        return sum(array.nbytes for array in self.arrays().values())


def part(arrays: Mapping[str, Array], start: str) -> dict[str, Array]:
    """The arrays whose names begin so, by the rest of their names."""
    return {name[len(start) :]: a for name, a in arrays.items() if name.startswith(start)}
