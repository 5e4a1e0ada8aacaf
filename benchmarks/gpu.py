"""Searches on a GPU beside what it allows, and beside torch; see gpu.toml for the cases.

Codes are random bytes, as many as an index would have: what is timed is a search, from prepared
queries on to ids, between two events of the GPU's own clock, most of it queued before the first.
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
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import rates, table
from vqindex.indexes.device.search import STEMS, DeviceSearch
from vqindex.kernels.gpu import driver, topk
from vqindex.kernels.gpu.encode import Coding, encode
from vqindex.kernels.gpu.records import SEGMENT, STORED, Asked, Where, keep
from vqindex.layouts import device as layouts
from vqindex.quantizers.levels import scalar_levels
from vqindex.transforms import HadamardRotation

CASES = Path(__file__).with_suffix(".toml")
ROUNDS = 7
AHEAD = 4_000_000  # cycles that a GPU is kept busy while a round is queued
_KINDS = {1: (layouts.SIGNS, 128), 2: (layouts.PAIRS, 64), 4: (layouts.NIBBLES, 32),
          8: (layouts.BYTES, 16)}  # fmt: skip
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
                case["met"] = met(case)
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
    ms = clock(work.search(nq, k))
    done = {"copy": work.nbytes, "int8": 2 * n * d * nq}
    figures = {"built_s": built, "ms": ms, "spread": clock.spread, "qps": nq / ms * 1e3}
    yield figures | _shares(done, ms, ceilings)
    if case["bits"] == 1 and nq == 1:
        yield {"scalar_ms": clock(work.search(nq, k, {}))}
    del work
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


class Work:
    """Codes of random bytes on a GPU, and searches of them."""

    def __init__(self, torch: Any, device: driver.Device, n: int, d: int, bits: int) -> None:
        self._torch, self._device, self._dim = torch, device, d
        kind, codes = _KINDS[bits]
        blocks, chunks = -(-n // 32), -(-(-(-d // 64) * 64) // codes)
        segment = SimpleNamespace(kind=kind, chunks=chunks, pieces=chunks)
        self.nbytes = 32 * blocks * (16 * chunks + 4)
        whole, most = (64 * blocks * chunks,), 2**63 - 1
        codes_ = torch.randint(-most, most, whole, dtype=torch.int64, device="cuda")
        scale = torch.rand(32 * blocks, device="cuda") + 0.5
        ids = torch.arange(n, device="cuda")
        order = torch.randperm(blocks, device="cuda")
        records = np.zeros(1, SEGMENT)
        records["codes"], records["scale"] = codes_.data_ptr(), scale.data_ptr()
        records["kind"], records["chunks"] = kind, chunks
        records["dims"] = -(-d // 64) * 64
        records["table"] = np.linspace(4, 120, 16).astype(np.uint8)
        segments = self._put(records)
        stored = np.zeros(1, STORED)
        stored["segments"], stored["rows"], stored["count"] = segments.data_ptr(), n, 1
        record = self._put(stored)
        self._held = [codes_, scale, ids, order, segments, record]
        plan = SimpleNamespace(segments=(segment,), blocks=blocks)
        self._codes: Any = SimpleNamespace(
            device=device, plan=plan, stored=record.data_ptr(), order=order.data_ptr(), masks=0,
            ids=ids.data_ptr(),
        )  # fmt: skip

    def _put(self, array: Any) -> Any:
        return self._torch.from_numpy(array.view(np.uint8).copy()).cuda()

    def _empty(self, *shape: int, dtype: str = "uint8") -> Any:
        out = self._torch.empty(shape, dtype=getattr(self._torch, dtype), device="cuda")
        self._held.append(out)
        return out

    def search(self, nq: int, k: int, stems: Mapping[int, str] = STEMS) -> Callable[[], None]:
        """What queues a search of nq queries for k rows, by the kernels that `stems` names."""
        torch, padded, width = self._torch, -(-nq // 16) * 16, -(-self._dim // 64) * 64
        entries = torch.randint(-127, 128, (padded, width), dtype=torch.int8, device="cuda")
        half = entries.sum(dim=1, dtype=torch.int32).to(torch.float32) / 2
        gamma, alpha = torch.rand(padded, device="cuda") + 0.5, torch.zeros(nq, device="cuda")
        self._held += [entries, half, gamma, alpha]
        scores, found = self._empty(nq, k, dtype="float32"), self._empty(nq, k, dtype="int64")
        search, blocks = DeviceSearch(self._codes, stems), self._codes.plan.blocks
        step = min(nq, search.step)
        memory = self._empty(search.nbytes(step, k, blocks)).data_ptr()
        asked = Asked(nq, padded, width, *(x.data_ptr() for x in (entries, half, gamma, alpha)))
        plain, shuffled = Where(blocks), Where(blocks, self._codes.order)
        stream = torch.cuda.current_stream().cuda_stream

        def go() -> None:
            for start in range(0, nq, step):
                some = asked.some(start, min(start + step, nq))
                best = search.run(some, k, plain, shuffled, memory, stream)
                answer = topk.answer(
                    best, some.nq, k, keep(k), some.alpha, self._codes.ids,
                    scores.data_ptr() + 4 * start * k, found.data_ptr() + 8 * start * k,
                )  # fmt: skip
                self._device.launch(answer, stream)

        return go


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
    n, d, bits = case["rows"], case["dim"], case["bits"]
    rotation, levels = HadamardRotation().fit(None, d, 0), scalar_levels(bits, d)
    x = torch.randn(n, d, device="cuda")
    kind, codes = _KINDS[bits]
    chunks, rows = -(-d // codes), -(-n // 32) * 32
    out, scale = (
        torch.empty(rows * chunks * 16, dtype=torch.uint8, device="cuda"),
        torch.empty(rows, device="cuda"),
    )
    ratio, odd = (
        torch.empty(rows, dtype=torch.float16, device="cuda"),
        torch.zeros(1, dtype=torch.int32, device="cuda"),
    )
    book = np.concatenate([levels.thresholds, levels.magnitudes + np.float32(0.5)])
    arrays = [rotation.arrays()["signs"].astype(np.float32), rotation.arrays()["mixes"],
              book.astype(np.float32)]  # fmt: skip
    signs, mixes, codebook = (torch.from_numpy(np.ascontiguousarray(a)).cuda() for a in arrays)
    records = np.zeros(1, SEGMENT)
    records["codes"], records["codebook"] = out.data_ptr(), codebook.data_ptr()
    records["kind"], records["chunks"], records["count"] = kind, chunks, d
    records["window"], records["dims"] = len(levels.magnitudes), -(-d // 64) * 64
    segments = torch.from_numpy(records.view(np.uint8).copy()).cuda()
    coding = Coding(
        d, "ip", "unbiased", levels.unit, segments.data_ptr(), 1, 0, signs.data_ptr(),
        mixes.data_ptr(), len(arrays[1]), d, arrays[1].shape[1],
    )  # fmt: skip
    launch = encode(
        coding, x.data_ptr(), n, 0, scale.data_ptr(), ratio.data_ptr(), 0, odd.data_ptr()
    )
    stream = torch.cuda.current_stream().cuda_stream
    ms = clock(lambda: device.launch(launch, stream))
    figures = {"ms": ms, "spread": clock.spread, "qps": n / ms * 1e3}
    return figures | _shares({"copy": x.nbytes + out.nbytes + 6 * rows}, ms, ceilings)


def report(record: dict[str, Any]) -> str:
    """The ceilings in a line, and a table of the cases."""
    rates = (f"{name} {rate / 1e12:,.2f}" for name, rate in record["ceilings"].items())
    rows = [{key: case.get(key) for _, key in _COLUMNS} for case in record["cases"]]
    head = f"{record['gpu']['name']}, 10^12 a second: {', '.join(rates)}"
    return f"{head}\n{table.render(_COLUMNS, rows)}"
