import json
import os
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


def test_description():
    told = machine.describe()
    assert json.loads(json.dumps(told)) == told
    assert told["cpu"]
    assert told["versions"]["vqindex"]
    assert told["cpu_level"]
    assert "turbovec" in told["versions"]
