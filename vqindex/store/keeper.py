"""What keeps a store's index at its database's version, and its file not far behind."""

import os
import secrets
import sqlite3
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np

import vqindex.io
from vqindex.errors import CorruptFileError
from vqindex.progress import Progress, ProgressLike
from vqindex.store import growth
from vqindex.store.database import Database, read_state, snapshot
from vqindex.store.documents import is_odd, loads, matrix
from vqindex.store.mirror import Mirror
from vqindex.store.reading import Written, vector_rows
from vqindex.store.schema import State

LEAST = 8192  # rows changed from which the index file is written again, or 2/3 of all if more


@final
class Keeper:
    """The index of a store, for as long as its database is open."""

    def __init__(self, database: Database, metric: str, spec: str | None) -> None:
        self.database, self.metric, self.spec = database, metric, spec
        self._begin()
        _keepers.add(self)

    def _begin(self) -> None:
        """As new; in a forked child too, for a thread may have been changing the index."""
        self.mirror = Mirror(self.metric, self.spec)
        self._growing = threading.Lock()  # held by who makes the index anew, or saves it

    @contextmanager
    def synced(self, written: Written | None = None) -> Iterator[tuple[sqlite3.Connection, State]]:
        """A snapshot of the database, with the mirror at the same version and held there."""
        mirror = self.mirror
        with self.database.connection() as connection:
            with mirror.lock.read(), snapshot(connection):
                state = read_state(connection)
                if state.version == mirror.version:
                    yield connection, state
                    return
            with ExitStack() as held:
                with mirror.lock.write():
                    held.enter_context(snapshot(connection))
                    state = read_state(connection)
                    mirror.follow(connection, state, self.database.folder, written)
                    held.enter_context(mirror.lock.read())  # kept when others may read again
                yield connection, state

    def after_write(self, written: Written | None = None) -> None:
        """Come after what was written; now and then make the index anew, and save it.

        What was written is safe: where the index cannot follow, searches will say so.
        """
        if not self._growing.acquire(blocking=False):
            return  # another thread is at it
        try:
            with self.synced(written):
                pass
            mirror = self.mirror
            if self.spec is None and growth.is_due(mirror.made_of, len(mirror)):
                self.rebuild(growth.specs(len(mirror)), False)
            if mirror.changed > max(LEAST, 2 * len(mirror) // 3):
                self.save()
        except OSError as error:
            self.mirror.changed = 0  # after as many changes it is tried again
            _warn(f"the index file could not be written, opening will take longer: {error}")
        except (ValueError, TypeError, MemoryError) as error:
            _warn(f"the documents are kept, but the index could not follow: {error}")
        finally:
            self._growing.release()

    def rebuild(self, kinds: tuple[str, ...], progress: ProgressLike) -> None:
        """Make the index anew from the database, while searches go on; of one of some kinds."""
        mirror = self.mirror
        with self.database.reading() as connection:
            state = read_state(connection)
            codes = None
            if kinds and state.vectors and state.dim is not None:
                tell = Progress(progress, state.vectors, "optimize")
                codes = growth.build(connection, kinds, self.metric, state.dim, tell)
        with mirror.lock.write():
            if codes is None:
                mirror.clear()
                mirror.file = state.index_file
            else:
                mirror.adopt(codes, state)

    def optimize(self, progress: ProgressLike) -> None:
        """Make the index anew, save it, and give back what the disk has no more use for."""
        self.database.check_writable()
        with self._growing:
            with self.database.reading() as connection:
                n = read_state(connection).vectors
            self.rebuild((self.spec,) if self.spec else growth.specs(n), progress)
            with self.synced():
                pass
            self.save()
        self.database.tidy()

    def save(self) -> None:
        """Write the index file and let the database name it; the one before stays for readers.

        The log is kept from the file before on, or where there is no file from now on.
        """
        mirror, folder = self.mirror, self.database.folder
        with mirror.lock.read():
            codes, version = mirror.codes, mirror.version
            name = None
            if codes is not None and folder is not None:
                name = f"index-{version}-{secrets.token_hex(4)}.vq"
                codes.save(folder / name)
        # The database first, as searches do: a fork waits for whoever asks it.
        with self.database.writing() as connection, mirror.lock.write():
            before = read_state(connection)
            start = before.index_version if name else version
            connection.execute(
                "UPDATE state SET index_file = ?, index_version = ?, log_start = ?",
                (name, version if name else before.index_version, start),
            )
            connection.execute("DELETE FROM log WHERE version <= ?", (start,))
            if mirror.codes is codes:
                mirror.file, mirror.changed = name, 0
        self.sweep({name, before.index_file})

    def sweep(self, keep: set[str | None]) -> None:
        """Remove index files that nobody needs any more, and what unfinished saves left."""
        folder = self.database.folder
        if folder is None:
            return
        for path in (*folder.glob("index-*.vq"), *folder.glob(".index-*.tmp")):
            if path.name not in keep:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Save what would take long to do again, and close the database."""
        database, mirror = self.database, self.mirror
        writes = not database.closed and database.is_writer
        if writes and mirror.codes is not None and mirror.changed > growth.WAITING:
            try:
                self.save()
            except OSError as error:
                _warn(f"the index file could not be written, opening will take longer: {error}")
        database.close()

    def verify(self) -> None:
        """Read everything; CorruptFileError names what is wrong."""
        with self.database.reading() as connection:
            state = read_state(connection)
            _check(connection, state)
        if self.database.folder is not None and state.index_file is not None:
            self._verify_file(self.database.folder, state.index_file)
        with self.synced() as (connection, _):
            mirror = self.mirror
            codes = [] if mirror.codes is None else [mirror.codes.ids]
            have = np.concatenate([*codes, mirror.tail.rows])
            if not np.array_equal(np.sort(have), vector_rows(connection)):
                raise CorruptFileError("the index is not of the vectors there are; optimize() it.")

    def _verify_file(self, folder: Path, name: str) -> None:
        try:
            vqindex.io.verify(folder / name)
        except FileNotFoundError as error:
            with self.database.reading() as connection:
                if read_state(connection).index_file == name:  # else the writer has a newer one
                    raise CorruptFileError(f"{name} is missing; optimize() makes it.") from error

    def info(self) -> dict[str, Any]:
        """What there is, and what it takes."""
        with self.synced() as (connection, state):
            mirror, codes = self.mirror, self.mirror.codes
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (page,) = connection.execute("PRAGMA page_size").fetchone()
            found = connection.execute("SELECT path FROM indexed ORDER BY field")
            return {
                "documents": state.documents, "vectors": state.vectors, "dim": state.dim,
                "metric": state.metric, "originals": state.originals, "version": state.version,
                "index": None if codes is None else codes.spec,
                "coded": 0 if codes is None else len(codes), "exact": len(mirror.tail),
                "memory_bytes": mirror.nbytes, "database_bytes": pages * page,
                "indexed_fields": [".".join(loads(path)) for (path,) in found],
            }  # fmt: skip


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def _check(connection: sqlite3.Connection, state: State) -> None:
    """Hold the tables against each other."""
    (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if answer != "ok":
        raise CorruptFileError(f"the database is damaged: {answer}; restore it from a copy.")
    counts = connection.execute(
        "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM vectors), "
        "(SELECT count(*) FROM vectors WHERE row NOT IN (SELECT row FROM documents))"
    ).fetchone()
    if counts != (state.documents, state.vectors, 0):
        raise CorruptFileError(f"the database has other documents than it should: {counts}.")
    for row, metadata, odd in connection.execute("SELECT row, metadata, odd FROM documents"):
        try:
            fits = isinstance(loads(metadata), dict) and is_odd(metadata) == bool(odd)
        except (ValueError, RecursionError):
            fits = False
        if not fits:
            raise CorruptFileError(f"row {row} of the database has metadata that are not JSON.")
    for row, data in connection.execute("SELECT row, data FROM vectors"):
        width = len(data) / (state.dim or 1)
        if width not in (2, 4, 8) or not np.isfinite(matrix([data], state.dim or 1)).all():
            raise CorruptFileError(f"row {row} of the database has no vector of this store.")


_keepers: weakref.WeakSet[Keeper] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for keeper in list(_keepers):
        keeper._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
