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
machine.pin(min(allowed))
assert os.sched_getaffinity(0) == {min(allowed)}
assert os.environ["OMP_NUM_THREADS"] == os.environ["RAYON_NUM_THREADS"] == "1"
assert "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_description():
    told = machine.describe()
    assert json.loads(json.dumps(told)) == told
    assert told["cpu"]
    assert told["versions"]["vqindex"]
    assert told["cpu_level"]
    assert "turbovec" in told["versions"]
