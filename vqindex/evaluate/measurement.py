"""Measuring any index: build time, recall, and speed in alternation with others.

Speed is compared only between systems measured together: `measure` goes round all of them, round
after round, so that a machine that slows down slows all alike.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import final

import numpy as np

from vqindex.datasets import Dataset
from vqindex.evaluate.competitors import Competitor, Floats, Ids
from vqindex.evaluate.figures import distance_recall, recall

RECALL_AT = (1, 10, 100)


@final
@dataclass(frozen=True)
class Rate:
    """Queries per second over several rounds; spread is (best - worst) / median."""

    best: float
    median: float
    spread: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Rate":
        """From the seconds a query took, one number for each round."""
        rates = sorted(1 / s for s in seconds)
        median = statistics.median(rates)
        return cls(rates[-1], median, (rates[-1] - rates[0]) / median)


@final
@dataclass(frozen=True)
class Measurement:
    """The figures of one system on one dataset.

    bytes_per_row    what each row costs in memory
    build_s          seconds to train on all rows and add them
    recall           by k, see `recall`
    distance_recall  by k, see `distance_recall`
    batch            all queries in one call
    single           one query a call; the rate of a round is that of its median query
    """

    library: str
    name: str
    bytes_per_row: float | None
    build_s: float
    recall: dict[int, float]
    distance_recall: dict[int, float]
    batch: Rate
    single: Rate


@dataclass
class _Trial:
    """What is known of a system while it is measured; times are seconds for one query."""

    system: Competitor
    build_s: float = 0.0
    found: dict[int, Ids] = field(default_factory=dict)
    batch: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)

    def build(self, base: Floats, queries: Floats, depths: Sequence[int]) -> None:
        """Time the build, and search once at every depth: for recall, and to warm up."""
        self.build_s = _seconds(partial(self.system.add, base))
        self.found = {k: self.system.search(queries, k) for k in depths}

    def round(self, queries: Floats, singles: int, k: int) -> None:
        """Time one batch, then queries one by one."""
        batch, single = round_of(self.system, queries, singles, k)
        self.batch.append(batch)
        self.single.append(single)

    def measurement(self, dataset: Dataset) -> Measurement:
        return Measurement(
            library=self.system.library,
            name=self.system.name,
            bytes_per_row=self.system.bytes_per_row,
            build_s=self.build_s,
            recall={k: recall(ids, dataset.neighbors, k) for k, ids in self.found.items()},
            distance_recall={k: distance_recall(dataset, ids, k) for k, ids in self.found.items()},
            batch=Rate.of(self.batch),
            single=Rate.of(self.single),
        )


def measure(
    systems: Sequence[Competitor],
    dataset: Dataset,
    *,
    k: int = 10,
    rounds: int = 5,
    singles: int = 200,
    threads: int = 1,
    tell: Callable[[str], object] = lambda text: None,
) -> list[Measurement]:
    """Build every system on a dataset and measure all of them in alternation.

    k        neighbours asked for where speed is measured; recall@j is of a search for j
    rounds   times each is measured; every round visits every system
    singles  queries asked one by one in each round, at most
    tell     gets a line of text before each step
    Nothing is compiled ahead here: call `vqindex.warmup()` first, or the build pays for it.
    """
    base = np.ascontiguousarray(dataset.base, np.float32)
    queries = np.ascontiguousarray(dataset.queries, np.float32)
    depths = sorted({min(j, dataset.k) for j in RECALL_AT})
    trials = [_Trial(system) for system in systems]
    with ExitStack() as stack:
        for trial in trials:
            stack.enter_context(trial.system.threads(threads))
        for trial in trials:
            tell(f"build {trial.system.library} {trial.system.name}")
            trial.build(base, queries, depths)
        for i in range(rounds):
            tell(f"measure, round {i + 1} of {rounds}")
            for trial in trials:
                trial.round(queries, singles, k)
    return [trial.measurement(dataset) for trial in trials]


def round_of(system: Competitor, queries: Floats, singles: int, k: int) -> tuple[float, float]:
    """Seconds a query takes: a share of all in one call; the median of some one by one."""
    batch = _seconds(partial(system.search, queries, k)) / len(queries)
    system.search(queries[:1], k)  # the first alone may pay for what the batch pushed out of cache
    alone = [queries[i : i + 1] for i in range(min(singles, len(queries)))]
    return batch, statistics.median(_seconds(partial(system.search, q, k)) for q in alone)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
