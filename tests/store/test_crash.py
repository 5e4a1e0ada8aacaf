"""A writing process is killed at random moments, and nothing it was told is written is lost."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("crash.py")


def run(folder, kills, seed):
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", SCRIPT, folder, str(kills), str(seed)],
        capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_killed_a_few_times(tmp_path):
    assert run(tmp_path / "store", 8, 0).startswith("8 kills")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_a_hundred_times(tmp_path, seed):
    assert run(tmp_path / "store", 100, seed).startswith("100 kills")
