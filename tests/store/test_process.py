"""Forks, threads and event loops."""

import asyncio
import multiprocessing
import os
import signal
import sqlite3
import sys
import threading
import time

import numpy as np
import pytest

from vqindex.errors import ReadOnlyError
from vqindex.store import VectorStore


def forked(work):
    """The exit code of a child that does some work; 14 if it hangs for a minute."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_a_forked_child(tmp_path, kind):
    """A folder can be read in a child and not written; what is in memory is the child's own."""
    path = ":memory:" if kind == "memory" else tmp_path
    with VectorStore(path) as store:
        store.add(["a", "b"], [[1, 0], [0, 1]])
        store.search([1, 0])
        stop, errors = threading.Event(), []

        def searching():
            try:
                while not stop.is_set():
                    store.search([1, 0])
            except BaseException as error:
                errors.append(error)

        def child():
            assert [hit.document.id for hit in store.search([0, 1])] == ["b", "a"]
            if kind == "memory":
                store.add(["child"], [[1, 1]])
                assert len(store.search([1, 1])) == 3
            else:
                with pytest.raises(ReadOnlyError, match="forked"):
                    store.add(["child"], [[1, 1]])
                with pytest.raises(ReadOnlyError):
                    store.optimize()
            store.close()

        threads = [threading.Thread(target=searching) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            codes = [forked(child) for _ in range(5)]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert (codes, errors) == ([0] * 5, [])
        store.add(["parent"], [[1, 1]])
        assert len(store) == 3
        store.verify()
    if kind == "folder":
        with VectorStore(tmp_path) as again:
            again.verify()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_may_begin_by_writing():
    with VectorStore() as store:
        store.add(["a"], [[1, 0]])
        with store._keeper._growing:  # by another thread, as it were

            def child():
                store.add(["b"], [[0, 1]])
                assert [hit.document.id for hit in store.search([0, 1])] == ["b", "a"]

            assert forked(child) == 0


def test_who_saves_asks_the_database_before_it_holds_the_index(tmp_path, monkeypatch):
    """Or a fork, which waits for those that ask, would wait for ever for one that waits for it."""
    with VectorStore(tmp_path) as store:
        store.add(["a"], [[1, 0]])
        lock, writing, held = store._keeper.mirror.lock, store._db.writing, []

        def spied():
            held.append(lock._writer)
            return writing()

        monkeypatch.setattr(store._db, "writing", spied)
        store.optimize()
        assert held == [0]


def read_only(path, queue):
    with VectorStore(path, read_only=True) as store:
        queue.put([hit.document.id for hit in store.search([0, 1])])


def test_a_spawned_reader(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with VectorStore(tmp_path) as store:
        store.add(["a", "b"], [[1, 0], [0, 1]])
        process = context.Process(target=read_only, args=(tmp_path, queue))
        process.start()
        assert queue.get(timeout=120) == ["b", "a"]
        process.join()


def test_the_event_loop_goes_on(tmp_path):
    """A call that takes long, here in the embedding, holds up no other task."""

    def slow(texts):
        time.sleep(0.5)
        return np.ones((len(texts), 2))

    async def work():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        assert await store.aadd(["a"], texts=["x"]) == 1
        assert await store.aupsert(["b", "c"], [[1, 2], None]) == 2
        hits, several = await asyncio.gather(
            store.asearch("x", 1), store.asearch_batch([[1, 2]], k=3)
        )
        assert [hit.document.id for hit in hits] == ["a"]
        assert [hit.document.id for hit in several[0]] == ["b", "a"]
        assert [hit.document.id for hit in await store.asearch_mmr([1, 2], 1)] == ["b"]
        assert [one.id for one in await store.aget(["c", "a"])] == ["c", "a"]
        assert await store.acount({"field": "id", "op": "==", "value": "a"}) == 1
        assert await store.aupdate({"x": 1}, ["c"]) == 1
        assert await store.aremove(["c"]) == 1
        assert await store.aclear() == 2
        ticking.cancel()
        return ticks

    with VectorStore(tmp_path, embed=slow) as store:
        assert asyncio.run(work()) > 10


def test_a_filter_may_ask_the_store(tmp_path):
    for path in (":memory:", tmp_path):
        with VectorStore(path) as store:
            store.add(["a", "b"], [[1, 0], [0, 1]])
            hits = store.search([1, 0], where=lambda one: store.get(one.id)[0] and one.id == "b")
            assert [hit.document.id for hit in hits] == ["b"]


def test_a_filter_must_not_change_the_store(tmp_path):
    for path in (":memory:", tmp_path):
        with VectorStore(path) as store, VectorStore() as other:
            store.add(["a", "b"], [[1, 0], [0, 1]])
            for ask in (
                lambda where: store.search([1, 0], where=where),
                lambda where: store.remove(where=where),
                store.count,
            ):
                with pytest.raises(RuntimeError, match="must not change"):
                    ask(lambda one: store.add([one.id + "x"]))
                assert len(store) == 2
            assert store.count(lambda one: other.add([one.id])) == 2
            assert store.remove(where=lambda one: len(store.search([1, 0])) == 2) == 2


@pytest.mark.parametrize("begins", ["BEGIN", "BEGIN IMMEDIATE"])
def test_an_interrupt_while_a_transaction_begins(tmp_path, begins):
    """It strikes when SQLite has returned, and no transaction may stay open then."""

    class Interrupted(sqlite3.Connection):
        strikes = 1

        def execute(self, statement, *values):
            found = super().execute(statement, *values)
            if statement == begins and Interrupted.strikes:
                Interrupted.strikes -= 1
                raise KeyboardInterrupt
            return found

    connect = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *a, **n: connect(*a, factory=Interrupted, **n))
        Interrupted.strikes = 0
        with VectorStore(tmp_path) as store, VectorStore(tmp_path, read_only=True) as reader:
            store.add(["a"], [[1, 0]])
            assert len(reader) == 1
            Interrupted.strikes = 1
            with pytest.raises(KeyboardInterrupt):
                reader.count() if begins == "BEGIN" else store.add(["b"], [[0, 1]])
            for n, name in enumerate("cd", 2):
                store.add([name], [[0, 1]])
                assert len(reader) == len(store) == n


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_write_is_whole_or_nothing(tmp_path):
    """Also where the interrupt strikes a callback of the garbage collector, which drops it."""
    with VectorStore(tmp_path) as store:
        for turn in range(20):
            x, ids = np.ones((3000, 4)), [f"{turn}-{i}" for i in range(3000)]
            signal.signal(signal.SIGALRM, signal.default_int_handler)
            signal.setitimer(signal.ITIMER_REAL, 0.002 * (turn + 1))
            try:
                store.add(ids, x)
            except KeyboardInterrupt:
                pass
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
            assert len(store.get(ids)) in (0, 3000)
            assert len(store.search([1, 1, 1, 1], 5)) in (0, 5)
        store.verify()
