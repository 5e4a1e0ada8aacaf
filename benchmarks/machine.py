"""The machine that figures come from: the CPUs of it that are used, and its description."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "VQINDEX_NUM_THREADS",
)
_PEERS = ("turbovec", "rabitqlib")

# What holds each library to a level. FAISS_OPT_LEVEL does not: from 1.15 on FAISS's wheels have one
# build that chooses as it runs.
LEVELS = {
    "avx2": {
        "VQINDEX_CPU_LEVEL": "avx2",
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "",
        "FAISS_SIMD_LEVEL": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "avx512": {"VQINDEX_CPU_LEVEL": "avx512", "FAISS_SIMD_LEVEL": "AVX512_VPOPCNT"},
}


def pin(cpus: Sequence[int] | None = None, threads: int = 1, level: str | None = None) -> None:
    """Hold this process to as many CPUs as threads, and libraries to those threads and a level.

    cpus    the last ones that it may use unless named
    level   of LEVELS; each library's own choice if None
    To be called before NumPy is imported: a BLAS starts its threads then. Raises ValueError where
    there are not as many CPUs as threads.
    """
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    os.environ.update(LEVELS[level] if level else {})
    if not hasattr(os, "sched_setaffinity"):
        return
    chosen = sorted(os.sched_getaffinity(0))[-threads:] if cpus is None else cpus
    if len(set(chosen)) != threads:
        raise ValueError(f"{threads} threads need as many CPUs, got {sorted(set(chosen))}.")
    os.sched_setaffinity(0, chosen)


def describe() -> dict[str, Any]:
    """What a reader needs to judge a figure: CPU, levels used, versions, commit, affinity."""
    from vqindex import show_config

    config = show_config()
    versions = config["versions"] | {peer: _version(peer) for peer in _PEERS}
    return {
        "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cpu_level": config["cpu_level"],
        "faiss_level": _faiss_level(),
        "cpu_flags": [f for f in _cpuinfo("flags").split() if f.startswith(("avx", "amx"))],
        "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "platform": config["platform"],
        "python": config["python"],
        "versions": versions,
        "commit": _commit(),
    }


def _faiss_level() -> str | None:
    try:
        import faiss
    except ImportError:
        return None
    name: str = faiss.SIMDConfig.get_level_name()
    return name


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpuinfo(field: str) -> str:
    """A field of the first CPU in /proc/cpuinfo; nothing where there is no such file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    found = (
        line.partition(":")[2].strip() for line in lines if line.split(":")[0].strip() == field
    )
    return next(found, "")


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
