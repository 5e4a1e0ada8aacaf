"""How a kernel is compiled and cached: `@kernel` on a plain function.

Numba's own disk cache looks at one source file only, so an edit in another file that a kernel
inlines would go unnoticed. Ours is keyed by a hash of every kernel source and the CPU level, and
lives in one user folder (`VQINDEX_CACHE_DIR` moves it). Where no folder is writable, kernels are
compiled in memory.
"""

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

from vqindex.folders import cache_home
from vqindex.kernels.cpu.level import LEVEL


def cache_dir() -> Path:
    """The folder of compiled kernels, which need not exist."""
    chosen = os.environ.get("VQINDEX_CACHE_DIR")
    if chosen:
        return Path(chosen) / "kernels"
    return cache_home() / "kernels"


@functools.cache
def source_hash() -> str:
    """Hash of every kernel source, the CPU level and Numba's version."""
    digest = hashlib.sha256(f"{LEVEL} {numba.__version__}".encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def _file_hash(path: str) -> str:
    """Hash of a kernel's own file, which lies outside this folder where it is a benchmark's."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@functools.cache
def _can_keep() -> bool:
    """Whether compiled kernels can be written; asked once, not for each of them."""
    folder = cache_dir() / source_hash()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


class _Locator(_CacheLocator):  # type: ignore[misc]
    def __init__(self, py_func: Callable[..., Any], py_file: str) -> None:
        self._py_file = py_file
        self._lineno = py_func.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        return str(cache_dir() / source_hash())

    def get_source_stamp(self) -> str:
        return _file_hash(self._py_file)

    def get_disambiguator(self) -> str:
        return str(self._lineno)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> "_Locator | None":
        return cls(py_func, py_file) if _can_keep() else None


class _CacheImpl(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes: ClassVar = [_Locator]


class _Cache(FunctionCache):  # type: ignore[misc]
    _impl_class = _CacheImpl


def kernel(function: Callable[..., Any]) -> Any:
    """Compile at first call, without the GIL, bounds checks or fast-math, and keep the result."""
    return _compiled(function, forceinline=False)


def inlined(function: Callable[..., Any]) -> Any:
    """A kernel that becomes part of the kernels that call it, whatever LLVM thinks of its size."""
    return _compiled(function, forceinline=True)


def _compiled(function: Callable[..., Any], forceinline: bool) -> Any:
    compiled = numba.njit(
        nogil=True, boundscheck=False, error_model="numpy", forceinline=forceinline
    )(function)
    # RuntimeError is Numba's word for nowhere to write; a kernel typed at a prompt has no file.
    with contextlib.suppress(RuntimeError, FileNotFoundError):
        compiled._cache = _Cache(compiled.py_func)
    return compiled
