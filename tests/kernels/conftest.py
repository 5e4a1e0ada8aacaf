"""AMX on machines that lack it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vqindex.kernels.cpu.level import best_level

HERE = Path(__file__).parent
HELD_BACK = ("VQINDEX_CPU_LEVEL", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")


def obstacle():
    """Why AMX is not carried out in software here, if it is not."""
    if any(name in os.environ for name in HELD_BACK):
        return "a level is forced"
    if best_level() == "amx":
        return "this CPU has AMX"
    if best_level() != "avx512" or sys.platform != "linux":
        return "what AMX stands on, AVX-512 and Linux, is not there"
    return None if shutil.which("cc") else "there is no C compiler"


@pytest.fixture(scope="session")
def with_amx(tmp_path_factory):
    """A function that runs a Python file or module at level amx; returns what it printed."""
    if reason := obstacle():
        pytest.skip(reason)
    emulator = tmp_path_factory.mktemp("amx") / "emulator.so"
    build = ["cc", "-O2", "-shared", "-fPIC", "-o", emulator, HERE / "amx_emulator.c"]
    subprocess.run(build, check=True)

    def run(*command):
        started = [sys.executable, HERE / "amx_emulated.py", emulator, *command]
        env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
        done = subprocess.run(started, env=env, stdout=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run
