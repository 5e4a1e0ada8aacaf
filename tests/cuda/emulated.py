"""Kernels of cuda/ run on the host: compiled by g++ with sanitizers, fed with NumPy arrays."""

import hashlib
import shutil
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
CUDA = HERE.parents[1] / "cuda"
FLAGS = [
    "-std=c++20", "-O1", "-g1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror",
    "-Wno-unknown-pragmas", "-Winvalid-pch", "-pthread",
]  # fmt: skip
SANITIZERS = {
    "address": [
        "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
        "-fsanitize-sections=vq_shared",
    ],
    "thread": ["-fsanitize=thread", "-DEMULATE_THREADS"],
}  # fmt: skip
NONE = 2**64 - 1
PROGRAMS = []

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="g++ is missing: kernels cannot be emulated"
)


class Record:
    """Bytes of which some are addresses of arrays or of other records.

    pointers   what each byte offset names: an array, a record, or one of them and how many bytes
               the address is beyond its start
    """

    def __init__(self, array, pointers):
        self.array, self.pointers = array, pointers


@cache
def folder():
    """Where programs of this session are kept, by what they are made of."""
    return Path(tempfile.mkdtemp(prefix="vqindex-emulated-"))


@cache
def sources():
    return b"".join(path.read_bytes() for path in sorted([*CUDA.iterdir(), *HERE.glob("*.?pp")]))


@cache
def header(sanitizer):
    """The emulator, precompiled: what to include, so that g++ finds it so."""
    path = folder() / f"{sanitizer}.hpp"
    command = ["g++", *FLAGS, *SANITIZERS[sanitizer], "-x", "c++-header", HERE / "emulator.hpp"]
    subprocess.run([*command, "-o", f"{path}.gch"], check=True)
    return path


@cache
def emulate(file, kernels, sanitizer="address", **macros):
    """A running program with some kernels of a file of cuda/."""
    text = f'#include "{CUDA / file}"\n' + "".join(f"EMULATE({name})\n" for name in kernels)
    flags = [*FLAGS, *SANITIZERS[sanitizer], *(f"-D{k}={v}" for k, v in macros.items())]
    key = hashlib.sha256(repr((text, flags)).encode() + sources()).hexdigest()[:16]
    program, source = folder() / key, folder() / f"{key}.inc"
    source.write_text(text)
    command = ["g++", "-include", header(sanitizer), *flags, f'-DKERNELS="{source}"']
    command += [HERE / "serve.cpp", "-o", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    PROGRAMS.append(Emulated(program))
    return PROGRAMS[-1]


class Emulated:
    """One program; `run` launches a kernel and waits for it."""

    def __init__(self, program):
        self.program, self.process = program, None
        self.errors = program.with_suffix(".errors")

    def run(self, kernel, grid, *arguments, threads=256, dynamic=0):
        """Arguments are arrays, written to in place, None, records and NumPy scalars."""
        if self.process is None:
            with self.errors.open("wb") as errors:
                self.process = subprocess.Popen(
                    [str(self.program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=errors,
                    env={"ASAN_OPTIONS": "detect_stack_use_after_return=0:detect_leaks=0"},
                )  # fmt: skip
        request = _Request()
        values = [request.argument(a) for a in arguments]
        name = kernel.encode()
        head = struct.pack("<I", len(name)) + name
        head += struct.pack("<IIIQ", grid[0], grid[1], threads, dynamic)
        body = [struct.pack("<I", len(request.arrays))]
        for array in request.arrays:
            body += [struct.pack("<Q", array.nbytes), array.tobytes()]
        body.append(struct.pack("<I", len(request.places)))
        body += [struct.pack("<IQIq", *place) for place in request.places]
        body.append(struct.pack("<I", len(values)))
        body += [struct.pack("<B", pointer) + value for pointer, value in values]
        try:
            self.process.stdin.write(head + b"".join(body))
            self.process.stdin.flush()
        except BrokenPipeError:
            self._fail()
        for array in request.arrays:
            answer = self.process.stdout.read(array.nbytes)
            if len(answer) < array.nbytes:
                self._fail()
            if array.flags.writeable and array.nbytes:
                array.reshape(-1).view(np.uint8)[:] = np.frombuffer(answer, np.uint8)

    def _fail(self):
        self.close()
        text = self.errors.read_text(errors="replace")
        raise AssertionError(f"the emulated kernel failed:\n{text[:6000]}")

    def close(self):
        """End the program, if it runs."""
        if self.process is not None:
            self.process.communicate(timeout=60)
            self.process = None


class _Request:
    def __init__(self):
        self.arrays, self.places, self.seen = [], [], {}

    def add(self, thing):
        if id(thing) in self.seen:
            return self.seen[id(thing)]
        array = thing.array if isinstance(thing, Record) else thing
        assert array.flags.c_contiguous
        number = self.seen[id(thing)] = len(self.arrays)
        if isinstance(thing, Record):
            array = array.copy()
            array.flags.writeable = False
        self.arrays.append(array)
        if isinstance(thing, Record):
            for offset, named in thing.pointers.items():
                target, beyond = named if isinstance(named, tuple) else (named, 0)
                self.places.append((number, offset, self.add(target), beyond))
        return number

    def argument(self, value):
        if value is None:
            return 1, struct.pack("<Q", NONE)
        if isinstance(value, np.ndarray | Record):
            return 1, struct.pack("<Q", self.add(value))
        assert isinstance(value, np.generic), f"{value!r} has no width"
        return 0, value.tobytes().ljust(8, b"\0")
