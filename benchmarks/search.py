"""The flat indexes of this library beside those of FAISS and turbovec.

All have as many threads, all are measured in turn within each round; speeds are ratios to FAISS
indexes of as many bits. See search.toml for the systems and `vqindex.evaluate.measure` for what is
timed.
"""

import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.systems import LIBRARIES, chosen, competitor, for_dimension
from vqindex import warmup
from vqindex.datasets import Dataset
from vqindex.evaluate import Measurement, Rate, measure

CASES = Path(__file__).with_suffix(".toml")
K = 10
_FRONT = (
    ("bits", "bits"),
    ("library", "library"),
    ("index", "index"),
    ("bytes/row", "bytes_per_row"),
    (f"R@{K}", "recall"),
)


@dataclass(frozen=True)
class Case:
    """One system: the bits it is listed under and the FAISS indexes it is compared with."""

    bits: int
    peers: tuple[str, ...]
    library: str
    spec: str

    @property
    def label(self) -> str:
        return f"{self.library} {self.spec}"


def read_cases(
    d: int, bits: Iterable[int] | None = None, only: Sequence[str] | None = None
) -> list[Case]:
    """The systems of search.toml for dimension d: of some bits, with one of some names in them."""
    with CASES.open("rb") as file:
        groups = tomllib.load(file)["group"]
    known = {group["bits"] for group in groups}
    wanted = known if bits is None else set(bits)
    if not wanted <= known:
        raise ValueError(f"bits must be among {sorted(known)}, got {sorted(wanted - known)}.")
    cases = [
        Case(
            group["bits"], tuple(for_dimension(peer, d) for peer in group["peers"]),
            library, for_dimension(spec, d),
        )
        for group in groups
        if group["bits"] in wanted
        for library in LIBRARIES
        for spec in group.get(library, [])
    ]  # fmt: skip
    return chosen(cases, only, lambda case: case.label)


def run(
    dataset: Dataset,
    *,
    rounds: int = 5,
    singles: int = 1000,
    seed: int = 0,
    threads: int = 1,
    level: str | None = None,
    bits: Iterable[int] | None = None,
    only: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Measure every system that can be had, and say on stderr which cannot.

    threads, level   what this process was pinned to
    """
    cases, systems = [], []
    for case in read_cases(dataset.d, bits, only):
        try:
            systems.append(competitor(case.library, case.spec, dataset.metric, seed, level))
            cases.append(case)
        except (ImportError, ValueError) as error:
            if case.library != "turbovec":
                raise
            _tell(f"without turbovec {case.spec}: {error}")
    warmup()
    done = measure(
        systems, dataset, k=K, rounds=rounds, singles=singles, threads=threads, tell=_tell
    )
    settings = {
        "k": K, "rounds": rounds, "singles": singles, "seed": seed, "threads": threads,
        "level": level,
    }  # fmt: skip
    return {"settings": settings, "rows": rows_of(cases, done)}


def rows_of(cases: list[Case], measurements: list[Measurement]) -> list[dict[str, Any]]:
    """The table's lines, in the order of the cases; no ratio to a peer that was not measured."""
    faiss = {m.name: m for m in measurements if m.library == "FAISS"}
    return [
        {
            "bits": case.bits,
            "library": m.library,
            "index": m.name,
            "bytes_per_row": m.bytes_per_row,
            "recall": m.recall[K],
            "distance_recall": m.distance_recall[K],
            **_rates("batch", m.batch, {p: faiss[p].batch for p in case.peers if p in faiss}),
            **_rates("single", m.single, {p: faiss[p].single for p in case.peers if p in faiss}),
            "peers": list(case.peers),
            "build_s": m.build_s,
        }
        for case, m in zip(cases, measurements, strict=True)
    ]


def _rates(name: str, rate: Rate, peers: dict[str, Rate]) -> dict[str, Any]:
    return {
        f"{name}_best": rate.best,
        f"{name}_median": rate.median,
        f"{name}_least": rate.best - rate.spread * rate.median,
        f"{name}_ratios": {peer: rate.median / its.median for peer, its in peers.items()},
    }


def report(record: dict[str, Any]) -> str:
    """The record as a table for each size of code, for their peers differ."""
    groups = groupby(record["rows"], lambda row: row["bits"])
    return "\n\n".join(_table(list(rows)) for _, rows in groups)


def _table(rows: list[dict[str, Any]]) -> str:
    columns = [*_FRONT]
    cells = [dict(row) for row in rows]
    for name in ("batch", "single"):
        columns += [
            (f"{name} QPS", f"{name}_median"),
            ("best", f"{name}_best"),
            ("least", f"{name}_least"),
        ]
        for peer in rows[0]["peers"]:
            columns.append((f"x {peer}", f"{name} x {peer}"))
            for cell in cells:
                cell[f"{name} x {peer}"] = cell[f"{name}_ratios"].get(peer)
    return table.render([*columns, ("build s", "build_s")], cells)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
