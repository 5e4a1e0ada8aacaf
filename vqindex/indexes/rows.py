"""Rows: what an index holds, whatever it does with it: codes, ids, and the codecs they share.

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
from vqindex.codec import ID, Codec
from vqindex.codes import Blocks, Codes
from vqindex.errors import IdError
from vqindex.indexes import copies
from vqindex.indexes.coding import anew, nearest, put
from vqindex.indexes.copies import Owners
from vqindex.indexes.id_map import IdMap, plan_removal
from vqindex.indexes.lists import Lists
from vqindex.indexes.model import Model
from vqindex.indexes.recipe import IndexRecipe
from vqindex.interrupts import uninterrupted
from vqindex.kernels.cpu.program import BLOCK
from vqindex.layouts.base import Array, FloatArray

CHUNK = 1 << 19  # numbers encoded at a time: few enough for a cache, and worth the calls
CHUNK_ROWS = 2048  # at most
AHEAD = 16  # chunks that each of several threads adds before it waits for the others

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@final
class Rows:
    """Codes and ids of an index; not safe for threads by itself.

    A row's slot is its place in the codes. Slots are 0..n-1 but for rows in lists, which share
    blocks: those end with places for rows to come. Where rows lie in several lists, slots are those
    of their copies, and what a row has but once is at its number in `once`; see copies.
    """

    def __init__(self, recipe: IndexRecipe, dim: int) -> None:
        self.recipe = recipe
        self.dim = dim
        self.fitted = recipe.sample_size == 0
        self.model = Model.fit(recipe if self.fitted else recipe.waiting, None, dim)
        self.codes = Codes(self.model.columns)
        self.lists: Lists | None = None
        self.once: Codes | None = None
        self.ids = IdMap()
        self._owners = Owners()

    @classmethod
    def restore(
        cls, recipe: IndexRecipe, dim: int, fitted: bool, model: Model, codes: Codes,
        lists: Lists | None, once: Codes | None, next_id: int,
    ) -> "Rows":  # fmt: skip
        """Rows as a file holds them; CorruptFileError where their ids are not."""
        rows = cls.__new__(cls)
        rows.recipe, rows.dim, rows.fitted, rows.model = recipe, dim, fitted, model
        rows.codes, rows.lists, rows.once, rows._owners = codes, lists, once, Owners()
        rows.ids = IdMap.rebuild(rows.id_column, next_id)
        if lists is not None and once is not None:
            copies.check(once, codes, lists, rows.ids)
        elif lists is not None:
            rows.ids.assign(rows.id_column, rows.slots)
        return rows

    @property
    def codec(self) -> Codec:
        """How rows are coded."""
        return self.model.codec

    @property
    def n(self) -> int:
        """How many rows there are."""
        return self._named.n if self.lists is None or self.once is not None else self.lists.n

    @property
    def _named(self) -> Codes:
        """What ids stand for places in."""
        return self.codes if self.once is None else self.once

    @property
    def row_bytes(self) -> int:
        """What each further row costs, with all its copies."""
        once = 0 if self.once is None else self.once.row_bytes
        return self.model.copies * self.codes.row_bytes + once

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return self.codes.nbytes + (0 if self.once is None else self.once.nbytes)

    @property
    def chunk(self) -> int:
        """Rows encoded at a time."""
        return max(1, min(CHUNK // self.dim, CHUNK_ROWS))

    @property
    def slots(self) -> Ids:
        """Where each row is, (n,), or each copy, ascending."""
        return np.arange(self.codes.n) if self.lists is None else self.lists.slots

    @property
    def id_column(self) -> Ids:
        """The id of each row, (n,), in the order of slots."""
        column = self._named.column(ID)
        return column if self._named.n == self.n else column[self.slots]

    def of_slots(self, allowed: Mask) -> Mask:
        """Rows that are allowed (n,), in the order of `id_column`: in that of slots."""
        if self.lists is None or self.once is None:
            return allowed
        return allowed[self._owners.of(self.codes, self.lists, self.ids)]

    def blocks(self, allowed: Mask | None) -> Blocks:
        """The blocks of the rows that are allowed, (n,) bool in the order of slots, or of all."""
        if self.lists is None:
            return self.codes.blocks if allowed is None else Blocks.of(allowed)
        if allowed is None:
            return Blocks(np.arange(self.lists.blocks), self.lists.masks)
        places = np.zeros(self.codes.n, np.bool_)
        places[self.lists.slots] = allowed
        return Blocks.of(places)

    def owners(self, slots: Ids) -> Ids | None:
        """The list of each slot."""
        return None if self.lists is None else self.lists.owners[slots // BLOCK].astype(np.int64)

    def fit(self, sample: FloatArray, queries: FloatArray | None = None) -> None:
        """Fit the model from a sample (m, dim) and encode what is there; queries (nq, dim)."""
        self._adopt(Model.fit(self.recipe, sample, self.dim, queries))

    def _adopt(self, model: Model) -> None:
        """Encode every row anew, by a model that takes the place of the waiting one."""
        ids = self.id_column
        coded = anew(model, self.codec, self.codes, self._edges(0, self.codes.n))
        with uninterrupted():
            self.ids.assign(ids, coded.places)
            self.codes, self.once, self.lists, _ = coded
            self.model, self.fitted = model, True

    def append(
        self, vectors: Vectors, ids: Ids, threads: int, progress: Callable[[int], None]
    ) -> None:
        """Add rows under ids that are not there yet; on any failure nothing has changed."""
        with self._all_or_nothing() as done:
            slots = self._extend(vectors, ids, threads, progress)
            with uninterrupted():
                self._name(ids, slots)
                done()

    def _name(self, ids: Ids, slots: Ids) -> None:
        """Let new ids stand for the rows in some slots."""
        self.ids.insert(ids, int(slots[0]) if len(slots) else 0)
        if self.lists is not None and self.once is None:
            self.ids.assign(ids, slots)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[Callable[[], None]]:
        """Whatever fails or interrupts what adds rows, those that were there are as they were.

        Until what this yields is called: from then on ids stand for the new ones.
        """
        before = self.codes, self.once, self.model, self.lists, self.fitted
        n, alone = self.codes.n, 0 if self.once is None else self.once.n
        ended: list[bool] = []
        try:
            yield lambda: ended.append(True)
        except BaseException:
            if ended:
                raise
            with uninterrupted():
                fitted_since = self.codes is not before[0]
                self.codes, self.once, self.model, self.lists, self.fitted = before
                self.codes.truncate(n)
                if self.once is not None:
                    self.once.truncate(alone)
                if self.lists is not None:
                    self.codes.clear(self.lists.spare(np.arange(self.lists.count)))
                if fitted_since:
                    self.ids.assign(self.id_column, np.arange(n))
            raise

    def _extend(
        self, vectors: Vectors, ids: Ids, threads: int, progress: Callable[[int], None]
    ) -> Ids:
        """Code rows and write them; what their ids are to stand for in the end, (n,)."""
        start, slots = 0, np.empty(vectors.n, np.int64)
        while start < vectors.n:
            stop = vectors.n
            if not self.fitted:
                stop = min(stop, start + self.recipe.sample_size - self.codes.n)
            slots[start:stop] = self._write(vectors, ids, start, stop, threads, progress)
            start = stop
            if not self.fitted and self.codes.n == self.recipe.sample_size:
                before = self.codes.n - start
                self.fit(self.codec.decode(self.codes.take(np.arange(self.codes.n))))
                if self.lists is not None and self.once is None:
                    # In their order: where ids lie that are not named yet.
                    order = np.argsort(self.id_column, kind="stable")
                    found = np.searchsorted(self.id_column, ids[:stop], sorter=order)
                    slots[:stop] = self.lists.slots[order[found]]
                else:
                    slots[:stop] = np.arange(before, before + stop)
        return slots

    def _write(
        self, vectors: Vectors, ids: Ids, start: int, stop: int, threads: int,
        progress: Callable[[int], None],
    ) -> Ids:  # fmt: skip
        """Encode rows start..stop-1 and write them into slots of their own, chunk by chunk."""
        numbers, lists = None, None
        rows = self._named.n + np.arange(stop - start)
        if self.lists is None:
            slots = rows[:, None]
            self.codes.extend(len(slots))
        else:

            def assign(a: int, b: int) -> tuple[Ids, int]:
                return nearest(self.model, vectors.chunk(a, b))

            tasks = [partial(assign, a, b) for a, b in self._edges(start, stop)]
            found = pool.run(tasks, threads)
            parts = (part for part, _ in found)
            numbers = np.concatenate([np.empty((0, self.model.copies), np.int64), *parts])
            lists, slots = self.lists.grown(numbers, sum(strain for _, strain in found))
            self.codes.extend(BLOCK * lists.blocks - self.codes.n)
            if self.once is not None:
                self.once.extend(len(rows))
        together = lists is not None and vectors.in_memory  # the rows of one list
        order = np.argsort(slots[:, 0]) if together else np.arange(len(slots))

        def write(a: int, b: int) -> None:
            here = order[a:b]
            x = vectors.take(start + here) if together else vectors.chunk(start + a, start + b)
            encoded = self._encode(x, None if numbers is None else numbers[here])
            encoded[0][ID] = ids[start + here]
            if numbers is None:
                self.codes.write(int(rows[a]), encoded[0])
            else:
                put(self.codes, self.once, encoded, slots[here], rows[here])

        edges, step = self._edges(0, len(slots)), AHEAD * threads if threads > 1 else 1
        for first in range(0, len(edges), step):
            some = edges[first : first + step]
            pool.run([partial(write, a, b) for a, b in some], threads)
            progress(start + some[-1][1])
        self.lists = lists
        return rows if self.once is not None else slots[:, 0]

    def _edges(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Where each chunk of rows start..stop-1 begins and ends."""
        return [(a, min(a + self.chunk, stop)) for a in range(start, stop, self.chunk)]

    def replace(
        self, vectors: Vectors, ids: Ids, threads: int, progress: Callable[[int], None]
    ) -> None:
        """Add rows, or write over those whose ids are there; on failure nothing has changed."""
        old = self.ids.find(ids) >= 0
        whole = vectors.chunk(0, vectors.n)
        fresh, changed = (
            Vectors(part, len(part), self.dim, vectors.name) for part in (whole[~old], whole[old])
        )
        with self._all_or_nothing() as done:
            slots = self._extend(fresh, ids[~old], threads, progress)
            if self.lists is None:
                # All of them before any is written over: a row may be refused.
                edges = self._edges(0, changed.n)
                tasks = [partial(self._encoded, changed, ids[old], a, b) for a, b in edges]
                encoded = pool.run(tasks, threads)
                if changed.n:
                    progress(vectors.n)
                with uninterrupted():
                    self._name(ids[~old], slots)
                    rows = self.ids.find(ids[old])
                    for (a, b), values in zip(edges, encoded, strict=True):
                        self.codes.put(rows[a:b], values)
                    done()
            else:
                rows = self.ids.find(ids[old])
                gone = self._places(rows)  # before others have the same ids
                places = self._extend(changed, ids[old], threads, _silent)
                if changed.n:
                    progress(vectors.n)
                with uninterrupted():
                    self._name(ids[~old], slots)
                    self.ids.assign(ids[old], places)
                    self._drop(rows, gone)
                    done()

    def _encoded(self, vectors: Vectors, ids: Ids, a: int, b: int) -> dict[str, Array]:
        """The columns of rows a..b-1."""
        return self._encode(vectors.chunk(a, b), None)[0] | {ID: ids[a:b]}

    def _encode(self, x: FloatArray, numbers: Ids | None) -> list[dict[str, Array]]:
        """See Model.encode; of rows that wait, none that could not be coded later."""
        if not self.fitted:
            self.recipe.check(x)
        return self.model.encode(x, numbers)

    def remove(self, ids: Ids) -> int:
        """Drop the rows of these ids, if there; others fill their places."""
        slots = self.ids.find(ids)
        found = np.unique(slots[slots >= 0])
        if not len(found):
            return 0
        removed, places = self._named.take(found, [ID])[ID].ravel(), self._places(found)
        with uninterrupted():
            self.ids.remove(removed)
            self._drop(found, places)
        return len(found)

    def _places(self, rows: Ids) -> Ids:
        """The slots of some rows, (m, copies)."""
        if self.lists is None or self.once is None:
            return rows[:, None]
        return copies.slots_of(rows, self.once, self.codes, self.lists)

    def _drop(self, rows: Ids, places: Ids) -> None:
        """Let others take the places of rows that no id stands for any more."""
        if not len(rows):
            return
        if self.lists is None or self.once is not None:
            pool = self._named
            self._move(pool, *plan_removal(np.sort(rows), pool.n))
            pool.truncate(pool.n - len(rows))
        if self.lists is not None:
            self._drop_slots(places.ravel())

    def _drop_slots(self, slots: Ids) -> None:
        """Let others of the same lists take the places of rows in some slots."""
        assert self.lists is not None
        changed = np.unique(self.lists.owners[slots // BLOCK]).astype(np.int64)
        self.lists, moves = self.lists.without(slots)
        self._move(self.codes, moves.targets, moves.sources)
        inside = np.arange(BLOCK)
        into, out = (
            (BLOCK * blocks[:, None] + inside).ravel()
            for blocks in (moves.block_targets, moves.block_sources)
        )
        self.codes.put(into, self.codes.take(out))
        self.codes.truncate(BLOCK * self.lists.blocks)
        self.codes.clear(self.lists.spare(changed))
        there = into[self.lists.hold(into)]
        self._moved(self.codes, self.codes.take(there, [ID])[ID], there)

    def compact(self) -> None:
        """Let the blocks of each list follow each other."""
        if self.lists is None:
            return
        lists, order = self.lists.compact()
        if np.array_equal(order, np.arange(len(order))):
            return
        codes = self.codes.arranged(order)
        ids = codes.column(ID)[lists.slots]
        with uninterrupted():
            self._moved(self.codes, ids, lists.slots)
            self.codes, self.lists = codes, lists

    def _move(self, pool: Codes, targets: Ids, sources: Ids) -> None:
        moved = pool.take(sources)
        pool.put(targets, moved)
        self._moved(pool, moved[ID], targets)

    def _moved(self, pool: Codes, ids: Array, places: Ids) -> None:
        """Let ids stand for other places, if they stand for such ones."""
        if pool is self._named:
            self.ids.assign(ids.ravel(), places)

    def reconstruct(self, ids: Ids) -> FloatArray:
        """The rows of these ids, (m, dim) float32."""
        rows = self.ids.find(ids)
        if (rows < 0).any():
            raise KeyError(f"id {int(ids[rows < 0][0])} is not in the index.")
        if self.once is not None and (self.model.finer or self.codec.keep):
            return self.model.reconstruct(self.once.take(rows), None)
        slots = self._places(rows)[:, 0]
        return self.model.reconstruct(self.codes.take(slots), self.owners(slots))

    def check_new(self, ids: Ids) -> None:
        """Raise IdError if an id is already there."""
        rows = self.ids.find(ids)
        if (rows >= 0).any():
            raise IdError(
                f"id {int(ids[rows >= 0][0])} is already in the index; use upsert to replace rows."
            )


def _silent(_: int) -> None:
    """No progress to tell."""
