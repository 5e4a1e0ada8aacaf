"""Which vector instructions the kernels use on this CPU, decided once.

    avx512   AVX-512 with VNNI, VBMI and VPOPCNTDQ (Ice Lake, Zen 4 and later)
    avx2     AVX2 and F16C
    generic  whatever LLVM makes of plain vector code, on any CPU that Numba supports

`VQINDEX_CPU_LEVEL` forces a level, for tests and comparisons. LLVM may still use newer
instructions for plain code, unless `NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=` (or `x86-64`)
hold it back as well.
"""

import os

import llvmlite.binding

from vqindex.errors import SpecError

LEVELS = ("generic", "avx2", "avx512")
_AVX512 = "avx512f avx512bw avx512vl avx512dq avx512vnni avx512vbmi avx512vpopcntdq f16c"
_NEEDS = {"generic": "", "avx2": "avx2 f16c", "avx512": _AVX512}


def best_level() -> str:
    """The highest level this CPU has."""
    try:
        has = llvmlite.binding.get_host_cpu_features()
    except RuntimeError:
        return "generic"
    return next(
        level for level in reversed(LEVELS) if all(has.get(name) for name in _NEEDS[level].split())
    )


def _chosen() -> str:
    wanted = os.environ.get("VQINDEX_CPU_LEVEL")
    best = best_level()
    if not wanted:
        return best
    if wanted not in LEVELS:
        raise SpecError(f"VQINDEX_CPU_LEVEL must be one of {', '.join(LEVELS)}, got {wanted!r}.")
    if LEVELS.index(wanted) > LEVELS.index(best):
        raise SpecError(
            f"VQINDEX_CPU_LEVEL={wanted} needs instructions this CPU lacks; it has {best}."
        )
    return wanted


LEVEL = _chosen()
