"""Indexes with lists: recall against speed, beside FAISS's and rabitqlib's.

All have as many threads and all settings of all are measured in turn within each round. Systems are
compared at the same recall, by the best that they give with any number of lists. See ivf.toml for
the systems and `vqindex.evaluate.measure_curves` for what is timed.
"""

import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import table
from benchmarks.systems import chosen, competitor, for_dimension
from vqindex import index_factory, warmup
from vqindex.datasets import Dataset
from vqindex.evaluate import (
    Curve,
    Rate,
    Spot,
    Sweep,
    families,
    family,
    measure_curves,
    rate_at,
)

CASES = Path(__file__).with_suffix(".toml")
K = 10
TARGETS = (0.90, 0.95, 0.97, 0.99)
MODES = ("single", "batch")
PEERS = ("FAISS", "rabitqlib")


@dataclass(frozen=True)
class Case:
    """One system with one number of lists, and the oversamples to try."""

    library: str
    spec: str
    lists: int
    oversamples: tuple[float | None, ...]

    @property
    def label(self) -> str:
        return f"{self.library} {self.spec}"


def default_lists(n: int) -> list[int]:
    """Two powers of two for n rows: the one nearest to 1.6 sqrt(n), and twice as many."""
    nearest = 2 ** max(0, round(np.log2(1.6 * max(n, 1) ** 0.5)))
    return [nearest, 2 * nearest]


def read_cases(
    d: int, lists: Sequence[int], only: Sequence[str] | None = None
) -> tuple[list[Case], list[int]]:
    """The systems of ivf.toml for dimension d, with one of some names in them; and every nprobe."""
    with CASES.open("rb") as file:
        whole = tomllib.load(file)
    cases = [
        Case(
            system["library"],
            for_dimension(system["index"].replace("{lists}", str(count)), d),
            count,
            tuple(system.get("oversample", [None])),
        )
        for system in whole["system"]
        for count in lists
    ]
    return chosen(cases, only, lambda case: case.label), whole["nprobe"]


def run(
    dataset: Dataset,
    *,
    rounds: int = 5,
    singles: int = 200,
    seed: int = 0,
    threads: int = 1,
    level: str | None = None,
    lists: Sequence[int] | None = None,
    only: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Measure every system that can be had, and say on stderr which cannot.

    lists            numbers of them, `default_lists` if None
    threads, level   what this process was pinned to
    """
    lists = default_lists(dataset.n) if lists is None else lists
    cases, nprobes = read_cases(dataset.d, lists, only)
    sweeps = []
    for case in cases:
        try:
            system: Any = competitor(case.library, case.spec, dataset.metric, seed, level)
        except (ImportError, ValueError) as error:
            if case.library != "rabitqlib":
                raise
            _tell(f"without {case.label}: {error}")
            continue
        probed = [nprobe for nprobe in nprobes if nprobe <= case.lists]
        sweeps.append(Sweep(system, probed, case.oversamples))
    _warm([case.spec for case in cases if case.library == "vqindex"], dataset)
    curves = measure_curves(
        sweeps, dataset, k=K, rounds=rounds, singles=singles, threads=threads, tell=_tell
    )
    settings = {
        "k": K, "rounds": rounds, "singles": singles, "seed": seed, "threads": threads,
        "level": level, "lists": list(lists),
    }  # fmt: skip
    return {
        "settings": settings,
        "rows": rows_of(curves),
        "curves": [asdict(curve) for curve in curves],
    }


def _warm(specs: Iterable[str], dataset: Dataset) -> None:
    """Compile what our systems need: no build is to pay for it."""
    warmup()
    some = np.ascontiguousarray(dataset.base[:2048], np.float32)
    for spec in {family(spec).replace("IVF", "IVF8") for spec in specs}:
        index = index_factory(spec, metric=dataset.metric)
        index.fit(some)
        index.add(some)
        for q in (some[0], some[:100]):
            index.search(q, K, nprobe=4)
            index.search(q, K, nprobe=8)


def rows_of(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """What each kind of system gives at each recall, with the best number of lists.

    The rates at TARGETS, None where it is not reached, and by what they are more than those of the
    fastest system of each peer there.
    """
    rows = [
        {"library": library, "index": name}
        | {mode: [_rate(own, mode, target) for target in TARGETS] for mode in MODES}
        for (library, name), own in families(curves).items()
    ]
    for mode in MODES:
        best = {
            peer: [_rate([c for c in curves if c.library == peer], mode, t) for t in TARGETS]
            for peer in PEERS
        }
        for row in rows:
            row[f"{mode}_ratios"] = {
                peer: [
                    None if own is None or its is None else own / its
                    for own, its in zip(row[mode], best[peer], strict=True)
                ]
                for peer in PEERS
            }
    return rows


def _rate(curves: Sequence[Curve], mode: str, target: float) -> float | None:
    return rate_at([pair for curve in curves for pair in curve.pairs(mode)], target)


def curves_of(record: dict[str, Any]) -> list[Curve]:
    """The curves of a record."""
    return [
        Curve(**(curve | {"spots": tuple(map(_spot, curve["spots"]))}))
        for curve in record["curves"]
    ]


def _spot(spot: dict[str, Any]) -> Spot:
    return Spot(**(spot | {mode: Rate(**spot[mode]) for mode in MODES}))


def report(record: dict[str, Any]) -> str:
    """The record as tables: what systems cost, and for each mode how fast they are."""
    keys = ("library", "name", "bytes_per_row", "build_s")
    headings = ("library", "index", "bytes/row", "build s")
    costs = table.render(list(zip(headings, keys, strict=True)), record["curves"])
    return "\n\n".join([costs, *(_table(record["rows"], mode) for mode in MODES)])


def _table(rows: list[dict[str, Any]], mode: str) -> str:
    columns, cells = [("library", "library"), ("index", "index")], [dict(row) for row in rows]
    for i, target in enumerate(TARGETS):
        at = f"{mode} QPS at {target:.2f}"
        columns += [(at, at), *((f"x {peer}", f"{at} x {peer}") for peer in PEERS)]
        for cell in cells:
            cell[at] = cell[mode][i]
            cell |= {f"{at} x {peer}": cell[f"{mode}_ratios"][peer][i] for peer in PEERS}
    return table.render(columns, cells)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
