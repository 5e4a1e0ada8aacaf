"""Nothing is measured while its tests are red."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


class RedTests(Exception):
    """Tests of what was to be measured failed; the text is the end of what pytest said."""


def check(tests: Sequence[str], root: Path = ROOT) -> str:
    """Run tests with this Python; pytest's last line, and which they were. RedTests if one fails.

    tests   paths under `root`; none at all is said so
    """
    if not tests:
        return "no tests were run"
    command = [sys.executable, "-m", "pytest", *tests]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    lines = (done.stderr + done.stdout).strip().splitlines()  # the summary last
    if done.returncode:
        raise RedTests("\n".join(lines[-30:]))
    return f"{lines[-1].strip(' =')}: {' '.join(tests)}"
