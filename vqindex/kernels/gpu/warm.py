"""Kernels compiled before the first search: `python -m vqindex.kernels.gpu.warm [ARCH]`.

Prints one line of JSON; the exit code is 1 if one of them does not compile.
"""

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from vqindex.errors import BackendError
from vqindex.kernels.gpu import batch, driver
from vqindex.kernels.gpu.compile import Macros, cubin
from vqindex.kernels.gpu.records import KEEPS
from vqindex.kernels.gpu.scans import KERNELS


def every() -> Iterator[tuple[str, Macros]]:
    """Each source with all macros that a search can ask for."""
    for stem in (*KERNELS, "topk"):
        yield from ((stem, (("VQ_KEEP", kept),)) for kept in KEEPS)
    for queries in batch.TILES:
        for kind in sorted(batch.UNITS):
            if kind or queries != batch.TILES[-1]:
                yield "batch", batch.Shape(queries, kind, 0, 0).macros
    yield from ((stem, ()) for stem in ("encode", "qjl", "query", "rerank", "spread"))


def warm(arch: str, processes: int | None = None) -> list[str]:
    """Compile every kernel for "sm_90", say, or find it on disk; what went wrong, if anything."""
    spawn = multiprocessing.get_context("spawn")  # a driver does not survive a fork
    with ProcessPoolExecutor(processes or os.cpu_count(), spawn) as pool:
        tasks = [pool.submit(_compile, *each, arch) for each in every()]
        return [wrong for task in tasks if (wrong := task.result())]


def _compile(stem: str, macros: Macros, arch: str) -> str:
    try:
        cubin(stem, macros, arch)
    except BackendError as error:
        return str(error)
    return ""


def main() -> int:
    """The command."""
    start = time.perf_counter()
    arch = sys.argv[1] if len(sys.argv) > 1 else driver.device().arch
    wrong = warm(arch)
    seconds = round(time.perf_counter() - start, 2)
    print(json.dumps({"arch": arch, "kernels": len(list(every())), "seconds": seconds,
                      "wrong": wrong}))  # fmt: skip
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
