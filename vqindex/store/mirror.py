"""What a store searches: quantized codes of most rows, and the newest ones exactly beside them.

Both are indexes whose ids are the database's rows. They stand for one version of the store, and
follow the log to a later one; whatever they lack can be made anew from the database.
"""

import sqlite3
import warnings
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

import vqindex.io
from vqindex.errors import CorruptFileError
from vqindex.factory import index_factory
from vqindex.indexes.base import Index
from vqindex.locks import ReadWriteLock
from vqindex.store.growth import CODES, TAIL, WAITING
from vqindex.store.reading import Rows, read, vector_rows
from vqindex.store.schema import State

Masks = tuple[NDArray[np.bool_], NDArray[np.bool_]]
MORE = 8  # candidates beyond k, for what float32 sums may confuse
MASKS = 16  # kept


@final
class Mirror:
    """The searchable side of a store; take `lock` to read it or to change it."""

    def __init__(self, metric: str, spec: str | None) -> None:
        self.lock = ReadWriteLock()
        self.metric, self.spec = metric, spec
        self.clear()

    def clear(self) -> None:
        """Nothing, as at version 0."""
        self.version = 0
        self.dim: int | None = None
        self.file: str | None = None  # the state's index file when `codes` came from it
        self.changed = 0  # rows since then
        self.made_of = 0  # rows that there were when `codes` was fitted
        self._last = -1  # the largest row there ever was
        self.codes: Index | None = None
        self.tail = index_factory("F32", metric=self.metric)
        self._masks: dict[str, Masks] = {}

    def __len__(self) -> int:
        return len(self.tail) + (0 if self.codes is None else len(self.codes))

    @property
    def nbytes(self) -> int:
        """Memory of the codes and of the tail."""
        return sum(i.nbytes["total"] for i in (self.tail, self.codes) if i is not None)

    # Following the database

    def follow(self, connection: sqlite3.Connection, state: State, folder: Path | None) -> None:
        """Come to the version of a snapshot, `state` being its own.

        Whatever fails or interrupts this, the next time begins from nothing.
        """
        try:
            self._follow(connection, state, folder)
        except BaseException:
            self.clear()
            raise

    def _follow(self, connection: sqlite3.Connection, state: State, folder: Path | None) -> None:
        began = self.version >= state.log_start and self.file == state.index_file
        if not began or self.dim != state.dim:
            self.clear()
            self.dim, self.file = state.dim, state.index_file
            if folder is not None and state.index_file is not None:
                self._load(folder / state.index_file, state)
        if self.version < state.log_start:  # nothing to begin with
            ranges = [(0, state.next_row)]
        else:
            later = "SELECT first, last FROM log WHERE version > ?"
            ranges = connection.execute(later, (self.version,)).fetchall()
            if not began and self.codes is not None:  # rows that were not coded when it was saved
                missing = np.setdiff1d(vector_rows(connection), self.codes.ids)
                ranges += [(row, row) for row in missing.tolist()]
        self._masks = {}
        if ranges:
            self._take(connection, _merged(ranges))
        self.changed += len(ranges)  # or the log of rows without vectors would not be cut
        self.version = state.version

    def _load(self, path: Path, state: State) -> None:
        """Begin with the index file, if it is there and whole; else all is made anew."""
        try:
            codes = vqindex.io.load(path)
        except FileNotFoundError:
            return
        except CorruptFileError as error:
            warnings.warn(f"{error}: the index is made anew.", RuntimeWarning, stacklevel=2)
            return
        if codes.metric == self.metric and codes.dim in (None, self.dim):
            self._begin(codes, state.index_version)

    def adopt(self, codes: Index, state: State) -> None:
        """Let an index of every row at a version stand for it; nothing if interrupted."""
        try:
            self.clear()
            self.dim, self.file, self.changed = state.dim, state.index_file, len(codes)
            self._begin(codes, state.version)
        except BaseException:
            self.clear()
            raise

    def _begin(self, codes: Index, version: int) -> None:
        self.codes, self.version, self.made_of = codes, version, len(codes)
        self._last = int(codes.ids.max(initial=-1))

    def _take(self, connection: sqlite3.Connection, ranges: list[tuple[int, int]]) -> None:
        """Let rows in ranges, ascending and apart, be what the database has of them now."""
        firsts, lasts = np.array(ranges).T
        for index in (self.tail, self.codes) if firsts[0] <= self._last else ():
            if index is not None and len(index):
                self.changed += index.remove(_within(firsts, lasts, index))
        self._last = max(self._last, ranges[-1][1])
        for rows, vectors in read(connection, ranges, self.dim):
            self.tail.add(vectors, rows)
            self.changed += len(rows)
            self.settle()

    def settle(self) -> None:
        """Encode the oldest rows of a tail that has grown too long."""
        if len(self.tail) <= (WAITING if self.codes is None else TAIL):
            return
        if self.codes is None:
            self.codes = index_factory(self.spec or CODES[0], metric=self.metric)
        rows = np.sort(self.tail.ids)
        rows = rows[: len(rows) - TAIL // 4]
        self.codes.add(self.tail.reconstruct(rows), rows)
        self.tail.remove(rows)
        self._masks = {}

    # Searching

    def candidates(
        self, queries: NDArray[np.float32], k: int, m: int, masks: Masks | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows (nq, at most m) among which the k nearest of each query (nq, d) are; their scores.

        Scores are estimates for rows that are coded. Those of the tail are good to a few bits.

        masks  the rows that may be found, from `allow`, or None for all
        Rows are -1 where there are no more.
        """
        codes, tail = (None, None) if masks is None else masks
        found = []
        for index, mask, wanted in ((self.codes, codes, m), (self.tail, tail, k + MORE)):
            if index is not None and len(index):
                found.append(index.search(queries, min(wanted, len(index)), filter=mask))
        if not found:
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
        if len(found) == 1:
            return found[0].ids, found[0].scores
        ids = np.concatenate([part.ids for part in found], axis=1)
        scores = np.concatenate([part.scores for part in found], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :m]
        return np.take_along_axis(ids, best, 1), np.take_along_axis(scores, best, 1)

    def allowed(self, name: str) -> Masks | None:
        """Masks that were made under a name since the last change."""
        return self._masks.get(name)

    def allow(self, name: str, rows: Rows) -> Masks:
        """Masks of some rows, kept under a name if there is one."""
        codes = np.empty(0, np.int64) if self.codes is None else self.codes.ids
        masks = np.isin(codes, rows), np.isin(self.tail.ids, rows)
        if name:
            if len(self._masks) >= MASKS:
                self._masks = {}
            self._masks[name] = masks
        return masks


def _within(firsts: Rows, lasts: Rows, index: Index) -> Rows:
    """The rows of an index that are in ranges, and perhaps some that it has not."""
    if (lasts - firsts + 1).sum() < len(index):
        several = zip(firsts.tolist(), lasts.tolist(), strict=True)
        return np.concatenate([np.arange(first, last + 1) for first, last in several])
    ids = index.ids
    at = np.searchsorted(firsts, ids, side="right") - 1
    return ids[(at >= 0) & (ids <= lasts[at])]


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, joined where they meet."""
    out: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            out[-1] = out[-1][0], max(out[-1][1], last)
        else:
            out.append((first, last))
    return out
