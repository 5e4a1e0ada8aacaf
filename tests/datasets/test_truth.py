import logging

import numpy as np
import pytest

from vqindex.datasets import ground_truth, truth
from vqindex.errors import CorruptFileError, DtypeError, ShapeError, SpecError

RNG = np.random.default_rng(0)
BASE = RNG.integers(0, 255, (50, 4), np.uint8)
QUERIES = RNG.integers(0, 255, (3, 4), np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VQINDEX_DATA", str(tmp_path))
    monkeypatch.setattr(truth, "_WORTH_KEEPING", 0)
    return tmp_path / "truth"


def same(a, b):
    return all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(a, b, strict=True))


def test_kept_and_recalled(folder, monkeypatch):
    first = ground_truth(BASE, QUERIES, 5, "l2")
    assert len(list(folder.iterdir())) == 1
    monkeypatch.setattr(truth, "exact_search", None)
    assert same(ground_truth(BASE, QUERIES, 5, "l2"), first)
    strided = np.repeat(BASE, 2, axis=0)[::2]
    assert same(ground_truth(strided, QUERIES, 5, "l2"), first)


def test_any_difference_in_input_is_a_different_key(folder):
    changed = BASE.copy()
    changed[-1, -1] ^= 1
    for base, queries, k, metric in [
        (BASE, QUERIES, 5, "l2"),
        (changed, QUERIES, 5, "l2"),
        (BASE[:-1], QUERIES, 5, "l2"),
        (BASE.view(np.int8), QUERIES, 5, "l2"),
        (BASE, QUERIES[::-1], 5, "l2"),
        (BASE, QUERIES, 6, "l2"),
        (BASE, QUERIES, 5, "ip"),
    ]:
        ground_truth(base, queries, k, metric)
    assert len(list(folder.iterdir())) == 7


def test_hash_covers_every_block(folder, monkeypatch):
    monkeypatch.setattr(truth, "_HASHED", 8)
    ground_truth(BASE, QUERIES, 5, "l2")
    for row in range(50):
        changed = BASE.copy()
        changed[row, 0] ^= 1
        ground_truth(changed, QUERIES, 5, "l2")
    assert len(list(folder.iterdir())) == 51


def test_small_work_writes_nothing(folder, monkeypatch):
    monkeypatch.setattr(truth, "_WORTH_KEEPING", BASE.size * len(QUERIES) + 1)
    ground_truth(BASE, QUERIES, 5, "l2")
    assert not folder.exists()


@pytest.mark.parametrize("damage", [b"", b"PK", b"not a zip file"])
def test_damaged_file_is_named(folder, damage):
    ground_truth(BASE, QUERIES, 5, "l2")
    (path,) = folder.iterdir()
    path.write_bytes(damage)
    with pytest.raises(CorruptFileError, match=r"\.npz .*delete it"):
        ground_truth(BASE, QUERIES, 5, "l2")


def test_flipped_bit_or_wrong_shape_is_noticed(folder):
    ground_truth(BASE, QUERIES, 5, "l2")
    (path,) = folder.iterdir()
    whole = bytearray(path.read_bytes())
    whole[200] ^= 1
    path.write_bytes(whole)
    with pytest.raises(CorruptFileError):
        ground_truth(BASE, QUERIES, 5, "l2")
    np.savez(path, distances=np.zeros((1, 1)), ids=np.zeros((1, 1)))
    with pytest.raises(CorruptFileError, match="shape"):
        ground_truth(BASE, QUERIES, 5, "l2")


def test_unwritable_folder_is_said_and_survived(folder, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VQINDEX_DATA", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        found = ground_truth(BASE, QUERIES, 5, "l2")
    assert found[1].shape == (3, 5)
    assert "not kept" in caplog.text


def test_lists_will_do():
    assert ground_truth([[0, 0], [3, 4]], [[3, 3]], 2, "l2")[0].tolist() == [[1, 18]]


@pytest.mark.parametrize(
    ("base", "queries", "k", "metric", "error"),
    [
        (BASE, QUERIES, 0, "l2", ShapeError),
        (BASE, QUERIES, 1, "hamming", SpecError),
        (BASE, QUERIES[:, :2], 1, "l2", ShapeError),
        (BASE, QUERIES[0], 1, "l2", ShapeError),
        (BASE[:, :0], QUERIES[:, :0], 1, "l2", ShapeError),
        (BASE.astype(complex), QUERIES, 1, "l2", DtypeError),
        (BASE, QUERIES.astype(str), 1, "l2", DtypeError),
        (BASE > 3, QUERIES, 1, "l2", DtypeError),
    ],
)
def test_bad_input(base, queries, k, metric, error):
    with pytest.raises(error):
        ground_truth(base, queries, k, metric)
