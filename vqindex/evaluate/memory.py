"""How much memory a step takes while it runs, as Linux counts it."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

_PROCESS = Path("/proc/self")


def is_told() -> bool:
    """Whether `growth` works here."""
    return os.access(_PROCESS / "clear_refs", os.W_OK)


def growth(step: Callable[[], object]) -> int:
    """Bytes by which this process grew at most during a step, over what it held before.

    Everything resident counts, whoever allocated it. What was freed before is given back first
    where malloc can, or a step that fills it again would seem to take nothing. OSError where there
    is no Linux.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    (_PROCESS / "clear_refs").write_text("5")  # the largest size so far becomes that of now
    before = _bytes("VmRSS")
    step()
    return _bytes("VmHWM") - before


def _bytes(field: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
