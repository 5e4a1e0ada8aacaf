"""Compiled once, kept on disk, and never stale."""

import importlib
import json
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import ir
from numba.core.compiler import run_frontend
from numba.core.postproc import PostProcessor

import vqindex.kernels.cpu
from vqindex.kernels.cpu import compile as compiling
from vqindex.kernels.cpu import simd

NORMS = """
import json, numpy as np
from vqindex.kernels.cpu.encode import square_norms
out = np.empty(2, np.float32)
square_norms(np.ones((2, 3), np.float32), 0, 3, out)
stats = square_norms.stats
print(json.dumps([out.tolist(), stats.cache_path, len(stats.cache_hits), len(stats.cache_misses)]))
"""

EVERYTHING = """
import importlib, json, pkgutil, tempfile
import numba, numpy as np, vqindex as vq, vqindex.kernels.cpu as package
found = pkgutil.walk_packages(package.__path__, "vqindex.kernels.cpu.")
modules = [importlib.import_module(module.name) for module in found]
kernels = {
    f"{value.py_func.__module__}.{name}": value
    for module in modules for name, value in vars(module).items() if hasattr(value, "py_func")
    if not value.targetoptions["forceinline"]
}
before = {name: len(kernel.signatures) for name, kernel in kernels.items()}
vq.warmup()
x = np.random.default_rng(0).standard_normal((50, 70)).astype(np.float32)
index = vq.index_factory("EDEN4")
index.fit(x).add(x)
with tempfile.TemporaryDirectory() as folder:
    index.save(folder + "/index")
    for mmap in (True, False):
        loaded = vq.load(folder + "/index", mmap=mmap)
        loaded.search(x), loaded.search(x[0])
    loaded.add(x)
    del loaded
print(json.dumps([before, {name: len(kernel.signatures) for name, kernel in kernels.items()}]))
"""


def kernels():
    """Every kernel of the package."""
    for module in pkgutil.walk_packages(vqindex.kernels.cpu.__path__, "vqindex.kernels.cpu."):
        for value in vars(importlib.import_module(module.name)).values():
            if hasattr(value, "py_func") and value.__module__ == module.name:
                yield value


def run(script, **env):
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | env, stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the kernel sources, of which source_hash takes its hash."""
    copy = tmp_path / "cpu"
    shutil.copytree(Path(compiling.__file__).parent, copy)
    monkeypatch.setattr(compiling, "__file__", str(copy / "compile.py"))
    return copy


def test_source_hash_sees_every_change(copied, monkeypatch):
    fresh = compiling.source_hash.__wrapped__
    seen = {compiling.source_hash()}
    assert {fresh()} == seen
    for name in ("scalar.py", "simd/core.py", "compile.py"):
        with open(copied / name, "a") as source:
            source.write("# changed\n")
        seen.add(fresh())
    (copied / "new.py").touch()
    seen.add(fresh())
    (copied / "new.py").rename(copied / "newer.py")
    seen.add(fresh())
    monkeypatch.setattr(compiling, "LEVEL", "another")
    seen.add(fresh())
    monkeypatch.setattr(numba, "__version__", "another")
    seen.add(fresh())
    assert len(seen) == 8


def test_cache_dir(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("VQINDEX_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    homes = {"linux": ".cache", "darwin": "Library/Caches", "win32": "AppData/Local"}
    for platform, folder in homes.items():
        monkeypatch.setattr(sys, "platform", platform)
        assert compiling.cache_dir() == tmp_path / folder / "vqindex" / "kernels"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert compiling.cache_dir() == tmp_path / "xdg" / "vqindex" / "kernels"
    monkeypatch.setenv("VQINDEX_CACHE_DIR", str(tmp_path / "own"))
    assert compiling.cache_dir() == tmp_path / "own" / "kernels"


def test_kernels_are_kept_in_the_chosen_folder_and_read_again(tmp_path):
    folder = tmp_path / "kernels" / compiling.source_hash()
    for hits in (0, 1):
        out, path, found, missed = run(NORMS, VQINDEX_CACHE_DIR=str(tmp_path))
        assert out == [3, 3]
        assert Path(path) == folder
        assert (found, missed) == (hits, 1 - hits)
        assert len(list(folder.glob("encode.square_norms-*.nbc"))) == 1


def test_kernels_compile_in_memory_where_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").touch()
    out, path, found, _ = run(NORMS, VQINDEX_CACHE_DIR=str(tmp_path / "file" / "cache"))
    assert out == [3, 3]
    assert path is None
    assert found == 0


def test_a_kernel_outside_the_package_is_compiled_anew_when_its_file_changes(tmp_path):
    source = "from vqindex.kernels.cpu.compile import kernel\n@kernel\ndef one(): return {}\n"
    script = "import sys; sys.path.append({!r}); import own; print(own.one())"
    for value in (1, 2):  # of the same bytecode, which Numba would take for the same function
        (tmp_path / "own.py").write_text(source.format(value))
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        assert run(script.format(str(tmp_path)), VQINDEX_CACHE_DIR=str(tmp_path)) == value


def test_a_kernel_of_no_file_is_compiled_in_memory():
    source = "from vqindex.kernels.cpu.compile import kernel\n@kernel\ndef one(): return 1\n"
    assert run(source + "print(one())") == 1


def test_import_compiles_nothing_and_use_compiles_each_kernel_once():
    """Loaded and mapped indexes included: arrays that differ in kind would compile anew."""
    before, after = run(EVERYTHING)
    assert not any(before.values())
    assert {name for name, count in after.items() if count > 1} == set()
    called = {name.rpartition(".")[2] for name, count in after.items() if count == 1}
    assert called >= {
        "answer", "encode", "pack", "prepare", "quantize", "rotate", "score_blocks", "square_norms",
        "top_k_blocks", "top_k_rows", "top_k_signs",
    }  # fmt: skip


def addresses_outliving_arrays(function):
    """Names of a kernel's own arrays whose address is used after Numba has freed them."""
    code = run_frontend(function)
    PostProcessor(code).run(emit_dels=True)
    statements = [s for _, block in sorted(code.blocks.items()) for s in block.body]
    made, taken, freed, late = {}, {}, set(), set()
    for s in statements:
        if isinstance(s, ir.Del):
            freed.add(s.value)
            continue
        late |= {taken[v.name] for v in s.list_vars() if taken.get(v.name) in freed}
        if not isinstance(s, ir.Assign):
            continue
        if isinstance(s.value, ir.Expr) and s.value.op == "getattr":
            made[s.target.name] = s.value.attr
        elif isinstance(s.value, ir.Expr) and s.value.op == "call":
            if made.get(s.value.func.name) == "address_of":
                taken[s.target.name] = s.value.args[0].name
        elif isinstance(s.value, ir.Var) and s.value.name in taken:
            taken[s.target.name] = taken[s.value.name]
    return late - set(code.arg_names)


def test_no_kernel_uses_the_address_of_an_array_it_has_freed():
    found = {
        kernel.py_func.__qualname__: addresses_outliving_arrays(kernel.py_func)
        for kernel in kernels()
    }
    assert len(found) > 30
    assert not any(found.values()), found


def test_that_check_finds_an_address_that_outlives_its_array():
    def wrong(n):
        scratch = np.zeros(n)
        at = simd.address_of(scratch)
        return at + 8

    def right(n):
        scratch = np.zeros(n)
        scratch[0] = simd.address_of(scratch)
        return scratch

    assert addresses_outliving_arrays(wrong) == {"scratch"}
    assert addresses_outliving_arrays(right) == set()
