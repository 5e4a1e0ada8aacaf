"""What README shows runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="there is no README beside the tests")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S)


def test_python_blocks_run_in_order(tmp_path):
    """All in one process, as a reader would; they may write files where they are.

    Those of frameworks are run by tests/integrations/test_readme.py.
    """
    code = "\n".join(one for one in blocks("python") if "vqindex.integrations" not in one)
    assert "import vqindex" in code
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_commands_exist():
    """Every `make` target and every `vqindex` command that is named."""
    makefile = README.with_name("Makefile")
    if makefile.exists():
        targets = set(re.findall(r"^([a-z-]+):", makefile.read_text("utf-8"), re.M))
        named = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(blocks("sh"))))
        assert {"demo", "test"} <= named <= targets
    from vqindex.cli import _parser

    known = _parser().format_help()
    for name in re.findall(r"^vqindex ([a-z]+)", "\n".join(blocks("sh")), re.M):
        assert f"    {name}  " in known
