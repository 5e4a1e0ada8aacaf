"""The lock that lets many read while one writes."""

import os
import threading
import weakref
from collections.abc import Callable
from threading import get_ident
from types import TracebackType


class ReadWriteLock:
    """Many threads may read, or one write; a waiting writer goes before new readers.

        with lock.read(): ...
        with lock.write(): ...

    A thread that reads may read again, even while a writer waits, and one that writes may do
    both again; one that only reads cannot write (RuntimeError). Guards are released by the
    thread that took them. A forked child holds what the forking thread held, nothing more, so
    what another thread was writing at that moment is unfinished there. Copies are new locks.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._readers: dict[int, int] = {}  # thread -> how many times it reads
        self._writer = 0  # thread, or 0
        self._writes = 0  # how many times it writes
        self._waiting = 0  # writers
        _locks.add(self)

    def __reduce__(self) -> tuple[type["ReadWriteLock"], tuple[()]]:
        return ReadWriteLock, ()

    def read(self) -> "_Guard":
        return _Guard(self._acquire_read, self._release_read)

    def write(self) -> "_Guard":
        return _Guard(self._acquire_write, self._release_write)

    def _acquire_read(self) -> None:
        me = get_ident()
        readers = self._readers
        with self._mutex:
            if me in readers:
                readers[me] += 1
                return
            if self._writer != me:
                while self._writer or self._waiting:
                    self._changed.wait()
            readers[me] = 1

    def _release_read(self) -> None:
        me = get_ident()
        readers = self._readers
        with self._mutex:
            if readers[me] > 1:
                readers[me] -= 1
                return
            del readers[me]
            if self._waiting and not readers:
                self._changed.notify_all()

    def _acquire_write(self) -> None:
        me = get_ident()
        with self._mutex:
            if self._writer != me:
                if me in self._readers:
                    raise RuntimeError(
                        "this thread is reading what it wants to change (a filter that changes "
                        "the index it filters?): change it after the read has ended"
                    )
                self._waiting += 1
                try:
                    while self._writer or self._readers:
                        self._changed.wait()
                    self._writer = me
                finally:
                    self._waiting -= 1
                    self._changed.notify_all()  # readers held back by a writer that gave up
            self._writes += 1

    def _release_write(self) -> None:
        with self._mutex:
            self._writes -= 1
            if not self._writes:
                self._writer = 0
                self._changed.notify_all()

    def _after_fork(self) -> None:
        me = get_ident()
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._readers = {thread: held for thread, held in self._readers.items() if thread == me}
        if self._writer != me:
            self._writer = self._writes = 0
        self._waiting = 0


class _Guard:
    """What a `with` statement enters and leaves."""

    __slots__ = ("_acquire", "_release")

    def __init__(self, acquire: Callable[[], None], release: Callable[[], None]) -> None:
        self._acquire = acquire
        self._release = release

    def __enter__(self) -> None:
        self._acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release()


_locks: weakref.WeakSet[ReadWriteLock] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for lock in list(_locks):
        lock._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
