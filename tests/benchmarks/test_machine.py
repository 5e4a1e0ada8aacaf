import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import machine

ROOT = Path(machine.__file__).parents[1]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_pinning():
    code = """
import os, sys
from benchmarks import machine
allowed = os.sched_getaffinity(0)
machine.pin()
assert os.sched_getaffinity(0) == {max(allowed)}
machine.pin([min(allowed)])
assert os.sched_getaffinity(0) == {min(allowed)}
assert os.environ["OMP_NUM_THREADS"] == os.environ["RAYON_NUM_THREADS"] == "1"
assert "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_pinning_to_several_cpus():
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        pytest.skip("there is one CPU")
    code = """
import os
from benchmarks import machine
allowed = sorted(os.sched_getaffinity(0))
machine.pin(threads=2)
assert os.sched_getaffinity(0) == set(allowed[-2:])
machine.pin(allowed[:2], 2)
assert os.sched_getaffinity(0) == set(allowed[:2])
assert os.environ["VQINDEX_NUM_THREADS"] == os.environ["RAYON_NUM_THREADS"] == "2"
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
@pytest.mark.parametrize(("cpus", "threads"), [([0], 2), ([0, 0], 2), ([0, 1], 1), (None, 10**6)])
def test_as_many_cpus_as_threads(monkeypatch, cpus, threads):
    monkeypatch.setattr(os, "environ", {})
    with pytest.raises(ValueError, match=f"{threads} threads need as many CPUs, got"):
        machine.pin(cpus, threads)


@pytest.mark.skipif("avx2" not in machine.describe()["cpu_flags"], reason="this CPU has no AVX2")
def test_both_libraries_are_held_to_a_level():
    pytest.importorskip("faiss")
    code = """
import os
from benchmarks import machine
machine.pin(level="avx2")
told = machine.describe()
assert (told["cpu_level"], told["faiss_level"]) == ("avx2", "AVX2"), told
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_a_commit_tells_how_code_differs_from_it(tmp_path):
    def git(*command):
        me = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *me, *command], cwd=tmp_path, check=True, timeout=60)

    def told(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        return machine._commit(tmp_path)

    git("init", "-q")
    told("vqindex/a.py", "1")
    git("add", ".")
    git("commit", "-qm", "first")
    clean = machine._commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", clean)
    assert told("benchmarks/results/a.jsonl", "3") == told("README.md", "4") == clean
    tracked, other, new = told("vqindex/a.py", "2"), told("vqindex/a.py", "3"), told("cuda/b", "5")
    dirty = [tracked, other, new, told("cuda/b", "6")]
    assert len(set(dirty)) == 4
    assert all(re.fullmatch(f"{clean}-dirty-[0-9a-f]{{12}}", name) for name in dirty)
    assert told("cuda/b", "5") == new


def test_description():
    told = machine.describe()
    assert json.loads(json.dumps(told)) == told
    assert told["cpu"]
    assert told["versions"]["vqindex"]
    assert told["cpu_level"]
    assert "turbovec" in told["versions"]
