"""What lies in the folder: the index file beside the truth, locks, damage, readers, copies."""

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

from tests.store.brute import check
from tests.store.filled import fill, index_files, vectors
from vqindex.errors import CorruptFileError, SpecError, StoreError, StoreLockedError
from vqindex.store import VectorStore


@pytest.mark.usefixtures("small")
def test_the_index_grows_with_the_rows(tmp_path):
    """Exact, coded, in lists; saved now and then; one answer throughout."""
    seen, there, query = [], {}, vectors(1, 99)[0]
    with VectorStore(tmp_path) as store:
        for first in range(0, 900, 30):
            there |= fill(store, 30, first)
            info = store.info()
            seen.append(info["index"])
            assert info["coded"] + info["exact"] == len(there)
            assert info["exact"] <= 64
            check(store.search(query), query, there, "cosine", 10)
        assert [name for i, name in enumerate(seen) if name not in seen[:i]] == [
            None, "SQ8", "IVF8,SQ8",
        ]  # fmt: skip
        assert index_files(tmp_path)
    with VectorStore(tmp_path) as store:
        check(store.search(query), query, there, "cosine", 10)
        assert store.info()["index"] == "IVF8,SQ8"
        store.verify()


@pytest.mark.usefixtures("small")
def test_codes_that_find_too_little_are_not_kept(tmp_path, monkeypatch):
    from vqindex.store import growth

    monkeypatch.setattr(growth, "CODES", ("TQ1", "F32"))
    with VectorStore(tmp_path) as store:
        fill(store, 500)
        assert store.info()["index"] == "F32"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("harm", ["gone", "cut", "flipped", "other"])
def test_a_damaged_index_is_made_anew(tmp_path, harm):
    query = vectors(1, 99)[0]
    with VectorStore(tmp_path) as store:
        there = fill(store, 300)
        (before,) = index_files(tmp_path)
        store.optimize()
        there |= fill(store, 20, 300)
    (name,) = set(index_files(tmp_path)) - {before}
    path = tmp_path / name
    whole = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif harm == "flipped":
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    else:
        with VectorStore(tmp_path / "other", metric="l2") as other:
            fill(other, 300)
            other.optimize()
        shutil.copy(tmp_path / "other" / index_files(tmp_path / "other")[-1], path)
    with VectorStore(tmp_path) as store:
        if harm == "other":
            assert name in index_files(tmp_path)
        else:
            with (
                pytest.raises(CorruptFileError, match=name),
                warnings.catch_warnings(action="ignore"),
            ):
                store.verify()
    with VectorStore(tmp_path) as store:
        if harm in ("cut", "flipped"):
            with pytest.warns(RuntimeWarning, match="made anew"):
                hits = store.search(query)
        else:
            hits = store.search(query)
        check(hits, query, there, "cosine", 10)
        store.optimize()
        store.verify()


def test_a_damaged_database_is_no_store(tmp_path):
    with VectorStore(tmp_path) as store:
        fill(store, 100)
    path = tmp_path / "documents.db"
    whole = path.read_bytes()
    path.write_bytes(b"x" * 100 + whole[100:])
    with pytest.raises(CorruptFileError):
        VectorStore(tmp_path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptFileError), VectorStore(tmp_path) as store:
        store.verify()
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE mine(x)").connection.close()
    with pytest.raises(CorruptFileError, match="not a store"):
        VectorStore(tmp_path)


@pytest.mark.parametrize("change", [
    "UPDATE documents SET metadata = '{' WHERE row = 3", "DELETE FROM documents WHERE row = 3",
    "UPDATE vectors SET data = x'00' WHERE row = 3", "UPDATE documents SET metadata = '[1]'",
    "DELETE FROM vectors WHERE row = 3", "UPDATE state SET documents = 7",
])  # fmt: skip
def test_verify_reads_everything(tmp_path, change):
    with VectorStore(tmp_path) as store:
        fill(store, 20)
        store.verify()
    connection = sqlite3.connect(tmp_path / "documents.db")
    connection.execute(change)
    connection.commit()
    connection.close()
    with pytest.raises(CorruptFileError), VectorStore(tmp_path, read_only=True) as store:
        store.verify()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("path", ["memory", "folder"])
def test_the_log_of_changes_does_not_grow_for_ever(tmp_path, path):
    """Of few documents changed often, with vectors and without."""
    with VectorStore(":memory:" if path == "memory" else tmp_path) as store:
        for step in range(400):
            store.upsert([f"d{step % 3}"], [[1, step]] if step < 200 else None)
            if step % 30 == 0:
                store.search([1, 0])
        with store._db.reading() as connection:
            (noted,) = connection.execute("SELECT count(*) FROM log").fetchone()
        assert noted <= 101
        store.upsert(["d1"], [[1, 2]])
        assert [hit.document.id for hit in store.search([1, 0])] == ["d1"]
        store.verify()


def test_room_is_given_back(tmp_path):
    with VectorStore(tmp_path) as store:
        store.add([str(i) for i in range(500)], texts=["x" * 5000] * 500)
        store.optimize()
        before = (tmp_path / "documents.db").stat().st_size
        store.remove([str(i) for i in range(450)])
        store.optimize()
        assert (tmp_path / "documents.db").stat().st_size < before / 4


