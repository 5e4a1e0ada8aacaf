"""The machine that figures come from."""

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from vqindex.config import show_config


def describe_machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """What a reader needs to judge a figure: CPU, levels used, versions, affinity, load.

    packages  others than the library's own whose versions are told, None where they are missing
    """
    config = show_config()
    return {
        "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cpu_level": config["cpu_level"],
        "cpu_flags": [f for f in _cpuinfo("flags").split() if f.startswith(("avx", "amx"))],
        "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "platform": config["platform"],
        "python": config["python"],
        "versions": config["versions"] | {name: _version(name) for name in packages},
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
