"""One writer at a time and many readers, who wait for nobody: locks, and what others see."""

import gc
import os
import subprocess
import sys
import threading
import warnings

import pytest

from tests.store.brute import check
from tests.store.filled import fill, vectors
from vqindex.errors import ReadOnlyError, StoreLockedError
from vqindex.store import VectorStore


def test_one_writer_and_many_readers(tmp_path):
    query = vectors(1, 99)[0]
    with VectorStore(tmp_path) as store, VectorStore(tmp_path, read_only=True) as reader:
        with pytest.raises(StoreLockedError, match=f"by process {os.getpid()}"):
            VectorStore(tmp_path)
        other = "from vqindex.store import *; import sys; VectorStore(sys.argv[1])"
        done = subprocess.run(
            [sys.executable, "-c", other, tmp_path], capture_output=True, text=True, check=False
        )
        assert "StoreLockedError" in done.stderr
        there = fill(store, 50)
        check(reader.search(query), query, there, "cosine", 10)
        for change in (
            lambda: reader.add(["x"]), lambda: reader.remove(["d1"]), reader.clear,
            reader.optimize, lambda: reader.upsert([]), lambda: reader.index_field("meta.x"),
            lambda: reader.update({"x": 1}, ["d1"]),
        ):  # fmt: skip
            with pytest.raises(ReadOnlyError):
                change()
        store.remove(["d3"])
        del there["d3"]
        check(reader.search(query), query, there, "cosine", 10)
    with VectorStore(tmp_path) as store:
        assert len(store) == 49


@pytest.mark.usefixtures("small")
def test_a_reader_takes_over_new_index_files(tmp_path):
    query, there = vectors(1, 99)[0], {}
    with VectorStore(tmp_path) as store:
        fill(store, 10)
        with VectorStore(tmp_path, read_only=True) as reader:
            for first in range(10, 800, 79):
                fill(store, 79, first)
                there = {one.id: one.vector for one in store.documents()}
                check(reader.search(query), query, there, "cosine", 10)
            store.optimize()
            store.remove([f"d{i}" for i in range(0, 700, 2)])
            store.optimize()
            there = {one.id: one.vector for one in store.documents()}
            check(reader.search(query), query, there, "cosine", 10)
            assert reader.info()["index"] == store.info()["index"]
            store.clear()
            store.optimize()
            assert reader.search(query) == []


def test_a_reader_who_may_not_write_sees_what_others_write(tmp_path, monkeypatch):
    """SQLite takes a database that it cannot write beside as one that nobody changes."""
    access, query, there = os.access, [0.0] * 4 + [1.0], {}
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    with VectorStore(tmp_path) as store:
        there |= fill(store, 30)
    with VectorStore(tmp_path, read_only=True) as reader:
        for first in (30, 60):
            check(reader.search(query), query, there, "cosine", 10)
            assert reader._db._frozen is not None or first > 30
            with VectorStore(tmp_path) as store:
                there |= fill(store, 30, first)
                check(reader.search(query), query, there, "cosine", 10)
                assert reader._db._frozen is None
                store.optimize()
            check(reader.search(query), query, there, "cosine", 10)
            assert len(reader) == first + 30


def test_a_dead_writers_lock_is_no_lock(tmp_path):
    code = (
        "import os, sys; from vqindex.store import *; "
        "s = VectorStore(sys.argv[1]); s.add(['a'], [[1]]); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    assert (tmp_path / "lock").exists()
    with VectorStore(tmp_path) as store:
        assert "a" in store


def test_a_store_that_is_forgotten_holds_no_lock(tmp_path):
    store = VectorStore(tmp_path)
    store.add(["a"], [[1]])
    store.search([1])
    with warnings.catch_warnings(action="ignore"):  # ResourceWarning of its connections
        del store
        gc.collect()
    with VectorStore(tmp_path) as again:
        assert "a" in again


def in_time(work):
    """Whether something ends that may wait for what this thread holds."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(30)
    return not thread.is_alive()


@pytest.mark.usefixtures("small")
def test_optimize_waits_for_no_reader(tmp_path, monkeypatch):
    from vqindex.store import database

    monkeypatch.setattr(database, "WAIT", 3600.0)
    with VectorStore(tmp_path) as store, VectorStore(tmp_path, read_only=True) as reader:
        there = fill(store, 90)
        with reader._db.reading() as connection:
            count = "SELECT count(*) FROM documents"
            connection.execute(count).fetchone()
            store.remove([f"d{i}" for i in range(80)])
            assert in_time(store.optimize)
            assert connection.execute(count).fetchone() == (len(there),)
        store.optimize()
        assert len(reader) == 10


def test_others_search_while_one_that_had_to_catch_up_does(tmp_path):
    with VectorStore(tmp_path) as store, VectorStore(tmp_path, read_only=True) as reader:
        fill(store, 20)
        with reader._keeper.synced() as (_, state):  # follows, and goes on to its answer
            assert state.version == 1
            assert in_time(lambda: reader.search(vectors(1)[0]))
