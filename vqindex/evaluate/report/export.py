"""Operating points as CSV, in the columns that ann-benchmarks' data_export.py writes."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from vqindex.evaluate.record import PERCENTILES, OperatingPoint

MILLI, KILO = 1e3, 1024


def csv_text(points: Sequence[OperatingPoint]) -> str:
    """A line for each point that was measured, under a heading.

    First ann-benchmarks' columns, in its units: k-nn is recall by distance at k, qps that of the
    best round, percentiles in milliseconds, indexsize in KiB, queriessize the same over qps. Its
    epsilon, rel and distcomps are not measured here and not written. Then ours: see
    `OperatingPoint`; recall is by set overlap and qps_median what our own tables have.
    """
    rows = [_theirs(point) | _ours(point) for point in points if point.failed is None]
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue()


def _theirs(point: OperatingPoint) -> dict[str, Any]:
    best = point.qps.best if point.qps else None
    size = None if point.bytes_per_row is None else point.n * point.bytes_per_row / KILO
    late = {name: getattr(point.latency, name, None) for name in PERCENTILES}
    return {
        "algorithm": point.system,
        "parameters": f"{point.spec} {json.dumps(point.parameters)}",
        "count": point.k,
        "k-nn": point.recall_by_distance.get(str(point.k)),
        "qps": best,
        **{name: None if s is None else MILLI * s for name, s in late.items()},
        "build": point.build_s,
        "indexsize": size,
        "queriessize": size / best if size is not None and best else None,
        "dataset": point.dataset,
    }


def _ours(point: OperatingPoint) -> dict[str, Any]:
    return {
        "spec": point.spec,
        "recall": point.recall.get(str(point.k)),
        "qps_median": point.qps.median if point.qps else None,
        "threads": point.threads,
        "batch": point.batch,
        "train_s": point.train_s,
        "bytes_per_row": point.bytes_per_row,
        "file_bytes": point.file_bytes,
        "peak_bytes": point.peak_bytes,
        "version": point.version,
        "seed": point.seed,
        "when": point.when,
        "dataset_hash": point.dataset_hash,
        "command": point.command,
    }
