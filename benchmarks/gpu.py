"""Searches on a GPU beside what it allows, and beside torch; see gpu.toml for the cases.

Codes are random bytes, as many as an index would have: what is timed is a search, from prepared
queries on to ids, between two events of the GPU's own clock, most of it queued before the first.
Answers are checked afterwards: a case of wrong ones has an `error`, and meets no target.
torch's way is the product of all rows with the queries, and topk, in pieces that fit into memory.
"""

import gc
import json
import re
import statistics
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import rates, table
from benchmarks.gpu_work import Coder, Work
from vqindex.indexes.device import tensors
from vqindex.kernels.gpu import driver

CASES = Path(__file__).with_suffix(".toml")
ROUNDS = 7
AHEAD = 4_000_000  # cycles that a GPU is kept busy while a round is queued
_PIECE = 1 << 33  # bytes of scores that torch has at a time, at most
_COLUMNS = (
    ("case", "name"), ("ms", "ms"), ("spread", "spread"), ("a second", "qps"),
    ("% of copy", "of_copy"), ("% of int8", "of_int8"), ("by dp4a, ms", "scalar_ms"),
    ("torch bf16, ms", "bf16_ms"), ("torch int8, ms", "int8_ms"), ("target", "target"),
    ("met", "met"),
)  # fmt: skip
_TARGET = re.compile(r"(?:([\d.,]+) % of (\w+)|([\d.,]+) (ms)|([\d.,]+) a second)(?:, |$)")


class Clock:
    """Milliseconds of what a function queues: the median of some rounds after two for nothing."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self.spread = 0.0

    def __call__(self, go: Callable[[], object]) -> float:
        events, times = self._torch.cuda.Event, []
        for _ in range(ROUNDS + 2):
            start, stop = events(enable_timing=True), events(enable_timing=True)
            self._torch.cuda._sleep(AHEAD)  # else it waits for Python between launches
            start.record()
            go()
            stop.record()
            stop.synchronize()
            times.append(start.elapsed_time(stop))
        times = times[2:]
        middle = statistics.median(times)
        self.spread = (max(times) - min(times)) / middle
        return middle


def run(only: list[str] | None = None) -> dict[str, Any]:
    """Measure the ceilings and the cases of gpu.toml, all or those named so in part.

    The record so far goes to standard error after each figure: who ends this keeps what there is.
    """
    import torch

    clock, device = Clock(torch), driver.device()
    gpu = driver.devices()[0]._asdict() | {"cores": device.cores}
    ceilings, wrong = rates.measure(torch, clock)
    record: dict[str, Any] = {"gpu": gpu, "torch": torch.__version__, "ceilings": ceilings,
                              "wrong": wrong, "cases": []}  # fmt: skip
    for case in chosen(only):
        gc.collect()
        torch.cuda.empty_cache()
        record["cases"].append(case)
        try:
            for figures in measures(torch, device, case, ceilings, clock):
                case |= figures
                case["met"] = "no" if "error" in case else met(case)
                print(json.dumps(record), file=sys.stderr, flush=True)
        except Exception as error:  # of this case: others may be well
            case["error"] = repr(error)
    return record


def chosen(only: list[str] | None = None) -> list[dict[str, Any]]:
    """The cases whose names have one of some words, or all."""
    with CASES.open("rb") as file:
        cases: list[dict[str, Any]] = tomllib.load(file)["case"]
    return [case for case in cases if not only or any(word in case["name"] for word in only)]


def met(case: Mapping[str, Any]) -> str:
    """Whether figures reach all that `target` names: "yes", "no", or "" where some are missing."""
    reached = []
    for share, ceiling, most, _, least in _TARGET.findall(case["target"]):
        name = f"of_{ceiling}" if share else "ms" if most else "qps"
        limit = float((share or most or least).replace(",", ""))
        if name not in case:
            return ""
        reached.append(case[name] <= limit if most else case[name] >= limit)
    return "yes" if all(reached) else "no"


def measures(
    torch: Any, device: driver.Device, case: dict[str, Any], ceilings: dict[str, float],
    clock: Clock,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Figures of a case, ours before torch's."""
    if "queries" not in case:
        yield _encoded(torch, device, case, ceilings, clock)
        return
    n, d, nq, k = (case[name] for name in ("rows", "dim", "queries", "k"))
    start = time.perf_counter()
    work = Work(torch, device, n, d, case["bits"])
    torch.cuda.synchronize()
    built = time.perf_counter() - start
    search = work.search(nq, k)
    ms = clock(search.go)
    done = {"copy": work.nbytes, "int8": 2 * n * d * nq}
    figures = {"built_s": built, "ms": ms, "spread": clock.spread, "qps": nq / ms * 1e3}
    yield figures | _shares(done, ms, ceilings) | work.checked(search)
    if case["bits"] == 1 and nq == 1:
        search = work.search(nq, k, {})
        yield {"scalar_ms": clock(search.go)} | work.checked(search)
    del work, search
    for name, dtype in (("bf16", torch.bfloat16), ("int8", torch.int8)):
        torch.cuda.empty_cache()
        try:
            yield {f"{name}_ms": _of_torch(torch, dtype, n, d, nq, k, clock)}
        except (RuntimeError, MemoryError) as error:  # shapes that _int_mm does not take, or memory
            yield {f"{name}_error": str(error)[:300]}


