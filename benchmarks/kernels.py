"""What this machine allows, and every scan kernel beside that: bandwidth, products, searches.

See kernels.toml for the cases, `ceilings` and `scans` for what is timed.
"""

import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import ceilings, stopwatch, table
from benchmarks.scans import MEASURES, K, Work, hold
from benchmarks.stopwatch import Rate
from vqindex import warmup

CASES = Path(__file__).with_suffix(".toml")
_READING = (
    ("kernel", "kernel"),
    ("index", "index"),
    ("d", "d"),
    ("rows", "n"),
    ("in", "where"),
    ("MB", "mb"),
    ("GB/s", "gb_s"),
    ("best", "best_gb_s"),
    ("spread", "spread"),
    ("% of stream", "percent"),
    ("million rows/s", "rows_s"),
)
_LINE = ("kernel", "index", "d", "n", "where")


def run() -> dict[str, Any]:
    """Measure the ceilings and every case of kernels.toml, all in alternation."""
    with CASES.open("rb") as file:
        cases = tomllib.load(file)
    warmup()
    limits = ceilings.every(cases["sets"])
    works = [work for group in cases["group"] for work in works_of(group, cases["spec"])]
    calls = [limit.call for limit in limits] + [work.call for _, work in works]
    rates = stopwatch.rates(calls, cases["seconds"], cases["rounds"], _tell)
    allowed = [limit.figures(rate) for limit, rate in zip(limits, rates, strict=False)]
    rows = [
        row_of(what, work, rate, allowed)
        for (what, work), rate in zip(works, rates[len(limits) :], strict=True)
    ]
    settings = {name: cases[name] for name in ("seconds", "rounds")} | {"threads": 1, "k": K}
    return {"settings": settings, "ceilings": allowed, "rows": rows}


def works_of(group: dict[str, Any], spec: str) -> Iterator[tuple[dict[str, Any], Work]]:
    """What is to be timed of one group of the cases, and what it is."""
    batches = {name: group[name] for name in MEASURES if name in group}
    size, most = int(1e6 * group["megabytes"]), max(map(max, batches.values()))
    for d, bits in product(group["dims"], group["bits"]):
        held = hold(spec.format(b=bits), d, group["rows"], size, most)
        what = {"index": held.index.spec, "d": d, "n": len(held.index), "where": group["where"]}
        _tell(f"{', '.join(batches)}: {what['index']}, {what['n']:,} rows of {d}")
        for name, batch in [(name, batch) for name, some in batches.items() for batch in some]:
            work = MEASURES[name](replace(held, queries=held.queries[:batch]))
            yield {"kernel": name} | what | {"batch": batch}, work


def row_of(
    what: dict[str, Any], work: Work, rate: Rate, allowed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What was done, how long it took, and the best as per cent of the best of its ceiling.

    That is the ceiling of products, or of bytes where a kernel makes none.
    """
    if work.macs:
        amount, ceiling = work.macs, ceilings.dot_ceiling(allowed)
    else:
        amount, ceiling = work.bytes, ceilings.stream_ceiling(allowed, work.bytes)
    return what | {
        "bytes": work.bytes,
        "macs": work.macs,
        "median_s": 1 / rate.median,
        "best_s": 1 / rate.best,
        "spread": rate.spread,
        "percent": 100 * amount * rate.best / 1e9 / ceiling,
    }


def report(record: Mapping[str, Any]) -> str:
    """The ceilings, the kernels that read codes, those that multiply, and searches."""
    reading = [_read(row) for row in record["rows"] if not row["macs"]]
    products = [row for row in record["rows"] if row["macs"]]
    searches = [row for row in products if row["kernel"].startswith("search")]
    return "\n\n".join(
        f"{title}\n{text}"
        for title, text in (
            ("Ceilings", ceilings.report(record["ceilings"])),
            ("Codes read for one query or decoded", table.render(_READING, reading)),
            ("GMAC/s by batch, % of the dot ceiling", _by_batch(products, _gmac)),
            ("Queries a second by batch", _by_batch(searches, _qps)),
        )
    )


def _read(row: Mapping[str, Any]) -> dict[str, Any]:
    return dict(row) | {
        "mb": row["bytes"] / 1e6,
        "gb_s": row["bytes"] / row["median_s"] / 1e9,
        "best_gb_s": row["bytes"] / row["best_s"] / 1e9,
        "rows_s": row["n"] / row["median_s"] / 1e6,
    }


def _gmac(row: Mapping[str, Any]) -> dict[str, float]:
    return {str(row["batch"]): row["macs"] / row["median_s"] / 1e9, "%": row["percent"]}


def _qps(row: Mapping[str, Any]) -> dict[str, float]:
    return {str(row["batch"]): row["batch"] / row["median_s"]}


def _by_batch(
    rows: Iterable[Mapping[str, Any]], figures: Callable[[Mapping[str, Any]], dict[str, float]]
) -> str:
    """A line for each kernel and index, some columns for each batch, and the largest spread."""
    lines: dict[tuple[Any, ...], dict[str, Any]] = {}
    columns: dict[str, str] = {}
    for row in rows:
        key = tuple(row[name] for name in _LINE)
        line = lines.setdefault(key, dict(zip(_LINE, key, strict=True)) | {"spread": 0.0})
        for heading, value in figures(row).items():
            line[f"{row['batch']} {heading}"] = value
            columns[f"{row['batch']} {heading}"] = heading
        line["spread"] = max(line["spread"], row["spread"])
    places = [(name, name) for name in _LINE] + [(text, key) for key, text in columns.items()]
    missing = dict.fromkeys(columns)
    return table.render(
        [*places, ("spread", "spread")], [missing | line for line in lines.values()]
    )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
