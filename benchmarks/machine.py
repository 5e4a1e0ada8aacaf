"""The machine that figures come from: the CPUs of it that are used, and its description."""

import os
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "VQINDEX_NUM_THREADS",
)
PEERS = ("turbovec", "rabitqlib", "scann", "scalable-vs", "hnswlib", "usearch")

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


def hold(level: str | None) -> None:
    """Hold libraries that are still to be imported to a level of LEVELS; leave them if None."""
    os.environ.update(LEVELS[level] if level else {})


def pin(cpus: Sequence[int] | None = None, threads: int = 1, level: str | None = None) -> None:
    """Hold this process to as many CPUs as threads, and libraries to those threads and a level.

    cpus    the last ones that it may use unless named
    level   of LEVELS; each library's own choice if None
    To be called before NumPy is imported: a BLAS starts its threads then. Raises ValueError where
    there are not as many CPUs as threads.
    """
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    hold(level)
    if not hasattr(os, "sched_setaffinity"):
        return
    chosen = sorted(os.sched_getaffinity(0))[-threads:] if cpus is None else cpus
    if len(set(chosen)) != threads:
        raise ValueError(f"{threads} threads need as many CPUs, got {sorted(set(chosen))}.")
    os.sched_setaffinity(0, chosen)


def describe() -> dict[str, Any]:
    """What a reader needs to judge a figure: CPU, levels used, versions, commit, affinity."""
    from vqindex.evaluate import describe_machine

    return describe_machine(PEERS) | {"faiss_level": _faiss_level(), "commit": _commit()}


def _faiss_level() -> str | None:
    try:
        import faiss
    except ImportError:
        return None
    name: str = faiss.SIMDConfig.get_level_name()
    return name


def _commit(root: Path = Path(__file__).parents[1]) -> str | None:
    """Of the clone, and a hash of how its code differs: results that are appended are no code."""
    code = ("--", "vqindex", "cuda", "benchmarks", ":!benchmarks/results", ":!*.md")

    def git(*command: str) -> bytes:
        return subprocess.run(["git", *command], cwd=root, capture_output=True, check=True).stdout

    try:
        name = git("describe", "--always", "--abbrev=12").decode().strip()
        changed = git("diff", "HEAD", "--binary", *code)
        for new in git("ls-files", "--others", "--exclude-standard", "-z", *code).split(b"\0")[:-1]:
            changed += new + (root / os.fsdecode(new)).read_bytes()
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{name}-dirty-{sha256(changed).hexdigest()[:12]}" if changed else name
