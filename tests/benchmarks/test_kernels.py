import json
import tomllib
from dataclasses import replace

import pytest

from benchmarks import kernels
from benchmarks.scans import MEASURES, Work
from benchmarks.stopwatch import Rate

TINY = """
seconds = 0
rounds = 1
spec = "EDEN{b}"
sets = [["L1", 512], ["memory", 1024]]

[[group]]
where = "L1"
rows = 4096
megabytes = 1
bits = [1, 2]
dims = [64]
decode = [1]
plane = [1]
score_tile = [1, 20]
"search on" = [1, 20]
"search off" = [1]
"""


@pytest.fixture
def record(tmp_path, monkeypatch):
    (tmp_path / "kernels.toml").write_text(TINY)
    monkeypatch.setattr(kernels, "CASES", tmp_path / "kernels.toml")
    return kernels.run()


def test_run_and_report(record):
    assert json.loads(json.dumps(record)) == record
    rows = record["rows"]
    assert [(row["index"], row["kernel"], row["batch"]) for row in rows[:8]] == [
        ("EDEN1", "decode", 1),
        ("EDEN1", "plane", 1),
        ("EDEN1", "score_tile", 1),
        ("EDEN1", "score_tile", 20),
        ("EDEN1", "search on", 1),
        ("EDEN1", "search on", 20),
        ("EDEN1", "search off", 1),
        ("EDEN2", "decode", 1),
    ]
    assert all(0 < row["best_s"] <= row["median_s"] for row in rows)
    assert all(row["percent"] > 0 for row in rows)
    _, reading, products, searches = kernels.report(record).split("\n\n")
    assert len(reading.splitlines()) == 3 + 4
    heading, _, first, *others = products.splitlines()[1:]
    assert heading.split() == [
        "kernel", "index", "d", "n", "where", "1", "%", "20", "%", "spread",
    ]  # fmt: skip
    assert first.split()[:5] == ["score_tile", "EDEN1", "64", "4,096", "L1"]
    assert [line.split().count("-") for line in others] == [0, 2, 0, 0, 2]
    assert len(searches.splitlines()) == 3 + 4


def test_percent_is_of_products_or_of_bytes():
    allowed = [
        {"kernel": "stream", "unit": "GB/s", "bytes": 10**9, "best": 50.0},
        {"kernel": "dot_tile", "unit": "GMAC/s", "best": 400.0},
    ]
    rate = Rate(best=2.0, median=1.0, spread=1.0)
    work = Work(None, 10**9, 10**11, None)
    row = kernels.row_of({"kernel": "search on"}, work, rate, allowed)
    assert (row["kernel"], row["best_s"], row["median_s"]) == ("search on", 0.5, 1)
    assert row["percent"] == pytest.approx(50)
    row = kernels.row_of({"kernel": "plane"}, replace(work, macs=0), rate, allowed)
    assert row["percent"] == pytest.approx(4)


def test_every_case_can_be_measured():
    cases = tomllib.loads(kernels.CASES.read_text(encoding="utf-8"))
    settings = {"where", "rows", "megabytes", "bits", "dims"}
    for group in cases["group"]:
        assert settings < set(group)
        assert set(group) - settings <= set(MEASURES)
