"""Imports run one way, and importing the package is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import vqindex

ROOT = Path(vqindex.__file__).parent

# A file imports from its own group and the groups above it.
LAYERS = [
    "errors lazy",
    "arrays threads locks progress",
    "kernels.reference kernels.cpu kernels.gpu",
    "layouts",
    "codes container clustering",
    "transforms quantizers sketches",
    "codec",
    "results",
    "indexes",
    "factory",
    "io config",
    "datasets evaluate",
    "report demo",
    "learn store integrations distributed",
    "cli",
    "__main__",
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def unit(module: str) -> str:
    """The part of the package a module belongs to."""
    names = module.split(".")[1:]
    return ".".join(names[:2]) if names[0] == "kernels" and len(names) > 1 else names[0]


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


def test_imports_run_down_the_list():
    broken = []
    for path in FILES:
        own = unit(".".join(path.relative_to(ROOT.parent).with_suffix("").parts))
        if own not in RANK:
            continue
        for name in imports(path):
            if not name.startswith("vqindex."):
                continue
            other = unit(name)
            if other not in RANK:
                assert (ROOT / f"{other}.py").exists() is False, f"{other} is in no layer"
                continue
            if RANK[other] > RANK[own]:
                broken.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not broken


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


def test_no_file_is_long():
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert [str(path) for path, lines in sizes.items() if lines > 400] == []


def test_importing_is_cheap():
    """No torch, no faiss, nothing compiled, no thread started."""
    code = """
import sys, threading
import vqindex
heavy = {"torch", "faiss", "h5py", "matplotlib", "sklearn"} & set(sys.modules)
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
