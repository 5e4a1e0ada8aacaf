"""What quantization costs a reader: how high the entry that answers a question stands.

As in retrieval for a language model: documents are dictionary entries, questions usage examples,
and relevant is the entry that a question comes from (`relevant.py`). Recall tells how many of the
exact neighbours an index finds; the figures here tell whether those that it misses mattered.
See retrieval.toml for the indexes and `vqindex.evaluate.rank` for the figures.
"""

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import relevant, table
from benchmarks.systems import for_dimension
from vqindex import datasets, index_factory
from vqindex.datasets import Dataset
from vqindex.evaluate import Ranking, rank, recall

CASES = Path(__file__).with_suffix(".toml")
FIGURES = ("reciprocal_rank", "ndcg", "average_precision")


def default_names() -> list[str]:
    """The sets with judged rows that can be had without a download."""
    there = {path.stem for path in datasets.data_folder().glob("*.hdf5")}
    return [name for name in relevant.judged() if name in there] or ["sample"]


def run(dataset: Dataset, *, seed: int = 0, only: Sequence[str] | None = None) -> dict[str, Any]:
    """Exact search and then every index of retrieval.toml, or those with one of some names.

    Raises ValueError for a set without judged rows.
    """
    known = relevant.judged()
    if dataset.name not in known:
        raise ValueError(f"judged rows are known of {', '.join(known)}; not of {dataset.name}.")
    gains = [dict.fromkeys(rows, 1.0) for rows in known[dataset.name][: dataset.nq]]
    with CASES.open("rb") as file:
        cases = tomllib.load(file)
    k = cases["k"]
    exact = rank(dataset.neighbors, gains, k)
    rows = [{"index": "exact", "bytes_per_row": 4 * dataset.d, "recall": 1.0} | _row(exact, exact)]
    for spec in (for_dimension(spec, dataset.d) for spec in cases["specs"]):
        if only and not any(name in spec for name in only):
            continue
        print(f"{dataset.name}: {spec}", file=sys.stderr, flush=True)
        index = index_factory(spec, metric=dataset.metric, seed=seed)
        index.fit(dataset.base)
        index.add(dataset.base)
        ids = index.search(dataset.queries, k=k).ids
        found = {
            "index": spec,
            "bytes_per_row": index.bytes_per_row,
            "recall": recall(ids, dataset.neighbors, k),
        }
        rows.append(found | _row(rank(ids, gains, k), exact))
    settings = {"k": k, "seed": seed, "questions": len(exact.queries)}
    return {"settings": settings, "rows": rows}


def _row(own: Ranking, exact: Ranking) -> dict[str, float]:
    """Each figure, what it is less than that of exact search, and the standard error of that."""
    row = {"hit_rate": float((own.reciprocal_rank > 0).mean())}
    for name in FIGURES:
        values: npt.NDArray[np.float64] = getattr(own, name)
        lost = getattr(exact, name) - values
        row[name] = float(values.mean())
        row[f"{name}_lost"] = float(lost.mean())
        row[f"{name}_error"] = float(lost.std() / len(lost) ** 0.5)
    return row


def report(record: dict[str, Any]) -> str:
    """The record as a table."""
    settings = record["settings"]
    k = settings["k"]
    columns = [("index", "index"), ("bytes/row", "bytes_per_row"), (f"R@{k}", "recall")]
    columns.append((f"hits@{k}", "hit_rate"))
    # Nearly every question has one relevant entry, and its average precision is its MRR.
    for heading, name in (("MRR", "reciprocal_rank"), ("nDCG", "ndcg")):
        columns += [(f"{heading}@{k}", name), ("lost", f"{name}_lost"), ("+-", f"{name}_error")]
    rows = [
        {key: _shown(key, x) if isinstance(x, float) else x for key, x in row.items()}
        for row in record["rows"]
    ]
    about = f"{settings['questions']:,} questions whose entry is among the documents"
    return f"{about}\n{table.render(columns, rows)}"


def _shown(key: str, value: float) -> str:
    """With four decimals, so that figures can be compared down a column."""
    return f"{value:+.4f}" if key.endswith("_lost") else f"{value:.4f}"
