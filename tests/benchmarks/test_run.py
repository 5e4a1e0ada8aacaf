"""Runs of a plan on the sample: whole, interrupted, and with systems that fail."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks import __main__, gate, machine, run
from benchmarks.cases import read_plan
from vqindex.evaluate import read_points

pytestmark = pytest.mark.usefixtures("unpinned")
PLAN = """
rounds = 2
singles = 3
queries = 20
datasets = ["sample"]
patience_s = 600

[[case]]
system = "vqindex"
spec = "EDEN1"

[[case]]
system = "hnswlib"
spec = "HNSW(speed=3)"

[[case]]
system = "FAISS"
spec = "IVF8,Flat"
parameters = { nprobe = [1, 8] }
heat = "lists"
"""


@pytest.fixture
def unpinned(monkeypatch):
    monkeypatch.setattr(machine, "pin", lambda *_: None)


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "some.toml"
    path.write_text(PLAN)
    return read_plan(str(path))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run.jsonl"


def test_every_point_is_had_or_says_why(plan, out, monkeypatch, capsys):
    points = run.Run(plan, out)()
    assert read_points(out) == points
    assert [(p.system, p.batch) for p in points] == [
        ("vqindex", 1), ("vqindex", 20), ("hnswlib", 1), ("hnswlib", 20),
        ("FAISS", 1), ("FAISS", 20), ("FAISS", 1), ("FAISS", 20),
    ]  # fmt: skip
    ours, _, failed, _, *lists = points
    assert (ours.failed, ours.qps.rounds, ours.dataset) == (None, 2, "sample")
    assert ours.latency.p50 > 0
    assert ours.peak_bytes > 10_000 * 384 // 8
    assert ours.machine["tests"] == "no tests were run"
    assert ours.command.endswith("some.toml --datasets sample --only 'vqindex EDEN1' --again")
    assert failed.failed in (
        "ValueError: this takes HNSW(M=16,ef_construction=200), got 'HNSW(speed=3)'.",
        "ImportError: hnswlib is missing: pip install hnswlib",
    )
    assert lists[0].recall["10"] < lists[2].recall["10"] == 1
    text = run.report(points)
    assert "IVF8,Flat" in text
    assert text.count("failed on sample: hnswlib") == 1

    monkeypatch.setattr(gate, "check", lambda tests: pytest.fail("nothing was to be measured"))
    assert run.Run(plan, out)() == []
    assert "has every point" in capsys.readouterr().err


def test_a_run_goes_on_where_it_was_interrupted(plan, out, monkeypatch):
    whole = run.contest
    monkeypatch.setattr(
        run, "contest", lambda entries, *_, **__: interrupt(entries, whole, *_, **__)
    )

    def interrupt(entries, measure, *rest, **options):
        if entries[0].system == "FAISS":
            raise KeyboardInterrupt
        return measure(entries, *rest, **options)

    with pytest.raises(KeyboardInterrupt):
        run.Run(plan, out)()
    before = read_points(out)
    assert {point.system for point in before} == {"vqindex", "hnswlib"}
    monkeypatch.setattr(run, "contest", whole)
    assert {point.system for point in run.Run(plan, out)()} == {"FAISS"}
    assert read_points(out)[:4] == before


@pytest.mark.parametrize(("package", "count"), [("hnswlib", 2), ("numpy", 2), ("usearch", 0)])
def test_what_has_another_version_is_measured_anew(plan, out, package, count):
    points = run.Run(run.chosen(plan, ["hnswlib"]), out)()
    assert all(point.failed for point in points)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    for line in lines:
        line["machine"]["versions"][package] = "0.1"
    out.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert len(run.Run(run.chosen(plan, ["hnswlib"]), out)()) == count


@pytest.mark.parametrize("change", [{"rounds": 3}, {"singles": 4}, "heat"])
def test_a_point_timed_otherwise_is_another(plan, out, change):
    plan = run.chosen(plan, ["hnswlib"])  # fails at once: no time is lost
    (case,) = plan.cases
    other = {"cases": (replace(case, heat="other"),)} if change == "heat" else change
    assert [len(run.Run(each, out)()) for each in (plan, plan, replace(plan, **other))] == [2, 0, 2]


def test_nothing_is_measured_on_red(plan, out, monkeypatch, tmp_path, capsys):
    red = tmp_path / "test_red.py"
    red.write_text("def test_it(): assert 1 == 2\n")
    arguments = ["run", plan.name, "--out", str(out), "--tests", str(red)]
    with pytest.raises(SystemExit) as left:
        __main__.main(arguments)
    assert left.value.code == 1
    assert "nothing is measured while its tests fail" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.skipif("avx2" not in machine.describe()["cpu_flags"], reason="this CPU has no AVX2")
def test_a_record_tells_the_level_that_libraries_are_held_to(plan, out):
    command = [sys.executable, "-m", "benchmarks", "run", plan.name, "--out", str(out)]
    command += ["--level", "avx2", "--only", "IVF8,Flat"]
    subprocess.run(command, cwd=gate.ROOT, check=True, timeout=120)
    told = [point.machine for point in read_points(out)]
    assert {(one["level"], one["cpu_level"], one["faiss_level"]) for one in told} == {
        ("avx2", "avx2", "AVX2")
    }


def test_a_level_has_a_file_of_its_own():
    names = [run.results(level).name for level in (None, *machine.LEVELS)]
    assert names == ["run.jsonl", "run-avx2.jsonl", "run-avx512.jsonl"]


def test_some_by_name(plan):
    assert [c.system for c in run.chosen(plan, ["FAISS", "vqindex EDEN1"]).cases] == [
        "vqindex", "FAISS",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="got 'EDEN2'"):
        run.chosen(plan, ["EDEN2"])


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="sends a signal")
def test_an_interrupt_ends_the_command_and_its_processes(plan, out):
    command = [sys.executable, "-m", "benchmarks", "run", plan.name, "--out", str(out)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, cwd=gate.ROOT, start_new_session=True
    ) as started:
        while "build sample" not in (line := started.stderr.readline()):
            assert line
        os.killpg(started.pid, signal.SIGINT)
        assert "interrupted" in started.stderr.read()
    assert started.returncode == 130
