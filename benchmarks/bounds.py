"""What the first stage of a search misses, and what it spares, as its bound widens.

A miss is one of the k rows that the index itself finds with stages="off" and not with "on".
Queries are asked one by one: many at once may be multiplied instead, with the same answer.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import table
from vqindex import FlatIndex, index_factory
from vqindex.datasets import Dataset

CASES = Path(__file__).with_suffix(".toml")


def run(dataset: Dataset, *, seed: int = 0) -> dict[str, Any]:
    """Try every case of bounds.toml on a dataset."""
    with CASES.open("rb") as file:
        cases = tomllib.load(file)
    rows = []
    for spec in cases["specs"]:
        index = index_factory(spec, metric=dataset.metric, seed=seed)
        index.add(dataset.base)
        for k in cases["ks"]:
            rows += sweep(index, dataset.queries, k, cases["eps0s"])
    return {"settings": {"seed": seed, "default_eps0": index.settings["eps0"]}, "rows": rows}


def sweep(index: FlatIndex, queries: Any, k: int, eps0s: Sequence[float]) -> list[dict[str, Any]]:
    """Misses and rows scored in full at each eps0, over queries (nq, d)."""
    truth = index.search(queries, k, stages="off").ids
    rows = []
    for eps0 in eps0s:
        found = [index.search(q, k, stages="on", eps0=eps0) for q in np.asarray(queries)]
        pairs = zip(truth, found, strict=True)
        missed = sum(len(np.setdiff1d(true, ours.ids)) for true, ours in pairs)
        scored = float(np.mean([result.stats["scored"] for result in found]))
        neighbors = int((truth >= 0).sum())
        rows.append(
            {
                "index": index.spec,
                "k": k,
                "eps0": eps0,
                "neighbors": neighbors,
                "missed": missed,
                "missed_per_10000": 10_000 * missed / neighbors,
                "scored": scored,
                "scored_percent": 100 * scored / len(index),
            }
        )
    return rows


def pooled(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All indexes together, at each k and eps0: a single one misses too few to be counted."""
    groups: dict[tuple[int, float], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["k"], row["eps0"]), []).append(row)
    return [
        {
            "index": "all",
            "k": k,
            "eps0": eps0,
            "missed_per_10000": 10_000
            * sum(row["missed"] for row in group)
            / sum(row["neighbors"] for row in group),
            "scored_percent": float(np.mean([row["scored_percent"] for row in group])),
        }
        for (k, eps0), group in groups.items()
    ]


def report(record: dict[str, Any]) -> str:
    """The record as two tables, a column for each eps0."""
    return "\n\n".join(
        f"{title}\n{_by_eps0([*record['rows'], *pooled(record['rows'])], figure)}"
        for title, figure in (
            ("True neighbours missed, per 10,000, by eps0", "missed_per_10000"),
            ("Rows scored in full, per cent of all, by eps0", "scored_percent"),
        )
    )


def _by_eps0(rows: list[dict[str, Any]], figure: str) -> str:
    lines: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        line = lines.setdefault((row["index"], row["k"]), {"index": row["index"], "k": row["k"]})
        line[str(row["eps0"])] = row[figure]
    headings = dict.fromkeys(name for line in lines.values() for name in line)
    return table.render([(name, name) for name in headings], lines.values())
