"""The kernels of cuda/ themselves, compiled for the host: a fake GPU's `run`."""

import ctypes
import functools
import hashlib
import re
import subprocess
import tempfile
from pathlib import Path

from vqindex.kernels.gpu import sources

HERE = Path(__file__).parent
EMULATOR = HERE.parents[1] / "cuda"
FLAGS = (
    "-std=c++20", "-O2", "-ffp-contract=off", "-Wno-unknown-pragmas", "-fPIC", "-shared",
    "-fno-gnu-unique", "-fvisibility=hidden",  # libraries of one process share nothing
)  # fmt: skip
_KERNEL = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\))?\s*(\w+)\(')


@functools.cache
def folder():
    return Path(tempfile.mkdtemp(prefix="vqindex-emulated-"))


@functools.cache
def library(stem, macros):
    """One source as the driver has it, compiled with some macros."""
    text = sources.text(stem)
    names = _KERNEL.findall(text)
    text += "".join(f"\nEMULATE({name})" for name in names) + "\n"
    key = hashlib.sha256(repr((text, macros)).encode()).hexdigest()[:16]
    source, out = folder() / f"{key}.inc", folder() / f"{key}.so"
    source.write_text(text)
    defined = [f"-D{name}={value}" for name, value in macros]
    command = ["g++", *FLAGS, f'-DKERNELS="{source}"', *defined, f"-I{EMULATOR}"]
    done = subprocess.run(
        [*command, HERE / "emulated.cpp", "-o", out], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(out))


def run(launch):
    """Carry a launch out, from the bytes of its arguments."""
    octets = [ctypes.create_string_buffer(a.tobytes(), a.nbytes) for a in launch.arguments]
    given = (ctypes.c_void_p * len(octets))(*map(ctypes.addressof, octets))
    x, y, z = launch.grid
    assert z == 1
    found = library(launch.stem, launch.macros).vq_run(
        launch.kernel.encode(), x, y, launch.block, ctypes.c_size_t(launch.shared), given
    )
    assert found, f"{launch.stem}.cu has no kernel {launch.kernel}"
