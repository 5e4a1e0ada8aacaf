"""What is made of the logs that cuda/run_on_gpu.sh leaves."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import on_gpu
from vqindex.kernels.gpu import driver

ROOT = Path(__file__).parents[2]
CLEAN = "= COMPUTE-SANITIZER\n4 passed, 9 deselected in 61.02s (0:01:01)\n= ERROR SUMMARY: 0 errors"
REFUSED = """= COMPUTE-SANITIZER
= Error: Device not supported. Please refer to the "Supported Devices" section
4 passed in 3.20s
= ERROR SUMMARY: 2 errors"""


@pytest.fixture
def steps(tmp_path):
    """A function that leaves a step's log, and what else is wanted."""

    def leave(name, said, code=0):
        (tmp_path / f"{name}.log").write_text(said)
        (tmp_path / f"{name}.end").write_text(f"{code} 12\n")

    leave("environment", 'words\n{"gpu": [{"name": "A GPU"}]}')
    leave("test_codecs", "....\n4 passed in 1.20s")
    leave("speed-0", '{"cases": [{"name": "one query", "ms": 2.5, "met": "no"}]}')
    leave("memcheck", CLEAN)
    (tmp_path / "wanted").write_text("environment test_codecs speed-0 memcheck")
    leave.read = lambda: on_gpu.read(tmp_path, [])
    return leave


def test_all_is_right(steps):
    record = steps.read()
    assert record["right"]
    assert record["failed"] == record["refused"] == record["not_run"] == []
    assert record["steps"]["test_codecs"]["tests"] == "4 passed in 1.20s"
    assert record["steps"]["speed-0"]["record"]["cases"][0]["ms"] == 2.5
    assert "one query, ms 2.500" in on_gpu.told(record)


@pytest.mark.parametrize(
    "last",
    ["4 passed, 1 skipped in 1.20s", "4 skipped in 0.10s", "12 deselected in 0.10s",
     "no tests ran in 0.01s", ""],
)  # fmt: skip
@pytest.mark.parametrize("name", ["test_codecs", "memcheck"])
def test_tests_that_did_not_run_are_not_right(steps, name, last):
    steps(name, f"...\n{last}\n= ERROR SUMMARY: 0 errors")
    record = steps.read()
    assert record["failed"] == [name]
    assert not record["right"]


def test_a_tool_that_refuses_found_nothing(steps):
    steps("memcheck", REFUSED, 9)
    record = steps.read()
    assert (record["refused"], record["failed"]) == (["memcheck"], [])
    assert not record["right"]
    assert "refused: memcheck" in on_gpu.told(record)


@pytest.mark.parametrize(
    ("said", "code"),
    [(CLEAN.replace("SUMMARY: 0", "SUMMARY: 3"), 9), (CLEAN.rsplit("\n", 1)[0], 0)],
)
def test_a_tool_that_finds_errors_or_never_ended(steps, said, code):
    steps("memcheck", said, code)
    record = steps.read()
    assert (record["refused"], record["failed"]) == ([], ["memcheck"])
    assert not record["right"]


def test_cases_and_steps_that_fail_are_named(steps, tmp_path):
    steps("speed-0", '{"cases": [{"name": "one query", "error": "an illegal address"}]}')
    steps("driver", "x" * 30_000, 1)
    (tmp_path / "wanted").write_text("environment cpu-0")
    record = steps.read()
    assert record["failed"] == ["driver", "one query"]
    assert record["not_run"] == ["cpu-0"]
    assert len(record["steps"]["driver"]["said"]) <= on_gpu.MOST + 5
    assert "one query, an illegal address" in on_gpu.told(record)


def test_a_step_that_is_being_written_is_left(steps, tmp_path):
    (tmp_path / "driver.end").write_text("")
    assert "driver" not in steps.read()["steps"]


PYTHON = """#!/usr/bin/env bash
case "$*" in
*benchmarks.on_gpu*) exec {python} "$@" ;;
*"pip install"*) printf '%s\\n' "$*" >>{folder}/installed; exit 1 ;;
*"-m pytest"*) echo "1 passed, 9 deselected in 0.10s" ;;
*"benchmarks gpu"*) echo '{{"cases": [{{"name": "a case", "ms": 1.5}}]}}' ;;
*show_config*) echo '{{"gpu": [{{"name": "A GPU"}}]}}' ;;
*import_module*) [ "${{@: -1}}" != cuda.core ] ;;
esac
"""
SANITIZER = """#!/usr/bin/env bash
echo "= COMPUTE-SANITIZER $*"; "${@:7}"; echo "= ERROR SUMMARY: 0 errors"
"""


def run_script(tmp_path, **about):
    """The exit code of the script, and its record."""
    out = tmp_path / "out" / "gpu.json"
    done = subprocess.run(
        ["bash", ROOT / "cuda" / "run_on_gpu.sh", out], capture_output=True, text=True,
        env=os.environ | {"PYTHON": sys.executable, "TMPDIR": str(tmp_path)} | about,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, json.loads(out.read_text())


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="it is a script for bash")


@needs_bash
@pytest.mark.skipif(bool(driver.devices()), reason="there is a GPU")
def test_without_a_gpu_the_script_says_so(tmp_path):
    code, record = run_script(tmp_path)
    assert code == 1
    assert "driver of NVIDIA" in record["no_gpu"]
    assert record["steps"] == {}
    assert "environment" in record["not_run"]


@needs_bash
def test_every_step_of_the_script(tmp_path):
    """With programs in place of Python and the sanitizer, which say what they do if all is well."""
    programs = {"compute-sanitizer": SANITIZER, "nvidia-smi": "#!/bin/sh\n",
                "stub": PYTHON.format(python=sys.executable, folder=tmp_path)}  # fmt: skip
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    code, record = run_script(
        tmp_path, PYTHON=str(tmp_path / "stub"), PATH=f"{tmp_path}:{os.environ['PATH']}"
    )
    assert (code, record["right"]) == (0, True), record
    assert record["missing"] == ["cuda.core"]
    steps = record["steps"]
    tests = {name for name in steps if name.startswith("test_")}
    assert {"test_codecs", "test_codes_are_those_of_the_cpu", "test_graphs"} < tests
    assert {"cpu-one", "cpu-many", "compile", "speed-0", "speed-5", *on_gpu.TOOLS} < set(steps)
    assert "--tool memcheck --report-api-errors no --error-exitcode 9" in steps["memcheck"]["said"]
    (installed,) = (tmp_path / "installed").read_text().splitlines()
    assert "install -q --no-deps" in installed
    assert installed.endswith(" cuda-core>=1,<2 cuda-pathfinder")
