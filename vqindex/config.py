"""What this machine gives the library, and compiling everything ahead of time."""

import os
import platform
import time
from typing import Any

import numpy as np

from vqindex import threads
from vqindex.factory import index_factory
from vqindex.kernels.cpu.compile import cache_dir, source_hash
from vqindex.kernels.cpu.level import LEVEL, best_level

_SHARED = 4096  # rows that two threads share, and merge what they found
_LISTS = "IVF64,EDEN4,Rerank(f16)"  # more than a query looks into
# Between them these go every way through the kernels: planes, sketches, bytes, both floats, lists.
_EVERY_WAY = ("EDEN4", "EDEN1", "TQprod2", "SQ8", "F32", "F16", "Haar,EDEN2", _LISTS)


def _version(package: str) -> str | None:
    from importlib import metadata  # slow to import, and seldom wanted

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def show_config() -> dict[str, Any]:
    """CPU level, threads, kernel cache and versions, as a dictionary."""
    packages = ("vqindex", "numpy", "numba", "llvmlite", "h5py", "faiss-cpu", "matplotlib")
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
        "gpu": None,
        "versions": {name: _version(name) for name in packages},
    }


def warmup() -> float:
    """Compile every kernel, or load it from the cache; returns the seconds it took."""
    start = time.perf_counter()
    x = np.random.default_rng(0).standard_normal((_SHARED, 64)).astype(np.float32)
    for spec in _EVERY_WAY:
        for name in ("cosine", "l2"):
            index = index_factory(spec, metric=name)
            index.fit(x[:96])
            index.add(x)
            index.search(x[:96], k=3, threads=2)
            index.search(x[0], k=3)
            index.search(x[0], k=3, filter=[1, 2, 3])
            index.range_search(x[0], 1.0)
            index.upsert(x[:1], ids=[1000])
            index.remove([0])
            index.reconstruct([1])
    return time.perf_counter() - start
