"""Operating points of every system of a plan: measured heat by heat, kept as they are had.

In a heat, systems of one dataset and one number of threads are built, each in a process of its own,
and measured in alternation on the same CPUs. A heat's points are appended to the file when it has
ended; a run that was interrupted goes on with the first heat that has points missing.
"""

import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import data, gate, machine, table
from benchmarks.cases import Case, Plan
from benchmarks.clock import Clock
from benchmarks.systems import for_dimension, package
from benchmarks.workers import RemoteTrial, Request
from vqindex.datasets import Dataset
from vqindex.evaluate import (
    Entry,
    OperatingPoint,
    Setting,
    Terms,
    append_points,
    contest,
    planned,
    read_points,
)

RESULTS = Path(__file__).parent / "results" / "run.jsonl"
_EVERYONES = ("vqindex", "numpy", "numba", "llvmlite")  # packages that any figure may depend on
_COLUMNS = (
    ("dataset", "dataset"), ("system", "system"), ("index", "spec"), ("search", "parameters"),
    ("threads", "threads"), ("batch", "batch"), ("R@10", "recall"), ("QPS", "qps"),
    ("p99 ms", "p99"), ("build s", "build_s"), ("peak MB", "peak"),
)  # fmt: skip


def results(level: str | None) -> Path:
    """The file of points: one of its own for each level that libraries are held to."""
    return RESULTS.with_stem(f"{RESULTS.stem}-{level}") if level else RESULTS


class Run:
    """A plan on this machine.

    out     the file of points
    cpus    those to run on, the last ones that this process may use if None
    level   of machine.LEVELS
    tests   in place of the plan's
    again   whether points in the file are measured again
    """

    def __init__(
        self,
        plan: Plan,
        out: Path = RESULTS,
        *,
        cpus: Sequence[int] | None = None,
        level: str | None = None,
        tests: Sequence[str] | None = None,
        again: bool = False,
    ) -> None:
        self.plan, self.out, self.level = plan, out, level
        self._tests = plan.tests if tests is None else tests
        allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._cpus = list(cpus) if cpus is not None else allowed
        self._sets: dict[str, Dataset] = {}
        self._machine: dict[str, Any] = machine.describe() | {"level": level}
        points = read_points(out) if out.exists() else []
        self._known = {f"{p.dataset} {p.system} {p.spec}": p.build_s for p in points if p.build_s}
        self._done = set() if again else {_identity(p) for p in points}

    def __call__(self) -> list[OperatingPoint]:
        """Measure what the file lacks; the points that came anew."""
        heats = [heat for heat in map(self._missing, self.plan.heats()) if heat]
        if not heats:
            print(f"nothing to measure: {self.out} has every point", file=sys.stderr)
            return []
        print("tests of what is measured, first", file=sys.stderr)
        self._machine["tests"] = gate.check(self._tests)
        print(self._machine["tests"], file=sys.stderr)
        clock = Clock(self._steps(heats), self._known)
        new = []
        for heat in heats:
            points = self._heat(heat, clock)
            append_points(self.out, points)
            new += points
        clock.finish()
        return new

    def _missing(self, heat: Sequence[Case]) -> list[tuple[Case, list[Setting]]]:
        """The cases of a heat with the settings that the file lacks."""
        dataset = self._dataset(heat[0].dataset)
        terms = self._terms(dataset, heat[0])
        found = []
        for case in heat:
            entry = self._entry(case, dataset, case.settings(dataset))
            pairs = zip(entry.settings, planned(entry, terms), strict=True)
            left = [setting for setting, point in pairs if _identity(point) not in self._done]
            if left:
                found.append((case, left))
        return found

    def _dataset(self, name: str) -> Dataset:
        if name not in self._sets:
            self._sets[name] = data.named(name, self.plan.queries)
        return self._sets[name]

    def _terms(self, dataset: Dataset, case: Case) -> Terms:
        """Those of a case's heat."""
        plan = self.plan
        return Terms.of(
            dataset, threads=case.threads, k=plan.k, seed=plan.seed, machine=self._machine,
            protocol={"rounds": plan.rounds, "singles": plan.singles, "heat": case.heat},
        )  # fmt: skip

    def _entry(self, case: Case, dataset: Dataset, settings: Sequence[Setting]) -> Entry:
        plan, spec = self.plan, for_dimension(case.spec, dataset.d)
        request = Request(
            case.system, spec, case.dataset, plan.queries, plan.seed, self.level, plan.k,
            case.threads, plan.singles,
        )  # fmt: skip
        command = ["python", "-m", "benchmarks", "run", plan.name, "--datasets", case.dataset]
        command += ["--only", f"{case.system} {spec}"]
        command += [*(["--level", self.level] if self.level else []), "--again"]
        trial = RemoteTrial(request, plan.patience_s)
        return Entry(case.system, spec, trial, settings, shlex.join(command))

    def _heat(
        self, heat: Sequence[tuple[Case, list[Setting]]], clock: Clock
    ) -> list[OperatingPoint]:
        first = heat[0][0]
        dataset = self._dataset(first.dataset)
        machine.pin(self._cpus[-first.threads :], first.threads, self.level)
        terms = self._terms(dataset, first)
        here = {"affinity": self._cpus[-first.threads :], "load": os.getloadavg()[0]}
        terms = replace(terms, machine=self._machine | here)
        entries = [self._entry(case, dataset, settings) for case, settings in heat]
        with ExitStack() as stack:
            for entry in entries:
                stack.callback(entry.trial.stop)  # type: ignore[attr-defined]
            return contest(
                entries, terms, rounds=self.plan.rounds,
                tell=lambda kind, label: clock(kind, f"{dataset.name} {label}"),
            )  # fmt: skip

    def _steps(self, heats: Sequence[Sequence[tuple[Case, list[Setting]]]]) -> Counter[Any]:
        steps: Counter[tuple[str, str]] = Counter()
        for case, settings in (pair for heat in heats for pair in heat):
            dataset = self._dataset(case.dataset)
            label = f"{dataset.name} {case.label(dataset.d)}"
            steps["build", label] += 1
            steps["ask", label] += len(settings)
            steps["round", label] += len(settings) * self.plan.rounds
        return steps


