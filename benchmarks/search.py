"""The flat indexes of this library beside those of FAISS and turbovec.

One thread, all systems in turn within each round; speeds are ratios to the FAISS index of as many
bits. See search.toml for the systems and `vqindex.evaluate.measure` for what is timed.
"""

import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.peers import Turbovec
from vqindex import warmup
from vqindex.datasets import Dataset
from vqindex.evaluate import Competitor, Faiss, Measurement, Ours, Rate, measure

CASES = Path(__file__).with_suffix(".toml")
K = 10
COLUMNS = (
    ("bits", "bits"),
    ("library", "library"),
    ("index", "index"),
    ("bytes/row", "bytes_per_row"),
    (f"R@{K}", "recall"),
    ("batch QPS", "batch_median"),
    ("best", "batch_best"),
    ("least", "batch_least"),
    ("x peer", "batch_ratio"),
    ("single QPS", "single_median"),
    ("best", "single_best"),
    ("least", "single_least"),
    ("x peer", "single_ratio"),
    ("build s", "build_s"),
)


@dataclass(frozen=True)
class Case:
    """One system: the bits it is listed under and the FAISS index it is compared with."""

    bits: int
    peer: str
    library: str
    spec: str


def read_cases(d: int, bits: Iterable[int] | None = None) -> list[Case]:
    """The systems of search.toml for dimension d, of all bits or of some."""
    with CASES.open("rb") as file:
        groups = tomllib.load(file)["group"]
    known = {group["bits"] for group in groups}
    chosen = known if bits is None else set(bits)
    if not chosen <= known:
        raise ValueError(f"bits must be among {sorted(known)}, got {sorted(chosen - known)}.")
    return [
        Case(group["bits"], _spec(group["peer"], d), library, _spec(spec, d))
        for group in groups
        if group["bits"] in chosen
        for library in ("vqindex", "FAISS", "turbovec")
        for spec in group.get(library, [])
    ]


def _spec(text: str, d: int) -> str:
    return text.replace("{d/2}", str(d // 2)).replace("{d}", str(d))


def competitor(case: Case, metric: str, seed: int) -> Competitor:
    """The adapter of a case; ImportError where its library is missing, ValueError for a metric."""
    if case.library == "vqindex":
        return Ours(case.spec, metric, seed)
    return Faiss(case.spec, metric) if case.library == "FAISS" else Turbovec(case.spec, metric)


def run(
    dataset: Dataset,
    *,
    rounds: int = 5,
    singles: int = 1000,
    seed: int = 0,
    bits: Iterable[int] | None = None,
) -> dict[str, Any]:
    """Measure every system that can be had, and say on stderr which cannot."""
    cases, systems = [], []
    for case in read_cases(dataset.d, bits):
        try:
            systems.append(competitor(case, dataset.metric, seed))
            cases.append(case)
        except (ImportError, ValueError) as error:
            if case.library != "turbovec":
                raise
            _tell(f"without turbovec {case.spec}: {error}")
    warmup()
    done = measure(systems, dataset, k=K, rounds=rounds, singles=singles, tell=_tell)
    settings = {"k": K, "rounds": rounds, "singles": singles, "seed": seed, "threads": 1}
    return {"settings": settings, "rows": rows_of(cases, done)}


def rows_of(cases: list[Case], measurements: list[Measurement]) -> list[dict[str, Any]]:
    """The table's lines, in the order of the cases."""
    peers = {m.name: m for m in measurements if m.library == "FAISS"}
    return [
        {
            "bits": case.bits,
            "library": m.library,
            "index": m.name,
            "bytes_per_row": m.bytes_per_row,
            "recall": m.recall[K],
            "distance_recall": m.distance_recall[K],
            **_rates("batch", m.batch, peers[case.peer].batch),
            **_rates("single", m.single, peers[case.peer].single),
            "build_s": m.build_s,
        }
        for case, m in zip(cases, measurements, strict=True)
    ]


def _rates(name: str, rate: Rate, peer: Rate) -> dict[str, float]:
    return {
        f"{name}_best": rate.best,
        f"{name}_median": rate.median,
        f"{name}_least": rate.best - rate.spread * rate.median,
        f"{name}_ratio": rate.median / peer.median,
    }


def report(record: dict[str, Any]) -> str:
    """The record as a table."""
    return table.render(COLUMNS, record["rows"])


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
