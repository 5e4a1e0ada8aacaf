"""What is to be measured, from a data file: see cases/README.md."""

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.systems import LIBRARIES, for_dimension
from vqindex.datasets import Dataset
from vqindex.evaluate import Setting

FOLDER = Path(__file__).parent / "cases"
ALL = 0  # for queries in a call: all there are
_WHOLE: dict[str, Any] = {
    "k": 10, "rounds": 5, "singles": 300, "queries": 1000, "seed": 0, "patience_s": 600,
    "tests": [], "case": [],
}  # fmt: skip
_SHARED = {"datasets": list[str](), "threads": [1], "batch": [1, ALL], "heat": ""}
_OWN = ("system", "spec", "parameters")


@dataclass(frozen=True)
class Case:
    """A system on a dataset: its index, and what that is asked with.

    spec     with {d} for the dimension
    batches  queries in a call, ALL for all
    heat     cases of one heat, dataset and number of threads are measured in alternation
    """

    system: str
    spec: str
    dataset: str
    threads: int
    parameters: tuple[Mapping[str, Any], ...]
    batches: tuple[int, ...]
    heat: str

    def label(self, d: int) -> str:
        """Library and index, for a dimension."""
        return f"{self.system} {for_dimension(self.spec, d)}"

    def settings(self, dataset: Dataset) -> list[Setting]:
        """Every choice of parameters with every batch."""
        batches = [min(batch or dataset.nq, dataset.nq) for batch in self.batches]
        pairs = itertools.product(self.parameters, dict.fromkeys(batches))
        return [Setting(parameters, batch) for parameters, batch in pairs]


@dataclass(frozen=True)
class Plan:
    """A file of cases; `name` is what its user called it."""

    name: str
    k: int
    rounds: int
    singles: int
    queries: int
    seed: int
    patience_s: float
    tests: tuple[str, ...]
    cases: tuple[Case, ...]

    def heats(self) -> list[list[Case]]:
        """Cases that are measured in alternation, heat after heat."""
        found: dict[tuple[str, int, str], list[Case]] = {}
        for case in self.cases:
            found.setdefault((case.dataset, case.threads, case.heat), []).append(case)
        return list(found.values())


def read_plan(name: str, datasets: Sequence[str] | None = None) -> Plan:
    """A plan by its name in cases/ or by its path, of all its datasets or of some others.

    OSError where there is no such file, ValueError for what it should not hold.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.exists():
        known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.toml")))
        raise FileNotFoundError(f"cases must be one of {known}, or a .toml file; got {name}.")
    with path.open("rb") as file:
        whole = tomllib.load(file)
    _check(whole, {*_WHOLE, *_SHARED}, path.name)
    shared = _SHARED | {key: whole.pop(key) for key in _SHARED if key in whole}
    values = _WHOLE | whole
    rows = values.pop("case")
    cases = tuple(case for row in rows for case in _cases(row, shared, datasets, path.name))
    return Plan(name=name, cases=cases, **values | {"tests": tuple(values["tests"])})


def _cases(
    row: dict[str, Any], shared: dict[str, Any], datasets: Sequence[str] | None, file: str
) -> list[Case]:
    """Of a row: one for each of its specs, datasets and numbers of threads."""
    _check(row, {*_OWN, *_SHARED}, file)
    if row.get("system") not in LIBRARIES or "spec" not in row:
        raise ValueError(f"{file}: a case has a spec and a system of {LIBRARIES}, got {row}.")
    row = shared | row
    if datasets is not None:  # those that a row is held to stay the only ones
        own = row["datasets"] if row["datasets"] != shared["datasets"] else datasets
        row["datasets"] = [name for name in datasets if name in own]
    specs = row["spec"] if isinstance(row["spec"], list) else [row["spec"]]
    return [
        Case(
            row["system"], spec, dataset, threads, _product(row.get("parameters", {})),
            tuple(row["batch"]), row["heat"],
        )
        for dataset in row["datasets"]
        for threads in row["threads"]
        for spec in specs
    ]  # fmt: skip


def _product(parameters: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Every choice of one value for each name; a value that is no list is the only one."""
    lists = [value if isinstance(value, list) else [value] for value in parameters.values()]
    return tuple(dict(zip(parameters, chosen, strict=True)) for chosen in itertools.product(*lists))


def _check(found: Mapping[str, Any], known: set[str], file: str) -> None:
    if not set(found) <= known:
        unknown = ", ".join(sorted(set(found) - known))
        raise ValueError(f"{file} may hold {', '.join(sorted(known))}; not {unknown}.")
