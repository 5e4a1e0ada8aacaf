import sys

import pytest

from benchmarks import points
from benchmarks.points import Settings, System
from vqindex.datasets import synthetic

SETTINGS = Settings(k=10, fit=1200, patience=1000.0)


@pytest.fixture
def dataset():
    return synthetic(1500, 64, 20, "cosine")


def run(systems, dataset, settings=SETTINGS):
    told = []
    rows = points.run(systems, dataset, settings, seed=0, level=None, tell=told.append)
    return rows, told


def test_exact_and_coded(dataset):
    pytest.importorskip("faiss")
    systems = [System("vqindex", "F32"), System("vqindex", "EDEN2"), System("FAISS", "Flat")]
    rows, told = run(systems, dataset)
    assert told == [f"{dataset.name}: {system.label}" for system in systems]
    ours, codes, theirs = rows
    assert ours["recall"] == theirs["recall"] == 1
    assert ours["bytes_per_row"] == theirs["bytes_per_row"] == 4 * 64  # no ids
    assert 0.3 < codes["recall"] < 1
    assert codes["bits"] == 2 + 48 / 64
    assert all(row["rows_per_s"] > 0 and row["fit_s"] >= 0 for row in rows)


def test_specs_are_those_of_the_dimension(dataset):
    pytest.importorskip("faiss")
    (row,), _ = run([System("FAISS", "PQ{d/4}x4fs")], dataset)
    assert (row["index"], row["spec"]) == ("PQ{d/4}x4fs", "PQ16x4fs")
    assert row["bytes_per_row"] == 8


def test_models_are_apart_from_rows(dataset):
    """Files of indexes without rows: a rotation's 64 x 64 numbers, and what files take anyway."""
    pytest.importorskip("faiss")
    systems = [System("vqindex", "Haar,EDEN2"), System("vqindex", "F32"), System("FAISS", "PQ4x8")]
    rotated, plain, words = (row["model"] for row in run(systems, dataset)[0])
    assert 4 * 64 * 64 < rotated < 4 * 64 * 64 + 8192
    assert plain < 4096
    assert 4 * 256 * 64 <= words < 4 * 256 * 64 + 4096


def test_a_system_may_have_its_own_patience(dataset):
    stopped, done = run(
        [System("vqindex", "EDEN2"), System("vqindex", "EDEN2", patience=1000.0)],
        dataset, Settings(10, 1200, 0.0),
    )[0]  # fmt: skip
    assert stopped["recall"] is None
    assert done["recall"] > 0


@pytest.mark.parametrize(("own", "fitted"), [(None, 1200), (300, 300)])
def test_systems_learn_from_the_first_rows(dataset, monkeypatch, own, fitted):
    from vqindex.evaluate import Ours

    seen = []
    monkeypatch.setattr(Ours, "fit", lambda self, x: seen.append(len(x)))
    run([System("vqindex", "EDEN2", own)], dataset)
    assert seen == [fitted]


def test_codes_that_take_too_long_have_no_recall(dataset):
    (row,), told = run([System("vqindex", "EDEN2")], dataset, Settings(10, 1200, 0.0))
    assert row["recall"] is None
    assert row["bytes_per_row"] == 22
    assert "without recall of vqindex EDEN2 on" in told[-1]


def test_what_is_missing_is_told_once(dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    rows, told = run(
        [System("FAISS", "Flat"), System("FAISS", "SQ8"), System("vqindex", "F32")], dataset
    )
    assert [row["index"] for row in rows] == ["F32"]
    assert len(told) == 2
    assert "without FAISS" in told[0]
    assert 'pip install "vqindex[faiss]"' in told[0]


def test_what_a_peer_cannot_make_is_told(dataset):
    pytest.importorskip("faiss")
    rows, told = run([System("FAISS", "PQ7x8")], dataset)
    assert rows == []
    assert "without FAISS PQ7x8 on" in told[-1]


def test_our_own_failures_are_not_left_out(dataset):
    with pytest.raises(ValueError, match="unknown index spec"):
        run([System("vqindex", "Nothing4")], dataset)
