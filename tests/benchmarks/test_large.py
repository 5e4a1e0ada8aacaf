import json
import sys

import numpy as np
import pytest

from benchmarks import large
from vqindex import index_factory

CASE = {
    "name": "none", "metric": "l2", "d": 32, "spectrum": 1.0, "spec": "EDEN4", "rows": 9000,
    "batch": 32, "singles": 4, "seconds": 0.02, "rounds": 2, "drawn": 4000,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_sets(monkeypatch, tmp_path):
    monkeypatch.setenv("VQINDEX_DATA", str(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read as Linux tells it")
def test_a_case_in_a_process_of_its_own():
    line = large._in_child(CASE)
    assert (line["index"], line["n"], line["d"], line["metric"]) == ("EDEN4", 9000, 32, "l2")
    assert line["set"].startswith("synthetic-4000-32-l2")
    index = index_factory("EDEN4", metric="l2")
    index.add(np.zeros((9000, 32)))
    assert line["bytes_per_row"] == index.bytes_per_row
    assert line["index_bytes"] == index.nbytes["total"]
    assert line["index_bytes"] < line["grown_bytes"] < line["index_bytes"] + 200e6
    assert line["found"] > 0.9
    for name in ("add_s", "single_median", "batch_median"):
        assert line[name] > 0


def test_a_set_of_the_data_folder_is_taken(tmp_path, monkeypatch):
    (tmp_path / "none.hdf5").touch()
    monkeypatch.setattr(large.data, "load", lambda name, queries: (name, queries))
    assert large.source(CASE) == ("none", 32)


def test_rows_that_are_found_among_their_own_nearest():
    x = np.random.default_rng(0).standard_normal((400, 8), np.float32)
    index = index_factory("F32", metric="l2")
    index.add(x)
    assert large.found(index, x, 50) == 1
    assert large.found(index, x[::-1], 50) < 0.5


def test_scaling_is_beside_the_first_size():
    first = {"n": 100, "add_s": 1.0, "single_median": 80.0, "batch_median": 600.0}
    third = {"n": 300, "add_s": 6.0, "single_median": 40.0, "batch_median": 200.0}
    assert large.scaling(first, first) == dict.fromkeys(large.scaling(first, first), 1.0)
    found = large.scaling(first, third)
    assert found == {"add_scaling": 0.5, "single_scaling": 1.5, "batch_scaling": 1.0}


def test_every_size_of_every_index_is_compared_with_its_smallest(monkeypatch):
    def line(case):
        own = {name: case[name] for name in ("spec", "d", "name")}
        speed = 1e9 / case["rows"] / case["d"]
        return own | {
            "index": case["spec"], "set": case["name"], "n": case["rows"], "bytes_per_row": 100,
            "add_s": 1 / speed, "index_bytes": 10**8, "grown_bytes": 3 * 10**8 + case["rows"],
            "single_median": speed, "batch_median": speed, "spread": 0.1, "found": 1.0,
        }  # fmt: skip

    monkeypatch.setattr(large, "_in_child", line)
    record = large.run()
    assert json.loads(json.dumps(record)) == record
    sizes = [row["n"] for row in record["rows"] if (row["spec"], row["d"]) == ("EDEN4", 384)]
    assert sizes == [100_000, 300_000, 1_000_000]
    assert all(row["batch_scaling"] == pytest.approx(1) for row in record["rows"])
    heading, _, *lines = large.report(record).splitlines()
    assert heading.count("x linear") == 3
    assert len(lines) == len(record["rows"])
    assert " no " in lines[0]


def test_what_is_allowed_beyond_the_index():
    rows = [{"index_bytes": 50e6, "grown_bytes": grown} for grown in (249e6, 251e6)]
    assert [row["allowed"] for row in large._shown(rows, 200)] == ["yes", "no"]
