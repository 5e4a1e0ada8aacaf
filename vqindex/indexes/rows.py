"""Rows: what an index holds, whatever it does with it: codes, ids, and the codec they share.

A codec that learns is fitted from `fit(sample)` or else from exactly the first rows added, as
many as it asks for; until then rows are kept as float32 and searched exactly. So how rows are
split among calls changes nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import final

import numpy as np
import numpy.typing as npt

from vqindex import threads as pool
from vqindex.arrays import Vectors
from vqindex.codec import ID, Codec, Recipe
from vqindex.codes import Codes
from vqindex.errors import IdError
from vqindex.indexes.id_map import IdMap, plan_removal
from vqindex.interrupts import uninterrupted
from vqindex.layouts.base import Array, FloatArray
from vqindex.quantizers.originals import Originals
from vqindex.transforms.identity import Identity

CHUNK = 1 << 19  # numbers encoded at a time: few enough for a cache, and worth the calls
CHUNK_ROWS = 2048  # at most
AHEAD = 16  # chunks that each of several threads adds before it waits for the others

Ids = npt.NDArray[np.int64]


@final
class Rows:
    """Codes and ids of an index; not safe for threads by itself."""

    def __init__(self, recipe: Recipe, dim: int) -> None:
        self.recipe = recipe
        self.dim = dim
        self.fitted = recipe.sample_size == 0
        self.codec = recipe.fit(None, dim) if self.fitted else self.waiting.fit(None, dim)
        self.codes = Codes(self.codec.columns)
        self.ids = IdMap()

    @property
    def waiting(self) -> Recipe:
        """Rows as they come, for as long as there are too few to fit."""
        own = self.recipe
        return Recipe(own.metric, Identity(), Originals("F32"), None, own.keep, own.seed)

    @property
    def chunk(self) -> int:
        """Rows encoded at a time."""
        return max(1, min(CHUNK // self.dim, CHUNK_ROWS))

    @property
    def id_column(self) -> Ids:
        """The id of each row, (n,)."""
        return self.codes.column(ID)

    def fit(self, sample: FloatArray, queries: FloatArray | None = None) -> None:
        """Fit the codec from a sample (m, dim) and encode what is there; queries (nq, dim)."""
        self._adopt(self.recipe.fit(sample, self.dim, queries))

    def _adopt(self, codec: Codec) -> None:
        """Encode every row anew, by a codec that takes the place of the waiting one."""
        old, codes = self.codes, Codes(codec.columns)
        for start in range(0, old.n, self.chunk):
            rows = old.take(np.arange(start, min(start + self.chunk, old.n)))
            encoded = codec.encode(self.codec.decode(rows)) | self.codec.kept(rows)
            codes.append(encoded | {ID: rows[ID]})
        self.codes, self.codec, self.fitted = codes, codec, True

    def append(
        self, vectors: Vectors, ids: Ids, threads: int, progress: Callable[[int], None]
    ) -> None:
        """Add rows under ids that are not there yet; on any failure nothing has changed."""
        n = self.codes.n
        with self._all_or_nothing():
            self._extend(vectors, ids, threads, progress)
            with uninterrupted():
                self.ids.insert(ids, n)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Whatever fails or interrupts what adds rows, those that were there are as they were."""
        before = self.codes, self.codec, self.fitted, self.codes.n
        try:
            yield
        except BaseException:
            with uninterrupted():
                self.codes, self.codec, self.fitted, n = before
                self.codes.truncate(n)
            raise

    def _extend(
        self, vectors: Vectors, ids: Ids, threads: int, progress: Callable[[int], None]
    ) -> None:
        start, chunks = 0, AHEAD * threads if threads > 1 else 1
        while start < vectors.n:
            stop = min(start + chunks * self.chunk, vectors.n)
            if not self.fitted:
                stop = min(stop, start + self.recipe.sample_size - self.codes.n)
            self._write(vectors, ids, start, stop, threads)
            if not self.fitted and self.codes.n == self.recipe.sample_size:
                rows = self.codes.take(np.arange(self.codes.n))
                self.fit(self.codec.decode(rows))
            start = stop
            progress(start)

    def _write(self, vectors: Vectors, ids: Ids, start: int, stop: int, threads: int) -> None:
        """Encode rows start..stop-1 and write them after the last, a chunk at a time."""
        shift = self.codes.extend(stop - start) - start

        def write(a: int, b: int) -> None:
            self.codes.write(shift + a, self._encoded(vectors, ids, a, b))

        pool.run([partial(write, a, b) for a, b in self._edges(start, stop)], threads)

    def _edges(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Where each chunk of rows start..stop-1 begins and ends."""
        return [(a, min(a + self.chunk, stop)) for a in range(start, stop, self.chunk)]

    def _encoded(self, vectors: Vectors, ids: Ids, a: int, b: int) -> dict[str, Array]:
        """The columns of rows a..b-1."""
        return self.codec.encode(vectors.chunk(a, b)) | {ID: ids[a:b]}

    def replace(
        self, vectors: Vectors, ids: Ids, threads: int, progress: Callable[[int], None]
    ) -> None:
        """Add rows, or write over those whose ids are there; on failure nothing has changed."""
        rows, n = self.ids.find(ids), self.codes.n
        old, new = rows >= 0, rows < 0
        whole = vectors.chunk(0, vectors.n)
        fresh, changed = (
            Vectors(part, len(part), self.dim, vectors.name) for part in (whole[new], whole[old])
        )
        with self._all_or_nothing():
            self._extend(fresh, ids[new], threads, progress)
            # All of them before any is written over: a row may be refused.
            edges = self._edges(0, changed.n)
            tasks = [partial(self._encoded, changed, ids[old], a, b) for a, b in edges]
            encoded = pool.run(tasks, threads)
            if changed.n:
                progress(vectors.n)
            with uninterrupted():
                self.ids.insert(ids[new], n)
                for (a, b), values in zip(edges, encoded, strict=True):
                    self.codes.put(rows[old][a:b], values)

    def remove(self, ids: Ids) -> int:
        """Drop the rows of these ids, if there; the last rows fill their places."""
        rows = self.ids.find(ids)
        found = np.unique(rows[rows >= 0])
        if not len(found):
            return 0
        removed = self.codes.take(found)[ID].ravel()
        targets, sources = plan_removal(found, self.codes.n)
        moved = self.codes.take(sources)
        with uninterrupted():
            self.codes.put(targets, moved)
            self.codes.truncate(self.codes.n - len(found))
            self.ids.remove(removed)
            self.ids.assign(moved[ID].ravel(), targets)
        return len(found)

    def reconstruct(self, ids: Ids) -> FloatArray:
        """The rows of these ids, (m, dim) float32."""
        rows = self.ids.find(ids)
        if (rows < 0).any():
            raise KeyError(f"id {int(ids[rows < 0][0])} is not in the index.")
        return self.codec.reconstruct(self.codes.take(rows))

    def check_new(self, ids: Ids) -> None:
        """Raise IdError if an id is already there."""
        rows = self.ids.find(ids)
        if (rows >= 0).any():
            raise IdError(
                f"id {int(ids[rows >= 0][0])} is already in the index; use upsert to replace rows."
            )
