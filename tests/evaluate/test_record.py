"""Records of operating points: written, read, and refused where they are not whole."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from vqindex.errors import CorruptFileError
from vqindex.evaluate import Latency, OperatingPoint, Speed, append_points, latest, read_points

POINT = OperatingPoint(
    dataset="sample", dataset_hash="0f", n=2000, dim=384, metric="cosine", system="FAISS",
    version="1.15.1", spec="IVF64,PQ192x4fs,RFlat", parameters={"nprobe": 4}, threads=1, batch=1,
    k=10, recall={"1": 0.99, "10": 0.9}, recall_by_distance={"1": 1.0, "10": 0.95},
    qps=Speed(best=100.0, median=90.0, low=80.0, high=95.0, rounds=5),
    latency=Latency(p50=0.01, p95=0.02, p99=0.03, p999=0.04), build_s=1.5, train_s=1.0,
    bytes_per_row=204.0, file_bytes=12345, peak_bytes=678, stages={"signs": 300.5}, seed=0,
    machine={"cpu": "some", "versions": {"numpy": "2"}}, command="python -m benchmarks run",
    failed=None, when="2026-01-01T00:00:00+00:00",
)  # fmt: skip


def test_a_point_survives_the_file(tmp_path):
    path = tmp_path / "new" / "points.jsonl"
    failed = replace(POINT, qps=None, latency=None, build_s=None, failed="no memory", recall={})
    append_points(path, [POINT])
    append_points(path, [failed])
    assert read_points(path) == [POINT, failed]
    assert len(path.read_text().splitlines()) == 2


def test_a_line_without_a_protocol_is_read():
    values = asdict(replace(POINT, protocol={"rounds": 3}))
    assert OperatingPoint.from_json(json.dumps(values)).protocol == {"rounds": 3}
    del values["protocol"]
    assert OperatingPoint.from_json(json.dumps(values)) == POINT


@pytest.mark.parametrize("line", ["", "{", "[]", "3", "{}"])
def test_what_is_no_point_is_refused_with_its_line(tmp_path, line):
    path = tmp_path / "points.jsonl"
    path.write_text(f"{POINT.to_json()}\n{line}\n")
    with pytest.raises(CorruptFileError, match="line 2"):
        read_points(path)


@pytest.mark.parametrize("left", [1, 40, -2])
def test_an_unfinished_last_line_is_left_out(tmp_path, caplog, left):
    path = tmp_path / "points.jsonl"
    append_points(path, [POINT])
    with path.open("a") as file:
        file.write(POINT.to_json()[:left])
    assert read_points(path) == [POINT]
    assert "points.jsonl: its last line is unfinished" in caplog.text
    append_points(path, [POINT, POINT])
    assert read_points(path) == [POINT] * 3
    assert path.read_text() == f"{POINT.to_json()}\n" * 3


def test_a_last_line_that_lacks_only_its_end_is_kept(tmp_path, caplog):
    path = tmp_path / "points.jsonl"
    path.write_text(POINT.to_json())
    assert read_points(path) == [POINT]
    append_points(path, [POINT])
    assert read_points(path) == [POINT] * 2
    assert not caplog.text


def test_what_never_was_a_point_is_not_cut_off(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("notes")
    with pytest.raises(CorruptFileError, match="line 1"):
        read_points(path)
    append_points(path, [POINT])
    assert path.read_text() == f"notes\n{POINT.to_json()}\n"


def test_only_points_of_the_last_origin_stand_beside_each_other(caplog):
    def made(commit, **changed):
        return replace(POINT, machine={"commit": commit, "cpu": "some"}, **changed)

    old, gone = made("a"), made("a", system="SVS")
    more, elsewhere = made("a", threads=2), made("a", dataset_hash="10")
    assert latest([old, gone, more, elsewhere]) == [old, gone, more, elsewhere]
    assert not caplog.text
    new = made("b")
    assert latest([old, gone, more, elsewhere, new]) == [more, elsewhere, new]
    assert "sample, threads 1: points of another commit, CPU or level" in caplog.text
    assert "are left out, of SVS" in caplog.text
    for name in ("cpu", "cpu_level", "level"):
        other = replace(gone, machine=old.machine | {name: "other"})
        assert latest([old, other]) == [other]


def test_missing_and_unknown_fields_are_named():
    values = asdict(POINT)
    del values["seed"]
    with pytest.raises(CorruptFileError, match=r"\['seed'\] are missing, \['sead'\] are unknown"):
        OperatingPoint.from_json(json.dumps(values | {"sead": 1}))
    values["seed"] = 0
    del values["qps"]["low"]
    with pytest.raises(CorruptFileError, match="low"):
        OperatingPoint.from_json(json.dumps(values))


def test_speed_is_the_middle_of_its_rounds():
    found = Speed.of([10.0, 50.0, 20.0, 40.0, 30.0])
    assert found == Speed(best=50.0, median=30.0, low=20.0, high=40.0, rounds=5)
    assert Speed.of([7.0]) == Speed(best=7.0, median=7.0, low=7.0, high=7.0, rounds=1)


def test_latency_is_percentiles_of_all_queries():
    seconds = np.random.default_rng(0).permutation(10_001) / 10_000
    found = Latency.of(seconds)
    assert asdict(found) == pytest.approx({"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999})


@pytest.mark.parametrize(("count", "told"), [(1, False), (9_999, False), (10_000, True)])
def test_few_queries_have_no_tail(count, told):
    found = Latency.of([1.0] * count)
    assert (found.p99, found.p999) == (1.0, 1.0 if told else None)
    point = replace(POINT, latency=found)
    assert OperatingPoint.from_json(point.to_json()) == point
