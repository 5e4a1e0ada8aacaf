"""What a search chooses its way by, measured: the constants of `indexes.probe` and `indexes.scan`.

Each way is timed by itself on the same index and queries; answers are the same. Where lists are
looked into, one query after another takes longer than all together by

    SCORED * rows scored + BOUNDED * rows bounded, a word of signs each - ONCE or TWICE

of which least squares over the cases give the four. In a flat index signs are worth while up to a
share of the rows that they leave, a word each: DENSE is where both ways take as long.
"""

import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import table
from vqindex import index_factory
from vqindex.datasets import Dataset
from vqindex.indexes import probe, scan
from vqindex.indexes.base import Index

CASES = Path(__file__).with_suffix(".toml")
K = 10
NAMES = ("SCORED", "BOUNDED", "ONCE", "TWICE")
_LISTS = (
    ("index", "index"), ("nprobe", "nprobe"), ("scored", "scored"), ("bounded", "bounded"),
    ("one by one, us", "one_us"), ("together, us", "other_us"), ("spared, us", "spared_us"),
    ("by constants", "expected_us"),
)  # fmt: skip
_FLAT = (
    ("index", "index"), ("share left a word", "share"), ("signs, us", "one_us"),
    ("multiplied, us", "other_us"), ("times as long", "ratio"),
)  # fmt: skip


def run(dataset: Dataset, *, seed: int = 0) -> dict[str, Any]:
    """Time both ways in every case of costs.toml on a dataset."""
    with CASES.open("rb") as file:
        cases = tomllib.load(file)
    queries = np.ascontiguousarray(dataset.queries[: cases["queries"]], np.float32)
    lists, flat = [], []
    for spec in (*cases["lists"], *cases["flat"]):
        print(f"{dataset.name}: {spec}", file=sys.stderr, flush=True)
        index = index_factory(spec, metric=dataset.metric, seed=seed)
        index.add(dataset.base)
        if spec in cases["flat"]:
            flat += _flat(index, queries, cases["rounds"])
        else:
            lists += [_lists(index, queries, n, cases["rounds"]) for n in cases["nprobes"]]
    known = {name: getattr(probe, name) for name in NAMES}
    return {
        "settings": {"seed": seed, "k": K, "queries": len(queries), "rounds": cases["rounds"]},
        "constants": known | {"DENSE": scan.DENSE},
        "measured": _fitted(lists),
        "lists": lists,
        "flat": sorted(flat, key=lambda row: row["share"]),
    }


def _lists(index: Index, queries: Any, nprobe: int, rounds: int) -> dict[str, Any]:
    """What looking into lists takes a query either way, and what it does."""
    ways = probe.Probe._one_by_one, probe.Probe._together
    place = probe.Probe, "_probe"
    (one, other), done, plan = _times(index, queries, place, ways, rounds, nprobe=nprobe)
    scored, bounded = (done[name] / len(queries) for name in ("scored", "bounded"))
    row = {
        "index": index.spec, "nprobe": nprobe, "twice": plan._at_once,
        "scored": plan._single * scored, "bounded": plan._words * bounded,
        "one_us": one, "other_us": other, "spared_us": one - other,
    }  # fmt: skip
    cost = probe.TWICE if row["twice"] else probe.ONCE
    spared = probe.SCORED * row["scored"] + probe.BOUNDED * row["bounded"] - cost
    return row | {"expected_us": spared / 1e3}


def _flat(index: Index, queries: Any, rounds: int) -> list[dict[str, Any]]:
    """What a search of all rows takes a query by signs and multiplied, and the rows signs leave.

    Nothing where signs bound no score.
    """
    ways = scan.Scan._signed, scan.Scan._multiplied
    (one, other), done, plan = _times(index, queries, (scan.Scan, "_many"), ways, rounds)
    if not plan._words:
        return []
    share = plan._single * done["scored"] / len(queries) / len(index) / plan._words
    return [{
        "index": index.spec, "share": share,
        "one_us": one, "other_us": other, "ratio": one / other,
    }]  # fmt: skip


def _times(
    index: Index, queries: Any, way: tuple[Any, str], ways: Any, rounds: int, **settings: Any
) -> tuple[list[float], dict[str, Any], Any]:
    """Microseconds a query of each way, the best of rounds; what the first did; the search's plan.

    way   the class and the name of the method that the ways take the place of
    """
    best, done = [np.inf] * len(ways), [{}] * len(ways)
    for turn in range(rounds + 1):
        for i, each in enumerate(ways):
            with _only(*way, each):
                start = time.perf_counter()
                done[i] = index.search(queries, K, threads=1, **settings).stats
                taken = (time.perf_counter() - start) / len(queries) * 1e6
            best[i] = min(best[i], taken) if turn else np.inf  # the first may compile
    return best, done[0], next(reversed(index._plans.values()))


@contextmanager
def _only(kind: Any, name: str, way: Any) -> Iterator[None]:
    """Have searches take one way."""
    before = getattr(kind, name)
    setattr(kind, name, way)
    try:
        yield
    finally:
        setattr(kind, name, before)


def _fitted(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """The constants of NAMES that least squares give, in ns; None where no case tells."""
    features = np.array([[r["scored"], r["bounded"], -(not r["twice"]), -r["twice"]] for r in rows])
    found = np.linalg.lstsq(features, np.array([1e3 * r["spared_us"] for r in rows]), rcond=None)[0]
    told = features.any(axis=0)
    return {n: float(f) if t else None for n, f, t in zip(NAMES, found, told, strict=True)}


def report(record: dict[str, Any]) -> str:
    """Both ways in every case, and the constants as measured beside those in use."""
    known, found = record["constants"], record["measured"]
    both = [{"name": n, "used": known[n], "measured": found[n]} for n in NAMES]
    columns = (("ns", "name"), ("in use", "used"), ("measured", "measured"))
    parts = [table.render(_LISTS, record["lists"]), table.render(columns, both)]
    parts.append(f"{table.render(_FLAT, record['flat'])}\nDENSE in use: {known['DENSE']:g}")
    return "\n\n".join(parts)
