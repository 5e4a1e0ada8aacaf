"""The document store: adding beside SQLite alone, searches beside its own index, recall, memory.

SQLite alone writes the same ids, texts, metadata and vectors to one table, in transactions of as
many rows and with the same settings, and is closed as well, so the ratio is what checking and the
index cost. The two take turns; `CPU` is what the process itself took, where waiting for the disk
and for other processes does not count.
"""

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks import stopwatch, table
from vqindex.datasets import Dataset
from vqindex.evaluate import recall
from vqindex.store import VectorStore

SETTINGS = {"batch": 1000, "k": 10, "singles": 100, "seconds": 2.0, "rounds": 3}
FILTER = {"field": "meta.decade", "op": "==", "value": 3}  # a tenth of the rows
ADDING = (
    ("adding", "what"), ("seconds", "seconds"), ("rows/s", "rows_s"), ("x SQLite", "ratio"),
    ("CPU s", "cpu_s"), ("x SQLite's CPU", "cpu_ratio"),
)  # fmt: skip
ASKING = (("asking", "what"), ("QPS", "qps"), ("spread", "spread"), ("recall@10", "recall"))


def run(dataset: Dataset, *, rounds: int) -> dict[str, Any]:
    """Add a dataset to stores in folders of their own, and search the last of them."""
    base = np.ascontiguousarray(dataset.base, np.float32)
    queries = np.ascontiguousarray(dataset.queries, np.float32)
    warm_up(base[:5000], dataset.metric)
    alone, ours = [], []
    with TemporaryDirectory() as folder:
        for i in range(rounds):
            alone.append(insert(Path(folder, f"plain-{i}"), base))
            ours.append(add(Path(folder, f"store-{i}"), base, dataset.metric))
        start = time.perf_counter()
        with VectorStore(Path(folder, f"store-{rounds - 1}")) as store:
            store.search(queries[0])
            opened = time.perf_counter() - start
            info = store.info()
            asking = ask(store, queries, dataset.neighbors)
    plain, plain_cpu = np.median(alone, axis=0).tolist()
    adding = [
        {
            "what": name, "seconds": seconds, "rows_s": len(base) / seconds,
            "ratio": seconds / plain, "cpu_s": cpu, "cpu_ratio": cpu / plain_cpu,
        }
        for name, (seconds, cpu) in (
            ("SQLite alone", (plain, plain_cpu)), ("VectorStore", np.median(ours, axis=0).tolist())
        )
    ]  # fmt: skip
    return {
        "settings": SETTINGS | {"rounds": rounds, "threads": 1},
        "adding": adding, "asking": asking, "open_s": opened, "index": info["index"],
        "memory_share": info["memory_bytes"] / base.nbytes,
        "database_bytes": info["database_bytes"],
    }  # fmt: skip


def warm_up(base: Any, metric: str) -> None:
    """Compile whatever a store uses."""
    with VectorStore(metric=metric) as store:
        store.add([str(i) for i in range(len(base))], base)
        store.search(base[0])


def documents(start: int, stop: int) -> tuple[list[str], list[str], list[dict[str, Any]]]:
    """Ids, texts of some 100 characters and metadata."""
    rows = range(start, stop)
    texts = [f"Entry {i} of a collection, as long as a sentence or two may be. " * 2 for i in rows]
    return [f"doc-{i}" for i in rows], texts, [{"n": i, "decade": i % 10} for i in rows]


class Stopwatch:
    """Seconds, on the wall and of the CPU, of the blocks that it is entered for."""

    def __init__(self) -> None:
        self.seconds = np.zeros(2)

    def __enter__(self) -> None:
        self._began = np.array([time.perf_counter(), time.process_time()])

    def __exit__(self, *error: object) -> None:
        self.seconds += np.array([time.perf_counter(), time.process_time()]) - self._began


def insert(path: Path, base: Any) -> Any:
    """Seconds that SQLite alone takes, and those of the CPU (2,)."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("page_size = 8192", "journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(
        "CREATE TABLE documents(id TEXT PRIMARY KEY, text TEXT, metadata TEXT, vector BLOB)"
    )
    watch = Stopwatch()
    for start in range(0, len(base), SETTINGS["batch"]):
        part = base[start : start + SETTINGS["batch"]]
        ids, texts, metadata = documents(start, start + len(part))
        with watch:
            several = zip(ids, texts, map(json.dumps, metadata), map(bytes, part), strict=True)
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", several)
            connection.execute("COMMIT")
    with watch:
        connection.close()
    return watch.seconds


def add(path: Path, base: Any, metric: str) -> Any:
    """Seconds that a store takes, its index and the saving of it included, and the CPU's (2,)."""
    watch, store = Stopwatch(), VectorStore(path, metric=metric)
    for start in range(0, len(base), SETTINGS["batch"]):
        part = base[start : start + SETTINGS["batch"]]
        ids, texts, metadata = documents(start, start + len(part))
        with watch:
            store.add(ids, part, texts, metadata)
    with watch:
        store.close()
    return watch.seconds


def ask(store: VectorStore, queries: Any, truth: Any) -> list[dict[str, Any]]:
    """Queries a second one by one, filtered, together, and of the index without its store."""
    k, singles = SETTINGS["k"], queries[: SETTINGS["singles"]]
    codes = store._keeper.mirror.codes
    calls = {
        "one by one": partial(each, partial(store.search, k=k), singles),
        "one by one, a tenth allowed": partial(
            each, partial(store.search, k=k, where=FILTER), singles
        ),
        "one by one, by codes alone": partial(
            each, partial(store.search, k=k, rerank=False), singles
        ),
        "together": partial(store.search_batch, singles, k),
    }
    if codes is not None:
        calls["the index alone, k=28"] = partial(each, partial(codes.search, k=28), singles)
    found = stopwatch.rates(
        list(calls.values()), SETTINGS["seconds"], SETTINGS["rounds"], lambda text: None
    )
    shares = {"one by one": True, "one by one, by codes alone": False}
    return [
        {
            "what": name,
            "qps": len(singles) * rate.median,
            "spread": rate.spread,
            "recall": found_share(store, queries, truth, shares[name]) if name in shares else None,
        }
        for name, rate in zip(calls, found, strict=True)
    ]


def each(search: Any, queries: Any) -> None:
    """One query a call."""
    for query in queries:
        search(query)


def found_share(store: VectorStore, queries: Any, truth: Any, rerank: bool) -> float:
    """Recall of all queries."""
    k = SETTINGS["k"]
    hits = store.search_batch(queries, k, rerank=rerank)
    ids = np.array([[int(hit.document.id[4:]) for hit in one] for one in hits])
    return float(recall(ids, truth, k))


def report(record: Mapping[str, Any]) -> str:
    """The record as tables."""
    adding: Sequence[dict[str, Any]] = record["adding"]
    lines = [table.render(ADDING, adding), "", table.render(ASKING, record["asking"]), ""]
    share, opened = record["memory_share"], record["open_s"]
    lines.append(
        f"index {record['index']}: {share:.1%} of the float32 vectors' memory; "
        f"opened and asked in {opened:.2f} s"
    )
    return "\n".join(lines)
