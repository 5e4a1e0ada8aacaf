"""How a kernel becomes machine code: NVRTC through cuda-core, kept on disk.

Needs neither a GPU nor a driver. Machine code is of one architecture and not PTX, so that a driver
older than NVRTC can load it.
"""

import contextlib
import functools
import hashlib
import io
import os
import tempfile
from pathlib import Path

from vqindex.errors import BackendError
from vqindex.kernels.cpu.compile import cache_dir
from vqindex.kernels.gpu import sources

Macros = tuple[tuple[str, int], ...]

INSTALL = 'pip install "vqindex[cuda]"'


@functools.cache
def nvrtc_version() -> tuple[int, int]:
    """That of the compiler; BackendError where there is none."""
    try:
        from cuda.bindings import nvrtc
        from cuda.core import Program  # noqa: F401

        error, major, minor = nvrtc.nvrtcVersion()
    except ImportError as missing:
        raise BackendError(f"kernels for a GPU need cuda-core: {INSTALL}.") from missing
    except RuntimeError as missing:  # the bindings are there and the library is not
        raise BackendError(
            f"kernels for a GPU need NVRTC, CUDA's compiler: {INSTALL}."
        ) from missing
    if int(error):
        raise BackendError(f"NVRTC, CUDA's compiler, does not answer (error {int(error)}).")
    return int(major), int(minor)


def key(source: str, macros: Macros, arch: str, version: tuple[int, int]) -> str:
    """What the machine code of a source depends on, as one name."""
    return hashlib.sha256(repr((source, macros, arch, version)).encode()).hexdigest()[:32]


def cubin(stem: str, macros: Macros, arch: str) -> bytes:
    """The machine code of `<stem>.cu` with some macros for an architecture such as "sm_90"."""
    source, version = sources.text(stem), nvrtc_version()
    path = cache_dir() / "gpu" / f"{stem}-{key(source, macros, arch, version)}.cubin"
    with contextlib.suppress(OSError):
        return path.read_bytes()
    code = compiled(stem, source, macros, arch)
    _keep(path, code)
    return code


def compiled(
    stem: str, source: str, macros: Macros, arch: str, log: io.StringIO | None = None
) -> bytes:
    """The machine code of a source text, compiled anew; `stem` is its name in errors.

    log   written: what the compiler says, with each kernel's registers and shared memory
    """
    from cuda.core import Program, ProgramOptions

    options = ProgramOptions(
        name=stem, arch=arch, std="c++17", lineinfo=True, fma=False, ptxas_options="-v",
        define_macro=[(name, str(value)) for name, value in macros] or None,
    )  # fmt: skip
    log = log or io.StringIO()
    try:
        code = Program(source, "c++", options).compile("cubin", logs=log).code
    except Exception as error:  # cuda-core raises several kinds, its own among them
        words = " ".join(f"{name}={value}" for name, value in macros)
        raise BackendError(
            f"NVRTC {'.'.join(map(str, nvrtc_version()))} cannot compile {stem}.cu {words} for "
            f"{arch}: {error}\n{log.getvalue()}"
        ) from error
    return bytes(code)


def _keep(path: Path, code: bytes) -> None:
    """Write whole or not at all; where no folder is writable, the next process compiles anew."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(code)
        os.replace(file.name, path)
