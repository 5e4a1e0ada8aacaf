"""Recall of systems on a set, and what it costs: bytes, seconds of fitting, rows coded a second.

Every row is scored for every query, nothing is reranked. All systems have one thread, learn from
the same first rows of a set, and are asked all queries in one call.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.fidelity import ID_BYTES, model_bytes
from benchmarks.systems import competitor, for_dimension
from vqindex.datasets import Dataset
from vqindex.evaluate import Competitor, recall

PROBE = 50  # this part of the rows is coded first, and tells how long all will take


@dataclass(frozen=True)
class System:
    """A library's index: {d} in its factory string is the dimension of a set.

    fit        rows that it learns from, those of the settings if None
    patience   seconds that its rows may take to be coded, those of the settings if None
    slow       whether it takes long
    metrics    those it serves, all if none are named
    """

    library: str
    spec: str
    fit: int | None = None
    patience: float | None = None
    slow: bool = False
    metrics: Sequence[str] = ()

    @property
    def label(self) -> str:
        return f"{self.library} {self.spec}"


@dataclass(frozen=True)
class Settings:
    """How sets are measured.

    k         neighbours
    fit       rows that systems learn from
    patience  seconds that the rows of a set may take to be coded
    """

    k: int
    fit: int
    patience: float

    def of(self, system: System) -> "Settings":
        """Those of a system that may have its own."""
        own = {name: getattr(system, name) for name in ("fit", "patience")}
        return replace(self, **{name: value for name, value in own.items() if value is not None})


def run(
    systems: Sequence[System],
    dataset: Dataset,
    settings: Settings,
    *,
    seed: int,
    level: str | None,
    tell: Callable[[str], object],
) -> list[dict[str, Any]]:
    """A line for each system that can be had; `tell` gets a line for each step and each lack."""
    base = np.ascontiguousarray(dataset.base, np.float32)
    found = []
    for system, made in _made(systems, dataset, seed, level, tell):
        tell(f"{dataset.name}: {system.label}")
        try:
            line = measure(made, base, dataset, settings.of(system))
        except RuntimeError as error:  # FAISS's only one
            if system.library == "vqindex":
                raise
            tell(f"without {system.label} on {dataset.name}: {str(error).splitlines()[-1]}")
            continue
        if line["recall"] is None:
            tell(
                f"without recall of {system.label} on {dataset.name}: its rows would take "
                f"{dataset.n / line['rows_per_s']:,.0f} s to code"
            )
        found.append({"library": system.library, "index": system.spec, "spec": made.name} | line)
    return found


def _made(
    systems: Sequence[System],
    dataset: Dataset,
    seed: int,
    level: str | None,
    tell: Callable[[str], object],
) -> Iterator[tuple[System, Competitor]]:
    """Systems and their adapters; what is missing is told once for each library and reason."""
    told = set()
    for system in systems:
        spec = for_dimension(system.spec, dataset.d)
        if system.metrics and dataset.metric not in system.metrics:
            tell(f"without {system.label} on {dataset.name}: it is not for {dataset.metric}")
            continue
        try:
            made = competitor(system.library, spec, dataset.metric, seed, level)
        except (ImportError, ValueError) as error:
            if system.library == "vqindex":
                raise
            reason = f"without {system.library} on {dataset.name}: {error}"
            if reason not in told:
                tell(reason)
            told.add(reason)
            continue
        yield system, made


def measure(system: Competitor, base: Any, dataset: Dataset, settings: Settings) -> dict[str, Any]:
    """Fit a system, add the rows of a set, ask its queries; no recall where coding takes too long.

    Bytes a row and bits a dimension are without the id, which peers do not keep, and without the
    model: that is what the library's file of an index without rows takes.
    """
    probe = max(1, dataset.n // PROBE)
    queries = np.ascontiguousarray(dataset.queries, np.float32)
    with system.threads(1):
        fit_s = _seconds(lambda: system.fit(base[: settings.fit]))
        model = model_bytes(system.save)
        coded, add_s = probe, _seconds(lambda: system.add(base[:probe]))
        recalled = None
        if add_s * dataset.n / probe <= settings.patience:
            coded, add_s = dataset.n, add_s + _seconds(lambda: system.add(base[probe:]))
            ids = system.search(queries, settings.k)
            recalled = recall(ids, dataset.neighbors, settings.k)
    own = ID_BYTES if system.library == "vqindex" else 0
    size = system.bytes_per_row - own
    return {
        "bytes_per_row": size,
        "bits": 8 * size / dataset.d,
        "model": model,
        "recall": recalled,
        "rows_per_s": coded / add_s,
        "fit_s": fit_s,
    }


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
