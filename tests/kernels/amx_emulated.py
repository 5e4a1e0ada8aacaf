"""Run a Python file or module as if this machine had AMX, at level amx.

    python amx_emulated.py EMULATOR FILE.py|MODULE [ARGUMENT ...]

EMULATOR is amx_emulator.c as a shared library. It fails where no tile instruction was carried out,
or where tiles were configured and not released.
"""

import ctypes
import os
import runpy
import sys

import llvmlite.binding


class Granting(ctypes.CDLL):
    """A library whose system calls ask for the tile registers, and are granted them."""

    def syscall(self, *numbers):
        assert [number.value for number in numbers] == [158, 0x1023, 18]
        return 0


def pretend(emulator):
    """Before Numba and vqindex ask what the CPU has."""
    assert "vqindex" not in sys.modules
    assert emulator.amx_install() == 0
    features = llvmlite.binding.get_host_cpu_features()
    features |= {"amx-tile": True, "amx-int8": True}
    llvmlite.binding.get_host_cpu_features = lambda: features
    ctypes.CDLL = Granting
    os.environ["VQINDEX_CPU_LEVEL"] = "amx"


def run(name):
    try:
        if name.endswith(".py"):
            runpy.run_path(name, run_name="__main__")
        else:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        if stop.code:
            raise


if __name__ == "__main__":
    emulator = ctypes.CDLL(sys.argv[1])
    pretend(emulator)
    sys.argv = sys.argv[2:]
    run(sys.argv[0])
    done = {
        what: ctypes.c_long.in_dll(emulator, f"amx_{what}").value
        for what in ("configured", "released", "multiplied")
    }
    if not done["multiplied"] or done["configured"] != done["released"]:
        sys.exit(f"tiles: {done}")
