"""What README shows of frameworks runs as it stands, each by itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
NAMES = {"langchain": "langchain_core", "llama_index": "llama_index.core"}


def blocks():
    if not README.exists():
        return []
    found = re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S)
    names = [(re.search(r"vqindex\.integrations\.(\w+)", block), block) for block in found]
    return [pytest.param(name[1], block, id=name[1]) for name, block in names if name]


@pytest.mark.skipif(not README.exists(), reason="there is no README beside the tests")
def test_every_framework_has_a_block():
    shown = {block.values[0] for block in blocks()}
    assert shown == {"langchain", "llama_index", "haystack", "sklearn"}


@pytest.mark.parametrize(("name", "block"), blocks())
def test_block_runs(tmp_path, name, block):
    install = f'it is missing: pip install "vqindex[{name.replace("_", "-")}]"'
    pytest.importorskip(NAMES.get(name, name), reason=install)
    assert install[15:] in block
    command = [sys.executable, "-W", "error", "-c", block]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout
