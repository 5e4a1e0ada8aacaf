"""What a store searches: quantized codes of most rows, and the newest ones exactly beside them.

Both are indexes whose ids are the database's rows. They stand for one version of the store, and
follow the log to a later one; whatever they lack can be made anew from the database.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

import vqindex.io
from vqindex.errors import CorruptFileError
from vqindex.factory import index_factory
from vqindex.indexes.base import Index
from vqindex.locks import ReadWriteLock
from vqindex.store.documents import matrix
from vqindex.store.growth import CODES, TAIL, WAITING
from vqindex.store.schema import State

Rows = NDArray[np.int64]
Masks = tuple[NDArray[np.bool_], NDArray[np.bool_]]
AT_ONCE = 2048  # vectors read at a time
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
        self.version = self.saved = 0
        self.dim: int | None = None
        self.file: str | None = None  # what `codes` was read from or saved to
        self.changed = 0  # rows since then
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
        """Come to the version of a snapshot, `state` being its own."""
        if self.dim != state.dim or self.version < state.log_start:
            self.clear()
        self.dim = state.dim
        if not self.version and state.index_file is not None and folder is not None:
            self._load(folder, state)
        if self.version < state.log_start:  # nothing to begin with: all rows there are
            ranges = [(0, state.next_row)]
        else:
            ranges = _merged(connection.execute(
                "SELECT first, last FROM log WHERE version > ? ORDER BY first", (self.version,)
            ))  # fmt: skip
        self._masks = {}
        for first, last in ranges:
            self._take(connection, first, last)
        self.version = state.version

    def _load(self, folder: Path, state: State) -> None:
        """Begin with the index file, if it is there and whole."""
        assert state.index_file is not None
        try:
            codes = vqindex.io.load(folder / state.index_file)
        except (CorruptFileError, FileNotFoundError):  # it is made anew from the database
            return
        if codes.metric == self.metric and codes.dim in (None, self.dim):
            self.codes, self.file, self.saved = codes, state.index_file, state.index_version
            self.version, self.changed = state.index_version, 0

    def _take(self, connection: sqlite3.Connection, first: int, last: int) -> None:
        """Let rows first..last be what the database has of them now."""
        for index in (self.tail, self.codes):
            if index is not None and len(index):
                ids = index.ids
                self.changed += index.remove(ids[(ids >= first) & (ids <= last)])
        for rows, vectors in read(connection, first, last, self.dim):
            self.tail.add(vectors, rows)
            self.changed += len(rows)
            self.settle()

    def settle(self, whole: bool = False) -> None:
        """Encode the oldest rows of a tail that has grown too long, or all of them."""
        if len(self.tail) <= (WAITING if self.codes is None else TAIL) and not whole:
            return
        if self.codes is None:
            self.codes = index_factory(self.spec or CODES, metric=self.metric)
        rows = np.sort(self.tail.ids)
        rows = rows if whole else rows[: len(rows) - TAIL // 4]
        if len(rows):
            self.codes.add(self.tail.reconstruct(rows), rows)
            self.tail.remove(rows)
            self._masks = {}

    # Searching

    def candidates(
        self, queries: NDArray[np.float32], k: int, oversample: float, masks: Masks | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows (nq, m) that the k nearest of each query (nq, d) are among, and estimated scores.

        masks  the rows that may be found, from `allow`, or None for all
        Rows are -1 where there are no more.
        """
        codes, tail = (None, None) if masks is None else masks
        found = []
        for index, mask, wanted in (
            (self.codes, codes, int(np.ceil(k * oversample)) + MORE),
            (self.tail, tail, k + MORE),
        ):
            if index is not None and len(index):
                found.append(index.search(queries, min(wanted, len(index)), filter=mask))
        if not found:
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
        ids = np.concatenate([part.ids for part in found], axis=1)
        return ids, np.concatenate([part.scores for part in found], axis=1)

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


def read(
    connection: sqlite3.Connection, first: int, last: int, dim: int | None
) -> Iterator[tuple[Rows, NDArray[np.float32]]]:
    """The vectors of rows first..last, a part at a time, as float32."""
    found = connection.execute(
        "SELECT row, data FROM vectors WHERE row BETWEEN ? AND ? ORDER BY row", (first, last)
    )
    while part := found.fetchmany(AT_ONCE):
        assert dim is not None
        yield np.array([row for row, _ in part]), matrix([blob for _, blob in part], dim)


def _merged(ranges: sqlite3.Cursor) -> list[tuple[int, int]]:
    """Ranges by their first, joined where they meet."""
    out: list[tuple[int, int]] = []
    for first, last in ranges:
        if out and first <= out[-1][1] + 1:
            out[-1] = out[-1][0], max(out[-1][1], last)
        else:
            out.append((first, last))
    return out
