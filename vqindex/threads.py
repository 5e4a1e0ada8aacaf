"""Our own pool of threads.

It runs Numba kernels that release the GIL. No OpenMP is linked and Numba's own threads are
not used, for the one hangs after fork and the other aborts when two threads use it at once.
"""

import functools
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from vqindex.arrays import positive_int

T = TypeVar("T")

_VARIABLE = "VQINDEX_NUM_THREADS"
_HELD: ContextVar[int | None] = ContextVar("held", default=None)


@contextmanager
def held(count: int) -> Iterator[None]:
    """Inside a `with`, `default_threads` is so many: for what is not told how many to take."""
    token = _HELD.set(count)
    try:
        yield
    finally:
        _HELD.reset(token)


def default_threads() -> int:
    """What `held` says, VQINDEX_NUM_THREADS, or the CPUs of this process's affinity and quota."""
    if (count := _HELD.get()) is not None:
        return count
    chosen = os.environ.get(_VARIABLE)
    if chosen:
        if not chosen.isdecimal() or int(chosen) == 0:
            raise ValueError(f"{_VARIABLE} must be an integer >= 1 or unset, got {chosen!r}")
        return int(chosen)
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    return math.ceil(min(cpus, _cgroup_quota()))


def resolve(threads: int | None) -> int:
    """The number of threads a call may use: `threads`, or `default_threads()` for None."""
    return default_threads() if threads is None else positive_int(threads, "threads")


@functools.cache
def _cgroup_quota(
    membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> float:
    """CPUs granted by the tightest cpu.max of our cgroup (v2) and its parents, or infinity."""
    quota = math.inf
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return quota
    for line in lines:
        if line.startswith("0::/"):
            ours = Path(line.removeprefix("0::/"))
            for group in (ours, *ours.parents):
                quota = min(quota, _cpu_max(root / group / "cpu.max"))
    return quota


def _cpu_max(path: Path) -> float:
    try:
        limit, period = path.read_text().split()
    except OSError:  # the root group has no such file, and older systems have none at all
        return math.inf
    return math.inf if limit == "max" else int(limit) / int(period)


def run(tasks: Sequence[Callable[[], T]], threads: int) -> list[T]:
    """Call every task, on this thread and up to threads - 1 of the pool's; results in order.

    Tasks are started in order. Once one has raised, no later one is started, those running are
    waited for, and the error of the first in order is raised. An interrupt of this thread
    (KeyboardInterrupt) also waits for what is running. A task that itself calls `run` on a
    thread of the pool does all on that thread.
    """
    helpers = min(threads, len(tasks)) - 1
    if helpers < 1 or getattr(_local, "in_pool", False):
        return [task() for task in tasks]
    batch = _Batch(tasks)
    me = object()
    try:
        _pool.help(batch, helpers)
        batch.work(me)
        batch.wait(me)
    except BaseException:  # from outside the tasks, whose own errors are kept
        batch.abandon(me)
        raise
    return batch.results()


class _Batch(Generic[T]):
    """The tasks of one `run`, shared by the threads that work on it.

    A worker owns the tasks it was first to claim. The caller waits only for what others have
    claimed, so it never depends on a busy pool. An interrupt may strike the caller between any
    two steps, so there is no lock to leave held and no count to lose: every step can be repeated.
    """

    def __init__(self, tasks: Sequence[Callable[[], T]]) -> None:
        self._tasks = tasks
        self._owners: dict[int, object] = {}
        self._outcomes: list[tuple[T | None, BaseException | None] | None] = [None] * len(tasks)
        self._finished: SimpleQueue[int] = SimpleQueue()  # wakes the caller; tells it nothing else
        self._last = len(tasks)  # tasks after this one are claimed, but not called

    def work(self, me: object) -> None:
        """Claim the tasks nobody has claimed, one at a time and in order, and call them.

        me  new for each visit: a thread of the pool may come to the same batch twice
        """
        for i, task in enumerate(self._tasks):
            if self._owners.setdefault(i, me) is not me:
                continue
            try:
                self._outcomes[i] = (task() if i <= self._last else None, None)
            except BaseException as error:
                self._outcomes[i] = (None, error)
                self._last = min(self._last, i)
            self._finished.put(i)

    def wait(self, me: object) -> None:
        """Wait for the tasks that others have claimed, once all are claimed."""
        for i, owner in self._owners.items():
            while owner is not me and self._outcomes[i] is None:
                self._finished.get()

    def abandon(self, me: object) -> None:
        """Start nothing more, and wait for what runs, even if interrupted again."""
        self._last = -1
        while True:
            try:
                self.work(me)
                return self.wait(me)
            except KeyboardInterrupt:
                continue

    def results(self) -> list[T]:
        """What the tasks returned; raises the first error, an interrupt before any other."""
        outcomes, self._outcomes = self._outcomes, []
        self._tasks = ()  # a thread that comes late finds nothing, and keeps nothing alive
        errors = [done[1] for done in outcomes if done and done[1]]
        if errors:
            try:
                raise next((e for e in errors if not isinstance(e, Exception)), errors[0])
            finally:
                del outcomes, errors  # or they and the traceback keep each other, and all arrays
        return [done[0] for done in outcomes if done]  # type: ignore[misc]


class _Pool:
    """Threads that are started when first needed and never end."""

    def __init__(self) -> None:
        self._batches: SimpleQueue[_Batch[Any]] = SimpleQueue()
        self._growing = threading.Lock()
        self._size = 0

    def help(self, batch: _Batch[Any], helpers: int) -> None:
        if self._size < helpers:
            self._grow(helpers)
        for _ in range(helpers):
            self._batches.put(batch)

    def _grow(self, size: int) -> None:
        with self._growing:
            while self._size < size:
                name = f"vqindex-{self._size}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()
                self._size += 1

    def _serve(self) -> None:
        _local.in_pool = True
        while True:
            # A name for the batch would keep its arrays alive until the next one.
            self._batches.get().work(object())


_local = threading.local()
_pool = _Pool()


def _after_fork_in_child() -> None:
    global _local, _pool  # the pool's threads stayed in the parent
    _local = threading.local()
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
