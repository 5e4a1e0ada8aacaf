"""Your own data: which index finds enough of its neighbours fastest, and what that costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np

from vqindex.datasets import Dataset, ground_truth
from vqindex.evaluate import (
    Build,
    Entry,
    LocalTrial,
    OperatingPoint,
    Ours,
    Quality,
    Setting,
    Terms,
    TrialError,
    append_points,
    contest,
    describe_machine,
    report,
    warm,
)
from vqindex.tune import tune

EXACT = "F32"
TRUTH = 100  # neighbours that are looked up: recall@100 is told too
MANY = 20_000  # rows from which lists pay
WIDE = 32  # dimensions from which two bits of each are worth a try
TARGETS = (0.9, 0.99)  # recalls tuned for besides the one that is asked for
SINGLES = 300

Parameters = Mapping[str, Any]
Tell = Callable[[str, str], object]


@final
@dataclass(frozen=True)
class Bench:
    """What was measured, and which point is to be had: the fastest that was tuned to the target.

    points   one for each spec, settings and way of asking; those that failed say why
    best     None where no spec reaches the target
    tuned    queries that settings were chosen by
    others   queries that were measured, none of those; 0 where a lone query did both
    files    what was written
    """

    points: tuple[OperatingPoint, ...]
    best: OperatingPoint | None
    target: float
    tuned: int
    others: int
    files: tuple[Path, ...] = ()

    @property
    def code(self) -> str:
        """Python that makes the recommended index."""
        if self.best is None:
            return ""
        settings = ", ".join(f"{name}={value!r}" for name, value in self.best.parameters.items())
        metric = "" if self.best.metric == "l2" else f', metric="{self.best.metric}"'
        lines = [
            f'index = vq.index_factory("{self.best.spec}"{metric})',
            "index.fit(base)",
            "index.add(base)",
        ]
        return "\n".join([*lines, f"index.configure({settings})"] if settings else lines)

    def __str__(self) -> str:
        k = self.points[0].k
        failed = dict.fromkeys(f"{p.spec}: {p.failed}" for p in self.points if p.failed)
        found = "No index reaches it." if self.best is None else f"Recommended:\n\n{self.code}"
        return "\n".join([
            f"recall@{k} of at least {self.target:g}, {self.points[0].n:,} rows",
            f"queries: {self.tuned:,} to tune with, {self.others or 'the same'} to measure",
            "", *_table([p for p in self.points if p.failed is None]), "",
            *failed, *([""] if failed else []), found,
            *(f"Written: {path}" for path in self.files),
        ])  # fmt: skip


def suggestions(n: int, d: int) -> list[str]:
    """Specs worth a try for n rows of d numbers: exact, codes, codes and what scores anew."""
    flat = [EXACT, "SAQ4", "EDEN4,Rerank(f16)"]
    if d >= WIDE:
        flat.append("EDEN2,Rerank(f16)")
    return flat + [f"IVF,{spec}" for spec in flat[1:] if n >= MANY]


def run(
    base: Any,
    queries: Any,
    *,
    metric: str = "cosine",
    recall: float = 0.95,
    k: int = 10,
    specs: Sequence[str] | None = None,
    batch: bool = False,
    threads: int = 1,
    rounds: int = 5,
    seed: int = 0,
    folder: Path | None = None,
    name: str = "data",
    command: str = "",
    tell: Tell = lambda kind, label: None,
) -> Bench:
    """Build, tune and measure indexes on rows (n, d) with queries (nq, d).

    Every other query is tuned with, and the others are measured: settings that were chosen by what
    they are judged by would look better than they are. A lone query does both.

    specs    factory strings; `suggestions` if None
    batch    the fastest with all queries in one call, not with one query a call
    folder   where points.jsonl and the report go; nothing is written if None
    command  what measures it again, for the record
    tell     gets the kind of each step and a spec
    Raises as `ground_truth` and `tune` do for what they are given.
    """
    base, queries = (np.ascontiguousarray(x, np.float32) for x in (base, queries))
    tell("truth", name)
    distances, neighbors = ground_truth(base, queries, min(max(k, TRUTH), len(base)), metric)
    seen, data = (
        Dataset(name, metric, base, queries[half], neighbors[half], distances[half])
        for half in (slice(0, None, 2), slice(int(len(queries) > 1), None, 2))
    )
    entries, chosen = [], {}
    for spec in suggestions(data.n, data.d) if specs is None else specs:
        tell("build and tune", spec)
        trial = _Tuned(spec, seen, data, k=k, threads=threads, seed=seed, single=not batch)
        settings = trial.settings(sorted({*TARGETS, recall}))
        chosen[spec] = trial.chosen.get(recall)
        asked = [Setting(each, size) for each in settings for size in sorted({1, data.nq})]
        entries.append(Entry("vqindex", spec, trial, asked, command))
    terms = Terms.of(
        data, threads=threads, k=k, seed=seed, machine=describe_machine(),
        protocol={"rounds": rounds, "singles": SINGLES},
    )  # fmt: skip
    points = contest(entries, terms, rounds=rounds, tell=tell)
    size = data.nq if batch else 1
    good = [p for p in points if not p.failed and (p.parameters, p.batch) == (chosen[p.spec], size)]
    best = max(good, key=lambda p: p.qps.median if p.qps else 0.0, default=None)
    result = Bench(tuple(points), best, recall, seen.nq, len(queries) // 2)
    return result if folder is None else replace(result, files=_written(points, folder))


class _Tuned:
    """A trial of an index that is built, and tuned with the queries seen, before the contest."""

    def __init__(
        self, spec: str, seen: Dataset, data: Dataset, *, k: int, threads: int, seed: int,
        single: bool,
    ) -> None:  # fmt: skip
        warm(spec, data.metric, data.d, k)
        self._system = Ours(spec, data.metric, seed)
        self._trial = LocalTrial(self._system, data, k=k, threads=threads, singles=SINGLES)
        self._built = self._trial.build()
        self._tune = partial(
            tune, self._system.index, seen.queries, k, truth=seen.neighbors, single=single,
            threads=threads,
        )  # fmt: skip
        self._short = ""
        self.chosen: dict[float, Parameters] = {}

    def settings(self, targets: Sequence[float]) -> list[Parameters]:
        """Those that reach targets, each once; a target that is not reached is left out."""
        if self._system.name == EXACT:
            self.chosen = {target: {} for target in targets}
            return [{}]
        for target in targets:
            try:
                self.chosen[target] = dict(self._tune(recall=target).chosen.settings)
            except ValueError as error:
                self._short = str(error)
        found = [*self.chosen.values()] or [{}]
        return [each for i, each in enumerate(found) if each not in found[:i]]

    def build(self) -> Build:
        """What it cost; TrialError where no target was reached."""
        if not self.chosen:
            raise TrialError(self._short)
        return self._built

    def quality(self, parameters: Parameters, batch: int) -> Quality:
        """See Trial."""
        return self._trial.quality(parameters, batch)

    def round(self, parameters: Parameters, batch: int) -> tuple[int, list[float]]:
        """See Trial."""
        return self._trial.round(parameters, batch)


def _table(points: Sequence[OperatingPoint]) -> list[str]:
    """A line for each spec and settings, single queries and batch side by side."""
    header = ["index", "search", "recall", "QPS, one", "QPS, all", "p99 ms", "bytes/row", "build s"]
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for p in points:
        search = " ".join(f"{name}={value:g}" for name, value in p.parameters.items())
        row = rows.setdefault((p.spec, search), dict.fromkeys(header, "-"))
        row |= {"index": p.spec, "search": search}
        row["recall"] = f"{p.recall[str(p.k)]:.4f}" if str(p.k) in p.recall else "-"
        row |= {"bytes/row": f"{p.bytes_per_row:,.0f}", "build s": f"{p.build_s:.2f}"}
        row["QPS, one" if p.batch == 1 else "QPS, all"] = f"{p.qps.median:,.0f}" if p.qps else "-"
        if p.latency:
            row["p99 ms"] = f"{1000 * p.latency.p99:.2f}"
    cells = [header, *([row[name] for name in header] for row in rows.values())]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def _written(points: Sequence[OperatingPoint], folder: Path) -> tuple[Path, ...]:
    """The points as lines of JSON, and the report of them."""
    path = folder / "points.jsonl"
    append_points(path, points)
    return (path, *report.write(points, folder))
