import hashlib
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest

from vqindex.datasets import Entry, catalog, entries, load, names, synthetic
from vqindex.errors import CorruptFileError


def write(path, n=20):
    with h5py.File(path, "w") as file:
        file["train"] = np.eye(n, 6, dtype=np.float32) + 1
        file["test"] = np.ones((2, 6), np.float32)
        file["neighbors"] = np.zeros((2, 3), np.int32)
        file["distances"] = np.zeros((2, 3), np.float32)
        file.attrs["distance"] = "angular"
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    monkeypatch.setenv("VQINDEX_DATA", str(folder))
    return folder


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """A catalog of one set, whose server is a file."""
    source = write(tmp_path / "source.hdf5")
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    entry = Entry(
        name="tiny-6-angular", url=source.as_uri(), n=20, nq=2, d=6, metric="cosine", sha256=sha256
    )
    monkeypatch.setattr(catalog, "entries", lambda: {entry.name: entry})
    return entry


@pytest.mark.parametrize("entry", entries().values(), ids=lambda entry: entry.name)
def test_entries_agree_with_their_names(entry):
    stem, d, kind = re.fullmatch(r"(.+)-(\d+)-(euclidean|angular|dot)", entry.name).groups()
    assert entry.url.startswith("https://")
    assert entry.url.endswith(f"/{entry.name}.hdf5")
    assert entry.metric == ("l2" if kind == "euclidean" else "cosine")
    assert entry.d == int(d) + (stem == "lastfm")
    assert entry.n > entry.nq > 0
    assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)


def test_hashes_differ():
    known = [entry.sha256 for entry in entries().values() if entry.sha256]
    assert len(set(known)) == len(known) > 0


def test_names_cover_catalog_and_folder(folder):
    assert names()[0] == "sample"
    assert set(entries()) <= set(names())
    folder.mkdir()
    write(folder / "own.hdf5")
    write(folder / "glove-25-angular.hdf5")
    assert "own" in names()
    assert len(set(names())) == len(names())


def test_own_file_by_name_and_by_path(folder):
    folder.mkdir()
    path = write(folder / "own.hdf5")
    for found in (load("own"), load(path), load(str(path))):
        assert (found.name, found.metric, found.n) == ("own", "cosine", 20)


def test_unknown_name(folder):
    with pytest.raises(ValueError, match=r"sample, sift-128-euclidean.*got 'nothing'"):
        load("nothing")


def test_downloaded_once(folder, entry, tmp_path):
    found = load(entry.name)
    assert (found.name, found.n) == (entry.name, 20)
    (tmp_path / "source.hdf5").unlink()
    assert load(entry.name, download=False).n == 20


def test_download_can_be_forbidden(folder, entry):
    with pytest.raises(FileNotFoundError, match=re.escape(entry.url)):
        load(entry.name, download=False)
    assert not folder.exists()


def test_changed_file_is_refused(folder, entry, tmp_path):
    write(tmp_path / "source.hdf5", n=21)
    with pytest.raises(CorruptFileError, match="SHA-256"):
        load(entry.name)
    assert list(folder.iterdir()) == []


def test_file_that_is_not_the_catalogs(folder, entry, monkeypatch):
    for change in ({"n": 21}, {"nq": 3}, {"d": 7}, {"metric": "l2"}):
        wrong = replace(entry, **change)
        monkeypatch.setattr(catalog, "entries", lambda wrong=wrong: {wrong.name: wrong})
        with pytest.raises(CorruptFileError, match=r"tiny-6-angular\.hdf5 must have"):
            load(entry.name)


def test_synthetic_sets_are_made_by_name():
    made = load("synthetic-300-8-cosine-seed3", download=False)
    assert (made.name, made.n, made.d, made.nq) == ("synthetic-300-8-cosine-seed3", 300, 8, 1000)
    assert load("synthetic-300-8-cosine").name == "synthetic-300-8-cosine-seed0"
    same = synthetic(300, 8, 1000, "cosine", 3)
    assert same.content_hash() == made.content_hash()
    with pytest.raises(ValueError, match="synthetic-300-8-hamming"):
        load("synthetic-300-8-hamming")
