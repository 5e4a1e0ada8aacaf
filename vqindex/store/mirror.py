"""What a store searches: quantized codes of most rows, and the newest ones exactly beside them.

Rows are those of the database, and ids of the index of codes. Both stand for one version of the
store, and follow the log to a later one; whatever they lack can be made anew from the database.
"""

import sqlite3
import warnings
from collections.abc import Iterable
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
from vqindex.store.reading import Rows, Written, parts, read, vector_rows
from vqindex.store.schema import State
from vqindex.store.tail import Tail

Vectors = NDArray[np.float32]
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
        self.tail = Tail(self.metric)
        self._masks: dict[str, Masks] = {}

    def __len__(self) -> int:
        return len(self.tail) + (0 if self.codes is None else len(self.codes))

    @property
    def nbytes(self) -> int:
        """Memory of the codes and of the tail."""
        return self.tail.nbytes + (0 if self.codes is None else self.codes.nbytes["total"])

    # Following the database

    def follow(
        self, connection: sqlite3.Connection, state: State, folder: Path | None,
        written: Written | None = None,
    ) -> None:  # fmt: skip
        """Come to the version of a snapshot, `state` being its own; `written` by the last if known.

        Whatever fails or interrupts this, the next time begins from nothing.
        """
        try:
            self._follow(connection, state, folder, written)
        except BaseException:
            self.clear()
            raise

    def _follow(
        self, connection: sqlite3.Connection, state: State, folder: Path | None,
        written: Written | None,
    ) -> None:  # fmt: skip
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
        if began and written is not None and written.version == state.version == self.version + 1:
            there = ((row, blob) for row, blob in sorted(written.blobs.items()) if blob is not None)
            self._take(_merged(ranges), parts(there, self.dim))
        elif ranges:
            ranges = _merged(ranges)
            self._take(ranges, read(connection, ranges, self.dim))
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

    def _take(self, ranges: list[tuple[int, int]], there: Iterable[tuple[Rows, Vectors]]) -> None:
        """Let rows in ranges, ascending and apart, be those of them that are there."""
        firsts, lasts = np.array(ranges).T
        if firsts[0] <= self._last:
            self.changed += self.tail.remove(_within(firsts, lasts, self.tail.rows))
            if self.codes is not None:
                self.changed += self.codes.remove(_within(firsts, lasts, self.codes.ids))
        self._last = max(self._last, ranges[-1][1])
        for rows, vectors in there:
            self.tail.add(rows, vectors)
            self.changed += len(rows)
            self.settle()

    def settle(self) -> None:
        """Encode the oldest rows of a tail that has grown too long."""
        if len(self.tail) <= (WAITING if self.codes is None else TAIL):
            return
        if self.codes is None:
            self.codes = index_factory(self.spec or CODES[0], metric=self.metric)
        oldest = np.argsort(self.tail.rows)[: len(self.tail) - TAIL // 4]
        rows = self.tail.rows[oldest]
        self.codes.add(self.tail.vectors[oldest], rows)
        self.tail.remove(rows)
        self._masks = {}

    # Searching

    def candidates(
        self, queries: NDArray[np.float32], k: int, m: int, masks: Masks | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows (nq, at most m + k + MORE) among which the k nearest of each query are; scores.

        Those of the codes, m at most and their scores estimates, and then those of the tail, all
        that can be among the k nearest whatever the estimates are worth.

        masks  the rows that may be found, from `allow`, or None for all
        Rows are -1 where there are no more.
        """
        codes, tail = (None, None) if masks is None else masks
        rows, scores = self.tail.nearest(queries, k + MORE, tail)
        if self.codes is None or not len(self.codes):
            return rows, scores
        found = self.codes.search(queries, min(m, len(self.codes)), filter=codes)
        if not rows.size:
            return found.ids, found.scores
        return np.concatenate([found.ids, rows], 1), np.concatenate([found.scores, scores], 1)

    def allowed(self, name: str) -> Masks | None:
        """Masks that were made under a name since the last change."""
        return self._masks.get(name)

    def allow(self, name: str, rows: Rows) -> Masks:
        """Masks of some rows, kept under a name if there is one."""
        codes = np.empty(0, np.int64) if self.codes is None else self.codes.ids
        masks = np.isin(codes, rows), np.isin(self.tail.rows, rows)
        if name:
            if len(self._masks) >= MASKS:
                self._masks = {}
            self._masks[name] = masks
        return masks


def _within(firsts: Rows, lasts: Rows, rows: Rows) -> Rows:
    """Those of some rows that are in ranges, and perhaps some that are not among them."""
    if (lasts - firsts + 1).sum() < len(rows):
        several = zip(firsts.tolist(), lasts.tolist(), strict=True)
        return np.concatenate([np.arange(first, last + 1) for first, last in several])
    at = np.searchsorted(firsts, rows, side="right") - 1
    return rows[(at >= 0) & (rows <= lasts[at])]


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, joined where they meet."""
    out: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            out[-1] = out[-1][0], max(out[-1][1], last)
        else:
            out.append((first, last))
    return out
