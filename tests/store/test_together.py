"""Many search while one writes; every answer is that of one committed state."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("together.py")


def run(kind, folder, seconds):
    done = subprocess.run(
        [sys.executable, SCRIPT, kind, folder, str(seconds)],
        capture_output=True, text=True, timeout=seconds + 600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_for_seconds(kind, tmp_path):
    run(kind, tmp_path / "store", 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_for_a_minute(kind, tmp_path):
    run(kind, tmp_path / "store", 60)