READ_ONLY = """
import json, os, sys
from vqindex.errors import StoreError
from vqindex.store import VectorStore
with VectorStore() as store:  # whatever that imports and compiles
    store.add(["a"], [[1, 0]])
    store.search([1, 0])
    store.verify()
os.setuid(65534) if os.geteuid() == 0 else None
try:
    VectorStore(sys.argv[1])
    said = "opened"
except StoreError as error:
    said = str(error)
with VectorStore(sys.argv[1], read_only=True) as store:
    hits = [hit.document.id for hit in store.search([1, 0])]
    store.verify()
print(json.dumps([said, hits]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_a_folder_that_cannot_be_written_to():
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "store")
        with VectorStore(folder) as store:
            store.add(["a", "b"], [[1, 0], [0, 1]])
        for path in folder.iterdir():
            path.chmod(0o444)
        folder.chmod(0o555)
        Path(parent).chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, folder], capture_output=True, text=True, check=False
        )
        folder.chmod(0o755)
        assert done.returncode == 0, done.stderr
        said, hits = json.loads(done.stdout)
        assert "read_only=True" in said
        assert hits == ["a", "b"]
        with VectorStore(folder.with_name("other")) as store:
            assert len(store) == 0


FULL = """
import json, resource, signal, sys
import numpy as np
from vqindex.errors import StoreError
from vqindex.store import VectorStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = VectorStore(sys.argv[1])
store.add(["first"], [[1.0] * 64])
store.search([1.0] * 64)  # compiled, and its cache written
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
written, said = ["first"], None
for step in range(1000):
    ids = [f"{step}-{i}" for i in range(50)]
    try:
        store.add(ids, np.full((50, 64), step + 1.0), ["x" * 1000] * 50)
    except StoreError as error:
        said = str(error)
        break
    written += ids
assert sorted(one.id for one in store.documents()) == sorted(written)
assert store.search([1.0] * 64)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
store.add(["last"], [[1.0] * 64])
store.verify()
store.close()
with VectorStore(sys.argv[1]) as store:
    assert sorted(one.id for one in store.documents()) == sorted([*written, "last"])
    store.verify()
print(json.dumps([len(written), said]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_disk_that_is_full(tmp_path):
    """A limit on the size of files fails writes in the middle as a full disk does."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "store"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written, said = json.loads(done.stdout)
    assert written > 50
    assert "full" in said


def test_an_index_that_cannot_be_saved_is_told(tmp_path, monkeypatch):
    from vqindex.store import keeper
    from vqindex.store.growth import WAITING

    monkeypatch.setattr(keeper, "LEAST", 100)
    with VectorStore(tmp_path) as store:

        def full(*_):
            raise OSError(28, "No space left on device")

        fill(store, 10)
        monkeypatch.setattr("vqindex.indexes.base.Index.save", full)
        with pytest.warns(RuntimeWarning, match="No space left"):
            store.add([f"x{i}" for i in range(WAITING + 10)], vectors(WAITING + 10))
        assert len(store.search(vectors(1)[0])) == 10
        with pytest.raises(OSError, match="No space left"):
            store.optimize()
        monkeypatch.undo()
        store.verify()


def test_a_spec_that_does_not_fit_loses_nothing(tmp_path):
    """Found out when codes are made, which is after the documents are written."""
    with VectorStore(tmp_path, spec="LeanVec99,EDEN4") as store:
        with pytest.warns(RuntimeWarning, match="could not follow"):
            fill(store, 5000)
        assert len(store) == 5000
        with pytest.raises(ValueError, match=r"."):
            store.search(vectors(1)[0])
    with VectorStore(tmp_path, spec="EDEN4") as store:
        assert len(store.search(vectors(1)[0])) == 10


def test_a_newer_format_is_refused(tmp_path):
    VectorStore(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "documents.db")
    connection.execute("UPDATE state SET format = 99")
    connection.commit()
    connection.close()
    with pytest.raises(CorruptFileError, match="newer"):
        VectorStore(tmp_path)
    with pytest.raises(StoreError, match="cannot be made"):
        VectorStore(tmp_path / "documents.db" / "x")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_backup(tmp_path, kind):
    query, copied = vectors(1, 9)[0], tmp_path / "copy"
    path = ":memory:" if kind == "memory" else tmp_path / "store"
    with VectorStore(path, metric="l2", originals="f16") as store:
        fill(store, 700)
        store.backup(copied)
        with VectorStore(copied, read_only=True) as reader:
            assert reader.info()["index"] == "IVF8,SQ8"
            assert reader.search(query) == store.search(query)
            store.remove([f"d{i}" for i in range(650)])
            store.index_field("meta.a")
            store.backup(copied)  # over the first
            assert reader.search(query, 99) == store.search(query, 99)
            assert reader.info()["indexed_fields"] == ["meta.a"]
        with VectorStore(copied) as again:
            again.verify()
            assert list(again.documents()) == list(store.documents())
            with pytest.raises(StoreLockedError):
                store.backup(copied)
    with VectorStore(":memory:") as other, pytest.raises(SpecError, match="metric"):
        other.backup(copied)