def _shares(done: dict[str, int], ms: float, ceilings: dict[str, float]) -> dict[str, float]:
    """Per cent of ceilings that so many bytes or operations are."""
    return {
        f"of_{name}": 100 * amount / ms * 1e3 / ceilings[name]
        for name, amount in done.items()
        if name in ceilings
    }


def _of_torch(torch: Any, dtype: Any, n: int, d: int, nq: int, k: int, clock: Clock) -> float:
    """Milliseconds of the product with all rows, and topk; MemoryError where rows do not fit."""
    free, needed = torch.cuda.mem_get_info()[0], n * d * dtype.itemsize
    if needed > 0.8 * free:
        raise MemoryError(f"rows need {needed:,} bytes, {free:,} are free")
    if dtype == torch.int8:
        rows = torch.randint(-127, 128, (n, d), dtype=dtype, device="cuda")
        asked = torch.randint(-127, 128, (max(nq, 32), d), dtype=dtype, device="cuda")
    else:
        rows = torch.empty(n, d, dtype=dtype, device="cuda").normal_()
        asked = torch.randn(nq, d, dtype=dtype, device="cuda")
    product = torch._int_mm if dtype == torch.int8 else torch.matmul
    step = max(32, min(len(asked), _PIECE // (8 * n)))

    def go() -> None:
        for start in range(0, len(asked), step):
            scores = product(asked[start : start + step], rows.t())
            scores[:nq].topk(k, dim=1)

    return clock(go)


def _encoded(
    torch: Any, device: driver.Device, case: dict[str, Any], ceilings: dict[str, float],
    clock: Clock,
) -> dict[str, Any]:  # fmt: skip
    """Milliseconds of rotating and coding rows by Lloyd-Max levels."""
    coder = Coder(torch, case["rows"], case["dim"], case["bits"])
    stream = tensors.stream(device.number)
    ms = clock(lambda: device.launch(coder.launch, stream))
    figures = {"ms": ms, "spread": clock.spread, "qps": case["rows"] / ms * 1e3}
    return figures | _shares({"copy": coder.nbytes}, ms, ceilings) | coder.checked()


def report(record: dict[str, Any]) -> str:
    """The ceilings in a line, and a table of the cases."""
    rates = (f"{name} {rate / 1e12:,.2f}" for name, rate in record["ceilings"].items())
    rows = [{key: case.get(key) for _, key in _COLUMNS} for case in record["cases"]]
    head = f"{record['gpu']['name']}, 10^12 a second: {', '.join(rates)}"
    return f"{head}\n{table.render(_COLUMNS, rows)}"