def chosen(plan: Plan, only: Sequence[str] | None) -> Plan:
    """A plan's cases whose library and index are one of some names, or else contain one.

    ValueError for a name that none has; {d} in an index may be written as its dimension.
    """
    if only is None:
        return plan
    dims = {case.dataset: data.named(case.dataset, 1).d for case in plan.cases}
    labels = [case.label(dims[case.dataset]) for case in plan.cases]
    kept: set[int] = set()
    for name in only:
        places = [i for i, label in enumerate(labels) if label == name]
        places = places or [i for i, label in enumerate(labels) if name in label]
        if not places:
            known = ", ".join(sorted(set(labels)))
            raise ValueError(f"only must name parts of {known}; got {name!r}.")
        kept.update(places)
    return replace(plan, cases=tuple(plan.cases[i] for i in sorted(kept)))


def _identity(point: OperatingPoint) -> tuple[Any, ...]:
    """What makes a point in the file stand for one to be measured: all but the figures."""
    versions = point.machine.get("versions", {})
    used = [versions.get(name) for name in (*_EVERYONES, package(point.system))]
    return (*point.key, *point.origin, *used, *sorted(point.protocol.items()))


def report(points: Iterable[OperatingPoint]) -> str:
    """A line for each point, and below them what failed and why."""
    points = list(points)
    rows = [
        {
            "dataset": p.dataset, "system": p.system, "spec": p.spec, "threads": p.threads,
            "parameters": " ".join(f"{name}={value}" for name, value in p.parameters.items()),
            "batch": p.batch, "recall": p.recall.get("10"), "build_s": p.build_s,
            "qps": p.qps and p.qps.median, "p99": p.latency and 1000 * p.latency.p99,
            "peak": None if p.peak_bytes is None else p.peak_bytes >> 20,
        }
        for p in points
        if p.failed is None
    ]  # fmt: skip
    failed = dict.fromkeys(
        f"failed on {p.dataset}: {p.system} {p.spec}: {p.failed}" for p in points if p.failed
    )
    return "\n".join([*([table.render(_COLUMNS, rows)] if rows else []), *failed])
