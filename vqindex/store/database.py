"""Connections to a store's database: many that read snapshots, one that writes.

In a folder each reader has a connection of its own, in WAL mode, so nobody waits for anybody but
one writer for another. In memory there is one connection, which threads use in turn.
"""

import ctypes
import os
import sqlite3
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, final

from vqindex.errors import CorruptFileError, ReadOnlyError, StoreError
from vqindex.locks import ReadWriteLock
from vqindex.store import schema
from vqindex.store.documents import Document, loads
from vqindex.store.lock import FolderLock
from vqindex.store.schema import State
from vqindex.store.where import holds, parse

NAME = "documents.db"
CACHED = 256  # statements a connection keeps
PAGE = 8192  # bytes: five vectors of 384 dimensions
FREE = 4  # a part of so many that is free is given back
MAPPED = 1 << 40  # bytes that are read from memory mapped, or as many as SQLite allows
WAIT = 60.0  # seconds to wait for another process's recovery or checkpoint


class _Here(threading.local):
    """Of each thread, whether it is asking."""

    asks = False


@final
class Database:
    """The database of a folder, or one in memory if `folder` is None.

    `new` is what a store that is not there yet is to be. Raises StoreError, StoreLockedError,
    CorruptFileError, or ReadOnlyError when a transaction is begun that must not be.
    """

    def __init__(self, folder: Path | None, read_only: bool, new: State) -> None:
        self.folder, self.read_only, self._new = folder, read_only, new
        self._turn = threading.RLock()  # to write, or in memory to do anything
        self._free: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._lock: FolderLock | None = None
        self._here, self.closed = _Here(), False
        self._frozen: list[tuple[int, ...] | None] | None = None  # `_files`, if taken as immutable
        with _asking.read(), translated(self._where):
            self._open()
        _databases.add(self)

    @property
    def _where(self) -> str:
        return ":memory:" if self.folder is None else str(self.folder)

    def _open(self) -> None:
        if self.folder is None:
            self._writer = self._connect(":memory:")
        elif self.read_only:
            if not os.path.isfile(self.folder / NAME):
                raise StoreError(f"{self.folder} holds no store that can be read.")
            self._free.append(self._connect(self._address()))
        else:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"{self.folder} cannot be made: {error.strerror}.") from error
            self._lock = FolderLock(self.folder)
            try:
                self._writer = self._connect(self._address())
                self._writer.execute("PRAGMA journal_mode = WAL")
            except BaseException:
                self._lock.close()
                raise
        self._prepare()

    def _prepare(self) -> None:
        """Make the tables of a new database, and hold the others of an old one against ours."""
        connection = self._writer if self._writer is not None else self._free[0]
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application == schema.APPLICATION:
            found = read_state(connection).format
            if found > schema.FORMAT:
                raise CorruptFileError(f"{self._where}: format {found} is newer than this library.")
            return
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables or self.read_only:
            raise CorruptFileError(f"{self._where}: {NAME} is not a store's database.")
        marks = ", ".join("?" * len(self._new))
        with self.writing() as connection:
            for statement in schema.TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"INSERT INTO state VALUES ({marks})", self._new)
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION}")

    def _address(self) -> str:
        """The database as a URI; immutable where nothing can be written beside it."""
        assert self.folder is not None
        address = (self.folder / NAME).resolve().as_uri()
        if not self.read_only:
            return address
        files = self._files()
        frozen = files[1] is None and not os.access(self.folder, os.W_OK)
        self._frozen = files if frozen else None
        return f"{address}?{'immutable=1' if frozen else 'mode=ro'}"

    def _files(self) -> list[tuple[int, ...] | None]:
        """Which files the database and its log are, and when they changed; None for no file."""
        assert self.folder is not None
        found: list[tuple[int, ...] | None] = []
        for name in (NAME, f"{NAME}-wal"):
            try:
                about = os.stat(self.folder / name)
            except FileNotFoundError:
                found.append(None)
            else:
                found.append((about.st_ino, about.st_size, about.st_mtime_ns))
        return found

    def _thaw(self) -> None:
        """Let connections go to what SQLite took for immutable, if somebody has written it."""
        if self._frozen is not None and self._frozen != self._files():
            old, self._free, self._frozen = self._free, [], None
            while old:
                old.pop().close()

    def _connect(self, address: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            address, timeout=WAIT, isolation_level=None, check_same_thread=False,
            cached_statements=CACHED, uri=address != ":memory:",
        )  # fmt: skip
        for pragma in (f"page_size = {PAGE}", "synchronous = FULL", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}")
        if sys.platform != "win32":  # where a file that is mapped cannot be made smaller
            connection.execute(f"PRAGMA mmap_size = {MAPPED}")
        connection.create_function("passes", 4, _passes, deterministic=True)
        return connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one committed state, from its first statement to the end."""
        with self.connection() as connection, snapshot(connection):
            yield connection

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection of one's own; call `snapshot` with it."""
        self.check_open()
        asked, self._here.asks = self._here.asks, True
        try:
            with self._shared() if self.folder is None else self._pooled() as connection:
                yield connection
        finally:
            self._here.asks = asked

    @contextmanager
    def _shared(self) -> Iterator[sqlite3.Connection]:
        with _asking.read(), self._turn, translated(self._where):
            assert self._writer is not None
            yield self._writer

    @contextmanager
    def _pooled(self) -> Iterator[sqlite3.Connection]:
        with _asking.read(), translated(self._where):
            self._thaw()
            free = self._free
            try:
                connection = free.pop()
            except IndexError:
                connection = self._connect(self._address())
            try:
                yield connection
            finally:
                if self.closed or free is not self._free:
                    connection.close()
                else:
                    free.append(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: committed where the block ends, undone where it raises."""
        with _asking.read(), self._turn, translated(self._where):
            self.check_open()
            self.check_writable()
            connection = self._writer
            assert connection is not None
            if connection.in_transaction or self._here.asks:
                raise RuntimeError("a filter must not change the store that it filters.")
            try:  # around BEGIN too: what interrupts it strikes when it has begun
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                raise

    def tidy(self) -> None:
        """Move the log of writes into the database, and give free pages back if they are many.

        Where others read what is in the log, it stays; nobody is waited for.
        """
        with _asking.read(), self._turn, translated(self._where):
            self.check_writable()
            connection = self._writer
            assert connection is not None
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            if free * FREE > pages:
                connection.execute("VACUUM")
            connection.execute("PRAGMA optimize")
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {round(1000 * WAIT)}")

    def take(self, source: sqlite3.Connection) -> None:
        """Become what another database is at its snapshot, but for the index file."""
        with _asking.read(), self._turn, translated(self._where):
            self.check_writable()
            assert self._writer is not None
            source.backup(self._writer)
            self._writer.execute("UPDATE state SET index_file = NULL, log_start = version")

    @property
    def is_writer(self) -> bool:
        """Whether this object may write."""
        return self._writer is not None

    def check_writable(self) -> None:
        """ReadOnlyError where this object only reads."""
        if self.read_only:
            raise ReadOnlyError(f"{self._where} was opened with read_only=True.")
        if self._writer is None:
            raise ReadOnlyError(
                f"{self._where} was opened by the process that this one was forked from; it can be "
                "read here, and written there."
            )

    def check_open(self) -> None:
        """ValueError after `close`, as of a closed file."""
        if self.closed:
            raise ValueError(f"{self._where} is closed.")

    def close(self) -> None:
        """Give everything back; again does nothing."""
        with _asking.read(), self._turn:
            if self.closed:
                return
            self.closed = True
            while self._free:
                self._free.pop().close()
            if self._writer is not None:
                self._writer.close()
            if self._lock is not None:
                self._lock.close()

    def _after_fork(self) -> None:
        """In a child: a database in memory is its own, a folder stays its parent's to write."""
        if self.folder is None:
            return
        self._turn = threading.RLock()
        for connection in (*self._free, self._writer):
            if connection is not None:  # to close it here might harm the parent's: let it be
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self._free, self._writer = [], None
        if self._lock is not None:
            self._lock.close()


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """See one committed state; within another snapshot, or a transaction, that one's."""
    if connection.in_transaction:
        yield
        return
    try:
        connection.execute("BEGIN")
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def read_state(connection: sqlite3.Connection) -> State:
    """The store's own row."""
    return State._make(connection.execute("SELECT * FROM state").fetchone())


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Say in our own errors what SQLite has to say."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "")
        if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise CorruptFileError(f"{where}: {error}; restore it from a copy.") from error
        hint = {
            "SQLITE_FULL": "the disk is full; nothing of this call was kept",
            "SQLITE_READONLY": "it cannot be written to; open it with read_only=True",
            "SQLITE_CANTOPEN": "its database cannot be opened; look at the folder's permissions",
            "SQLITE_IOERR": "the disk failed or is full; nothing of this call was kept",
            "SQLITE_BUSY": "another process holds the database",
            "SQLITE_TOOBIG": "a text or its metadata is longer than the database takes",
        }.get("_".join(code.split("_")[:2]), "")
        raise StoreError(f"{where}: {error}{': ' if hint else ''}{hint} ({code}).") from error


@lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    return parse(loads(text))


def _passes(id: str, text: str | None, metadata: str, where: str) -> bool:
    return holds(_parsed(where), Document(id, text, loads(metadata)))


_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_asking = ReadWriteLock()  # read by whoever is about to use SQLite, in any way
_forking: list[Any] = []


def _before_fork() -> None:
    """Wait until nobody uses SQLite: a child would wait for ever for locks it holds within."""
    guard = _asking.write()
    with suppress(RuntimeError):  # this thread uses it itself
        guard.__enter__()
        _forking.append(guard)


def _after_fork() -> None:
    while _forking:
        _forking.pop().__exit__(None, None, None)


def _after_fork_in_child() -> None:
    _after_fork()
    for database in list(_databases):
        database._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
    )
