import json

import pytest

from benchmarks import bounds
from vqindex import index_factory
from vqindex.datasets import synthetic


@pytest.fixture(scope="module")
def dataset():
    return synthetic(5000, 64, 40, "cosine")


@pytest.fixture(scope="module")
def index(dataset):
    made = index_factory("EDEN4")
    made.add(dataset.base)
    return made


def test_a_wider_bound_reads_more_and_misses_less(index, dataset):
    rows = bounds.sweep(index, dataset.queries, 10, [0.0, 1.5, 3.0, 50.0])
    scored = [row["scored"] for row in rows]
    assert scored == sorted(scored)
    assert rows[0]["missed"] > 0
    assert rows[0]["scored"] < len(index) / 20
    assert rows[0]["missed"] > rows[2]["missed"]
    assert rows[3]["missed"] == 0
    assert rows[3]["scored"] == len(index)


def test_rows_are_counted_in_their_units(index, dataset):
    row = bounds.sweep(index, dataset.queries, 10, [0.0])[0]
    assert (row["index"], row["k"], row["neighbors"]) == ("EDEN4", 10, 400)
    assert row["missed_per_10000"] == 25 * row["missed"]
    assert row["scored_percent"] == pytest.approx(row["scored"] / 50)


def test_fewer_rows_than_k_are_no_misses():
    data = synthetic(30, 16, 4, "l2")
    index = index_factory("TQ2", metric="l2")
    index.add(data.base)
    row = bounds.sweep(index, data.queries, 100, [3.0])[0]
    assert (row["neighbors"], row["missed"]) == (120, 0)


def test_pooled_counts_all_indexes_together():
    rows = [
        {"k": 10, "eps0": 2.0, "missed": 1, "neighbors": 100, "scored_percent": 1.0},
        {"k": 10, "eps0": 2.0, "missed": 2, "neighbors": 200, "scored_percent": 3.0},
        {"k": 10, "eps0": 3.0, "missed": 0, "neighbors": 100, "scored_percent": 5.0},
    ]
    first, second = bounds.pooled(rows)
    assert (first["missed_per_10000"], first["scored_percent"]) == (100, 2)
    assert (second["eps0"], second["missed_per_10000"]) == (3.0, 0)


def test_run_and_report(dataset, tmp_path, monkeypatch):
    cases = tmp_path / "bounds.toml"
    cases.write_text('specs = ["EDEN2", "TQ4"]\nks = [1]\neps0s = [2.0, 4.0]\n')
    monkeypatch.setattr(bounds, "CASES", cases)
    record = bounds.run(dataset)
    assert [(row["index"], row["eps0"]) for row in record["rows"]] == [
        ("EDEN2", 2.0), ("EDEN2", 4.0), ("TQ4", 2.0), ("TQ4", 4.0),
    ]  # fmt: skip
    assert json.loads(json.dumps(record)) == record
    misses, scored = bounds.report(record).split("\n\n")
    for text in (misses, scored):
        lines = text.splitlines()
        assert lines[1].split() == ["index", "k", "2.0", "4.0"]
        assert [line.split()[0] for line in lines[3:]] == ["EDEN2", "TQ4", "all"]
