"""The machine that figures come from: one CPU of it, and its description."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "VQINDEX_NUM_THREADS",
)
_PEERS = ("turbovec",)


def pin(cpu: int | None = None) -> None:
    """Hold this process to one CPU, the last it may use unless named, and libraries to one thread.

    To be called before NumPy is imported: a BLAS starts its threads then.
    """
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0)) if cpu is None else cpu})


def describe() -> dict[str, Any]:
    """What a reader needs to judge a figure: CPU, kernels' level, versions, commit, affinity."""
    from vqindex import show_config

    config = show_config()
    versions = config["versions"] | {peer: _version(peer) for peer in _PEERS}
    return {
        "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cpu_level": config["cpu_level"],
        "cpu_flags": [f for f in _cpuinfo("flags").split() if f.startswith(("avx", "amx"))],
        "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "platform": config["platform"],
        "python": config["python"],
        "versions": versions,
        "commit": _commit(),
    }


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
