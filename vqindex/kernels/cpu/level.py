"""Which vector instructions the kernels use on this CPU, decided once.

    amx      AVX-512 as below, and AMX tiles of int8 (Sapphire Rapids and later, on Linux)
    avx512   AVX-512 with VNNI, VBMI and VPOPCNTDQ (Ice Lake, Zen 4 and later)
    avx2     AVX2 and F16C
    generic  whatever LLVM makes of plain vector code, on any CPU that Numba supports

Linux lends a process the AMX tile registers when asked, which is done once, at import; where it
refuses, the level is avx512. `VQINDEX_CPU_LEVEL` forces a level, for tests and comparisons. LLVM
may still use newer instructions for plain code, unless `NUMBA_CPU_NAME=haswell
NUMBA_CPU_FEATURES=` (or `x86-64`, `icelake-server`) hold it back as well.
"""

import ctypes
import functools
import os
import sys

import llvmlite.binding

from vqindex.errors import SpecError

LEVELS = ("generic", "avx2", "avx512", "amx")
_AVX512 = "avx512f avx512bw avx512vl avx512dq avx512vnni avx512vbmi f16c"
_NEEDS = {
    "generic": "",
    "avx2": "avx2 f16c",
    "avx512": _AVX512,
    "amx": f"{_AVX512} amx-tile amx-int8",
}


def best_level() -> str:
    """The highest level this CPU has and the system allows."""
    level = _instructions()
    return "avx512" if level == "amx" and not _tiles_granted() else level


def _instructions() -> str:
    """The highest level whose instructions this CPU has."""
    try:
        has = llvmlite.binding.get_host_cpu_features()
    except RuntimeError:
        return "generic"
    return next(
        level for level in reversed(LEVELS) if all(has.get(name) for name in _NEEDS[level].split())
    )


@functools.cache
def _tiles_granted() -> bool:
    """Ask Linux for the tile registers, for this process with all its threads and forks."""
    if sys.platform != "linux":
        return False
    arch_prctl, request, tile_data = 158, 0x1023, 18  # ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    numbers = map(ctypes.c_long, (arch_prctl, request, tile_data))
    return bool(ctypes.CDLL(None).syscall(*numbers) == 0)


def _chosen() -> str:
    wanted = os.environ.get("VQINDEX_CPU_LEVEL")
    best = best_level()
    if not wanted:
        return best
    if wanted not in LEVELS:
        raise SpecError(f"VQINDEX_CPU_LEVEL must be one of {', '.join(LEVELS)}, got {wanted!r}.")
    if LEVELS.index(wanted) > LEVELS.index(best):
        refused = wanted == _instructions()
        lacking = "tile registers the system refuses" if refused else "instructions this CPU lacks"
        raise SpecError(f"VQINDEX_CPU_LEVEL={wanted} needs {lacking}; it has {best}.")
    return wanted


LEVEL = _chosen()
WIDE = LEVEL in ("avx512", "amx")  # whether there are registers of 64 bytes, VNNI and VBMI
