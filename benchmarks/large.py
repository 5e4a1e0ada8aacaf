"""Up to a million rows: seconds and memory of adding them, speed, and how both grow.

One thread, and a process of its own for each index, so that none finds memory that another left.
See large.toml for the cases.
"""

import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import data, stopwatch, table
from vqindex import FlatIndex, index_factory
from vqindex.datasets import Dataset, data_folder, synthetic
from vqindex.evaluate import memory

CASES = Path(__file__).with_suffix(".toml")
K = 10
_COLUMNS = (
    ("index", "index"),
    ("set", "set"),
    ("d", "d"),
    ("rows", "n"),
    ("bytes/row", "bytes_per_row"),
    ("add s", "add_s"),
    ("x linear", "add_scaling"),
    ("index MB", "index_mb"),
    ("beyond it MB", "beyond_mb"),
    ("allowed", "allowed"),
    ("single QPS", "single_median"),
    ("x linear", "single_scaling"),
    ("batch QPS", "batch_median"),
    ("x linear", "batch_scaling"),
    ("spread", "spread"),
    ("found", "found"),
)


def run() -> dict[str, Any]:
    """Measure every case of large.toml, one after another."""
    with CASES.open("rb") as file:
        cases = tomllib.load(file)
    sets, specs, sizes = (cases.pop(name) for name in ("set", "specs", "rows"))
    rows: list[dict[str, Any]] = []
    for of, spec in product(sets, specs):
        lines = [_in_child(cases | of | {"spec": spec, "rows": n}) for n in sizes]
        rows += [line | scaling(lines[0], line) for line in lines]
    return {"settings": cases | {"k": K, "threads": 1}, "rows": rows}


def _in_child(case: Mapping[str, Any]) -> dict[str, Any]:
    _tell(f"{case['spec']}: {case['rows']:,} rows of {case['d']}")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.large", json.dumps(case)],
        cwd=CASES.parents[1], stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def scaling(first: Mapping[str, Any], line: Mapping[str, Any]) -> dict[str, float]:
    """Speeds for each row over those of the first size: 1 where time grows as rows do."""
    more = line["n"] / first["n"]
    return {
        "add_scaling": more * first["add_s"] / line["add_s"],
        "single_scaling": more * line["single_median"] / first["single_median"],
        "batch_scaling": more * line["batch_median"] / first["batch_median"],
    }


def source(case: Mapping[str, Any]) -> Dataset:
    """The set of a case, or what stands for it."""
    if (data_folder() / f"{case['name']}.hdf5").exists():
        return data.load(case["name"], case["batch"])
    drawn = min(case["drawn"], case["rows"])
    return synthetic(
        drawn, case["d"], case["batch"], case["metric"], spectrum=case["spectrum"], k=1
    )


def measure(case: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one index; to be taken in a process that has done nothing else."""
    dataset = source(case)
    queries = np.asarray(dataset.queries, np.float32)
    base = np.asarray(data.repeated(dataset.base, case["rows"]), np.float32)
    index = build(case, base[:5000])  # what a first use costs is measured elsewhere
    ask_all(index, queries)
    ask_each(index, queries[:1])
    grown = memory.growth(partial(build, case, base))
    add_s = []
    for _ in range(case["rounds"]):
        start = time.perf_counter()
        index = build(case, base)
        add_s.append(time.perf_counter() - start)
    alone = queries[: case["singles"]]
    calls = [partial(ask_each, index, alone), partial(ask_all, index, queries)]
    single, batch = stopwatch.rates(calls, case["seconds"], case["rounds"], lambda text: None)
    return {
        "index": index.spec, "set": dataset.name, "metric": index.metric,
        "d": index.dim, "n": len(index), "bytes_per_row": index.bytes_per_row,
        "add_s": median(add_s), "index_bytes": index.nbytes["total"], "grown_bytes": grown,
        "single_median": len(alone) * single.median, "single_best": len(alone) * single.best,
        "batch_median": len(queries) * batch.median, "batch_best": len(queries) * batch.best,
        "spread": max(single.spread, batch.spread), "found": found(index, base, case["batch"]),
    }  # fmt: skip


def build(case: Mapping[str, Any], base: Any) -> FlatIndex:
    """An index of some rows."""
    index = index_factory(case["spec"], metric=case["metric"])
    index.add(base, threads=1)
    return index


def ask_all(index: FlatIndex, queries: Any) -> None:
    """All queries in one call."""
    index.search(queries, K, threads=1)


def ask_each(index: FlatIndex, queries: Any) -> None:
    """One query a call."""
    for query in queries:
        index.search(query, K, threads=1)


def found(index: FlatIndex, base: Any, count: int) -> float:
    """The share of some rows, evenly spread, that are among the nearest of themselves."""
    rows = np.linspace(0, len(base) - 1, count).astype(np.int64)
    return float((index.search(base[rows], K, threads=1).ids == rows[:, None]).any(axis=1).mean())


def report(record: Mapping[str, Any]) -> str:
    """The record as a table."""
    return table.render(_COLUMNS, _shown(record["rows"], record["settings"]["allowed_mb"]))


def _shown(rows: Sequence[Mapping[str, Any]], allowed_mb: float) -> list[dict[str, Any]]:
    cells = []
    for row in rows:
        beyond = (row["grown_bytes"] - row["index_bytes"]) / 1e6
        sizes = {"index_mb": row["index_bytes"] / 1e6, "beyond_mb": beyond}
        cells.append(dict(row) | sizes | {"allowed": "yes" if beyond <= allowed_mb else "no"})
    return cells


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
