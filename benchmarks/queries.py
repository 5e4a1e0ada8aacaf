"""What codes gain by learning from queries, beside the same codes that learn from rows alone.

Both learn from the first rows of a set, and one from the first half of its queries too; recall is
that of the other half, with every row scored by its code and nothing reranked.
"""

import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import table
from benchmarks.fidelity import ID_BYTES
from benchmarks.systems import for_dimension
from vqindex import index_factory
from vqindex.datasets import Dataset
from vqindex.evaluate import recall

Floats = npt.NDArray[np.float32]
CASES = Path(__file__).with_suffix(".toml")
_COLUMNS = (
    ("index", "index"), ("bytes/row", "bytes_per_row"), ("R@{k} from rows", "rows"),
    ("from queries too", "queries"), ("gained", "gained"), ("+-", "gained_se"),
)  # fmt: skip


def run(dataset: Dataset, *, seed: int = 0) -> dict[str, Any]:
    """Measure every case of queries.toml on a dataset."""
    with CASES.open("rb") as file:
        cases = tomllib.load(file)
    known, asked = halves(dataset)
    k, fit = cases["k"], cases["fit"]
    rows = []
    for case in cases["codes"]:
        plain, aware = (for_dimension(case[name], dataset.d) for name in ("plain", "aware"))
        print(f"{dataset.name}: {aware}", file=sys.stderr, flush=True)
        _, before = _recalls(plain, asked, k, fit, None, seed)
        size, after = _recalls(aware, asked, k, fit, known, seed)
        gained = after - before
        rows.append({
            "index": aware, "bytes_per_row": size,
            "rows": float(before.mean()), "queries": float(after.mean()),
            "gained": float(gained.mean()),
            "gained_se": float(gained.std(ddof=1) / np.sqrt(len(gained))),
        })  # fmt: skip
    settings = {"seed": seed, "k": k, "fit": fit, "known": len(known), "asked": len(asked.queries)}
    return {"settings": settings, "rows": rows}


def halves(dataset: Dataset) -> tuple[Floats, Dataset]:
    """The first half of a set's queries, to learn from, and the set with the other half."""
    half = len(dataset.queries) // 2
    known = np.ascontiguousarray(dataset.queries[:half], np.float32)
    return known, replace(
        dataset, queries=dataset.queries[half:], neighbors=dataset.neighbors[half:],
        distances=dataset.distances[half:],
    )  # fmt: skip


def _recalls(
    spec: str, asked: Dataset, k: int, fit: int, known: Floats | None, seed: int
) -> tuple[int, Any]:
    """Bytes a row without its id, and the recall of each query, (nq,)."""
    index = index_factory(spec, metric=asked.metric, seed=seed)
    index.fit(asked.base[:fit], known)
    index.add(asked.base, threads=1)
    ids = index.search(asked.queries, k, threads=1).ids
    pairs = zip(ids[:, None], asked.neighbors[:, None, :k], strict=True)
    return index.bytes_per_row - ID_BYTES, np.array([recall(*pair, k) for pair in pairs])


def report(record: dict[str, Any]) -> str:
    """Recall of both and their difference, with its standard error over queries."""
    k = record["settings"]["k"]
    columns = [(heading.format(k=k), key) for heading, key in _COLUMNS]
    return table.render(columns, record["rows"])
