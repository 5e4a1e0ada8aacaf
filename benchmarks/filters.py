"""What filters cost: microseconds a query by the share of rows that may be found.

Rows are allowed at random, the same of all queries, by a mask. Each time is told beside that of
the same search without a filter, which is timed in alternation with those that have one.
"""

import tomllib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import stopwatch, table
from vqindex import FlatIndex, index_factory
from vqindex.datasets import Dataset

CASES = Path(__file__).with_suffix(".toml")
_COLUMNS = (
    ("index", "index"),
    ("k", "k"),
    ("share", "share"),
    ("allowed", "allowed"),
    ("batch us", "batch_us"),
    ("x unfiltered", "batch_ratio"),
    ("single us", "single_us"),
    ("x unfiltered", "single_ratio"),
    ("spread", "spread"),
)
Filter = npt.NDArray[np.bool_] | None


def run(dataset: Dataset, *, seed: int = 0) -> dict[str, Any]:
    """Time every case of filters.toml on a dataset, with one thread."""
    with CASES.open("rb") as file:
        cases = tomllib.load(file)
    specs, ks = cases.pop("specs"), cases.pop("ks")
    rows = []
    for spec in specs:
        index = index_factory(spec, metric=dataset.metric, seed=seed)
        index.add(dataset.base)
        for k in ks:
            rows += times(index, np.asarray(dataset.queries), k, cases, seed)
    return {"settings": cases | {"seed": seed, "threads": 1}, "rows": rows}


def times(
    index: FlatIndex, queries: Any, k: int, case: Mapping[str, Any], seed: int
) -> list[dict[str, Any]]:
    """A row without a filter, and one for each share, of queries (nq, d) together and alone.

    case   `shares` of rows, `singles` queries to ask alone, `seconds` and `rounds` of each time
    """
    shares: list[float | None] = [None, *case["shares"]]
    filters = [mask(len(index), share, seed) for share in shares]
    alone = queries[: case["singles"]]
    calls = [partial(ask_all, index, queries, k, chosen) for chosen in filters]
    calls += [partial(ask_each, index, alone, k, chosen) for chosen in filters]
    found = stopwatch.rates(calls, case["seconds"], case["rounds"], lambda text: None)
    batch, single = found[: len(shares)], found[len(shares) :]
    return [
        {
            "index": index.spec,
            "k": k,
            "share": share,
            "allowed": len(index) if chosen is None else int(chosen.sum()),
            "batch_us": 1e6 / (together.median * len(queries)),
            "single_us": 1e6 / (one.median * len(alone)),
            "batch_ratio": batch[0].median / together.median,
            "single_ratio": single[0].median / one.median,
            "spread": max(together.spread, one.spread),
        }
        for share, chosen, together, one in zip(shares, filters, batch, single, strict=True)
    ]


def mask(n: int, share: float | None, seed: int) -> Filter:
    """True for round(share * n) rows at random, at least one; None for no filter."""
    if share is None:
        return None
    allowed = np.zeros(n, bool)
    allowed[np.random.default_rng(seed).permutation(n)[: max(1, round(share * n))]] = True
    return allowed


def ask_all(index: FlatIndex, queries: Any, k: int, chosen: Filter) -> None:
    """All queries in one call."""
    index.search(queries, k, filter=chosen, threads=1)


def ask_each(index: FlatIndex, queries: Any, k: int, chosen: Filter) -> None:
    """One query a call."""
    for query in queries:
        index.search(query, k, filter=chosen, threads=1)


def report(record: Mapping[str, Any]) -> str:
    """The record as a table."""
    rows: Sequence[dict[str, Any]] = record["rows"]
    return table.render(_COLUMNS, rows)
