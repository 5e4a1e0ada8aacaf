"""Imports run one way, and importing the package is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vqindex

ROOT = Path(vqindex.__file__).parent

# A file imports from its own group and the groups above it.
LAYERS = [
    "errors folders lazy interrupts memory",
    "arrays threads locks progress",
    "kernels.reference kernels.cpu kernels.gpu",
    "layouts subspaces",
    "codes container clustering",
    "transforms quantizers sketches",
    "scoring",
    "codec",
    "recipe",
    "results",
    "indexes",
    "factory",
    "io config",
    "datasets evaluate",
    "report demo tune bench",
    "learn store integrations distributed",
    "cli examples",
    "__main__",
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}
TOP = RANK["cli"]  # the package itself, whose __init__ imports most of the list
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def unit(module: str) -> str:
    """The part of the package a module belongs to."""
    names = module.split(".")[1:]
    return ".".join(names[:2] if names[:1] == ["kernels"] else names[:1])


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            is_package = node.module and (ROOT.parent / node.module.replace(".", "/")).is_dir()
            found += (
                [f"{node.module}.{a.name}" for a in node.names] if is_package else [node.module]
            )
    return found


def upward(path: Path, own: str) -> list[str]:
    """Imports of `path`, in part `own`, from below it; a name of no part is the package's own."""
    names = [name for name in imports(path) if name.split(".")[0] == "vqindex"]
    return [name for name in names if RANK.get(unit(name), TOP) > RANK[own]]


def test_imports_run_down_the_list():
    owns = {
        path: unit(".".join(path.relative_to(ROOT.parent).with_suffix("").parts)) for path in FILES
    }
    broken = {path: upward(path, own) for path, own in owns.items() if own in RANK}
    assert {str(path): names for path, names in broken.items() if names} == {}


@pytest.mark.parametrize(
    ("line", "broken"),
    [
        ("import vqindex", ["vqindex"]),
        ("import vqindex as vq", ["vqindex"]),
        ("from vqindex import FlatIndex", ["vqindex.FlatIndex"]),
        ("from vqindex import arrays, threads as pool", []),
        ("from vqindex import arrays, io", ["vqindex.io"]),
        ("from vqindex.indexes.flat import FlatIndex", ["vqindex.indexes.flat"]),
        ("import numpy", []),
    ],
)
def test_an_upward_import_is_seen(tmp_path, line, broken):
    path = tmp_path / "file.py"
    path.write_text(line, encoding="utf-8")
    assert upward(path, "codec") == broken
    assert upward(path, "cli") == upward(path, "__main__") == []


def test_every_file_is_in_a_layer():
    for path in FILES:
        own = unit(".".join(path.relative_to(ROOT.parent).with_suffix("").parts))
        assert own in RANK or own.startswith("kernels"), path


def only(package: str, allowed: str) -> list[str]:
    return [
        str(path.relative_to(ROOT))
        for path in FILES
        if any(name.split(".")[0] == package for name in imports(path))
        and not str(path.relative_to(ROOT)).startswith(allowed)
    ]


def test_compilers_stay_in_their_folder():
    assert only("numba", "kernels/cpu/") == []
    assert only("llvmlite", "kernels/cpu/") == []
    assert only("cuda", "kernels/gpu/") == []
    assert only("torch", "nowhere/") == []


def test_no_file_is_long():
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert [str(path) for path, lines in sizes.items() if lines > 400] == []


def test_importing_is_cheap():
    """No torch, no faiss, nothing compiled, no thread started."""
    code = """
import sys, threading
import vqindex
heavy = {"torch", "cuda", "faiss", "h5py", "matplotlib", "sklearn", "sqlite3",
         "langchain_core", "llama_index", "haystack"} & set(sys.modules)
assert not heavy, heavy
assert threading.active_count() == 1
from numba.core.dispatcher import Dispatcher
import gc
compiled = [d for d in gc.get_objects() if isinstance(d, Dispatcher)
            and d.signatures and d.py_func.__module__.startswith("vqindex")]
assert not compiled, compiled
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_clone_folders_shadow_nothing():
    top = ROOT.parent
    if (top / "pyproject.toml").exists():
        assert not (top / "datasets" / "__init__.py").exists()
        assert not list((top / "cuda").rglob("*.py"))
