"""What this machine gives the library, and compiling everything ahead of time."""

import os
import platform
import time
from typing import Any

import numpy as np

from vqindex import arrays, threads
from vqindex.errors import SpecError
from vqindex.factory import CODECS, index_factory, parse
from vqindex.kernels.cpu.compile import cache_dir, source_hash
from vqindex.kernels.cpu.level import LEVEL, best_level
from vqindex.kernels.gpu import driver
from vqindex.layouts.base import FloatArray
from vqindex.transforms import TRANSFORMS

_SHARED = 4096  # rows that two threads share, and merge what they found
_FEW = 300
_FITTED = 96  # rows that are fitted to, and queries of a batch
_NUMBERS = ("", "2", "4x4", "4x8")  # that names take: bits, and codes of words
_LISTS = "IVF64,EDEN4,Rerank(f16)", "IVF64,SQ8,Rerank(f16)"  # more than a query looks into
# Signs that bound a score, with those of a sketch, and that are one; bytes; rows in lists.
_IN_FULL = ("EDEN4", "TQprod2", "EDEN1", "SQ8+QJL", *_LISTS)


def _version(package: str) -> str | None:
    from importlib import metadata  # slow to import, and seldom wanted

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def show_config() -> dict[str, Any]:
    """CPU level, threads, kernel cache, GPUs and versions, as a dictionary."""
    packages = (
        "vqindex", "numpy", "numba", "llvmlite", "h5py", "faiss-cpu", "matplotlib", "cuda-core",
    )  # fmt: skip
    folder = cache_dir() / source_hash()
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_level": LEVEL,
        "cpu_level_best": best_level(),
        "cpus": os.cpu_count(),
        "threads": threads.default_threads(),
        "kernel_cache": str(folder),
        "kernel_cache_files": sum(1 for _ in folder.glob("*.nbc")) if folder.is_dir() else 0,
        "gpu": [gpu._asdict() for gpu in driver.devices()] or None,
        "versions": {name: _version(name) for name in packages},
    }


def every_way() -> list[str]:
    """Specs that go every way through the kernels: each name with each number that it takes."""
    names = [name for name in CODECS if name not in TRANSFORMS]
    specs = [f"{name}{number}" for name in names for number in _NUMBERS]
    specs += [f"{name}{number},EDEN2" for name in TRANSFORMS for number in _NUMBERS]
    return [spec for spec in specs if _is_known(spec)]


def _is_known(spec: str) -> bool:
    try:
        parse(spec, "l2", 0)
    except SpecError:
        return False
    return True


def warmup() -> float:
    """Compile every kernel, or load it from the cache; returns the seconds it took."""
    start = time.perf_counter()
    x = np.random.default_rng(0).standard_normal((_SHARED, 64)).astype(np.float32)
    for spec in every_way():
        _go(spec, "l2", x[:_FEW])
    for spec in _IN_FULL:
        for metric in arrays.METRICS:
            _go(spec, metric, x)
    return time.perf_counter() - start


def _go(spec: str, metric: str, x: FloatArray) -> None:
    """Do everything there is to do with an index."""
    index = index_factory(spec, metric=metric)
    index.fit(x[:_FITTED])
    index.add(x)
    index.search(x[:_FITTED], k=3, threads=2)
    index.search(x[0], k=3)
    index.search(x[0], k=3, filter=[1, 2, 3])
    index.range_search(x[0], 1.0)
    index.upsert(x[:1], ids=[1000])
    index.remove(np.arange(2, len(x)))  # so many that less memory will do
    index.reconstruct([1])
