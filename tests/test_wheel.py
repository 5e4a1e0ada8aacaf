"""What is shipped: what a wheel holds, and that it works where only NumPy and Numba are."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = "vqindex/kernels/cpu/README.md"  # for those who read the sources
NEEDED = ("numpy", "numba", "llvmlite")

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").exists(), reason="a wheel is built from a clone only"
)


def run(*command, **settings):
    """Standard output and error of a command that succeeds."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300, **settings
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


def built(folder, *kinds):
    run(sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))


def names(wheel):
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return built(tmp_path_factory.mktemp("dist"), "--wheel")


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An interpreter that sees the wheel, NumPy and Numba, and nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder / "venv", with_pip=False)
    scripts = "Scripts" if os.name == "nt" else "bin"
    python = folder / "venv" / scripts / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")[0][:-1])
    for kind in ("purelib", "platlib"):
        for path in Path(sysconfig.get_path(kind)).iterdir():
            link = site / path.name
            if path.name.startswith(NEEDED) and not link.exists():
                link.symlink_to(path)
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run(*pip, "install", "--no-index", "--no-deps", wheel)
    return python


def test_it_holds_the_package_and_its_data(wheel):
    found = names(wheel)
    assert {name.split("/")[0] for name in found} == {"vqindex", "vqindex-0.1.0.dist-info"}
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "vqindex").rglob("*")
        if path.is_file() and path.suffix != ".pyc" and path != ROOT / GUIDE
    }
    data = {
        f"vqindex/_data/{path.relative_to(ROOT / 'datasets').as_posix()}"
        for path in (ROOT / "datasets").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    cuda = {
        f"vqindex/_cuda/{path.name}"
        for path in (ROOT / "cuda").iterdir()
        if path.suffix in {".cu", ".cuh", ".md"}
    }
    assert {"vqindex/_cuda/README.md", "vqindex/_cuda/core.cuh"} <= cuda
    assert "vqindex/py.typed" in sources
    assert {"vqindex/_data/catalog.toml", "vqindex/_data/sample/base.npy"} <= data
    assert {name for name in found if name.startswith("vqindex/")} == sources | data | cuda


def test_licences_travel(wheel):
    licences = "vqindex-0.1.0.dist-info/licenses"
    assert {
        f"{licences}/LICENSE",
        f"{licences}/datasets/sample/LICENSE-WordNet.txt",
    } <= names(wheel)


def test_the_demo_runs_where_nothing_else_is(python, tmp_path):
    command = python.with_name("vqindex")
    out, err = run(command, "demo", "--rounds", "1", cwd=tmp_path)
    assert err == ""
    assert out.startswith("sample: 10,000 x 384, cosine, 500 queries")
    assert "| vqindex | EDEN4   |" in out
    assert "| FAISS" not in out
    assert "Skipped: the comparison with FAISS" in out
    assert "Skipped: the picture" in out
    assert not list(tmp_path.iterdir())


def test_it_is_the_wheel_that_runs(python, tmp_path):
    code = "import vqindex, sys; print(vqindex.__file__); print(vqindex.__version__)"
    where, version = run(python, "-c", code, cwd=tmp_path)[0].splitlines()
    assert Path(where).is_relative_to(python.parents[1])
    assert version == "0.1.0"


@pytest.mark.slow
def test_the_source_archive_makes_the_same_wheel(wheel, tmp_path):
    assert names(built(tmp_path)) == names(wheel)
