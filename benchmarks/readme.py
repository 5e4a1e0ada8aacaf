"""README's tables, made from the figures in results/ and put between markers of their names.

    <!-- table: NAME -->
    <!-- /table -->

A name is one of TABLES. Nothing stands between the markers of a table whose figures are not there.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import best
from benchmarks.results import RESULTS
from vqindex.evaluate import OperatingPoint, latest, read_points, report

README = Path(__file__).parents[1] / "README.md"
RUN = RESULTS / "run.jsonl"
_MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n)(.*?)(<!-- /table -->)", re.DOTALL)

WORDS, PHOTOS = "wordnet-minilm-384-angular", "photo-sift-128-euclidean"
SHOWN = ("exact", "EDEN4", "EDEN2", "EDEN1", "SAQ2", "SAQ1")  # of what retrieval compares
CODES = [  # library, index and set of each column
    ("vqindex", "SAQ{bits}", WORDS), ("vqindex", "EDEN{bits}", WORDS),
    ("FAISS", "RR,EDEN{bits}", WORDS), ("turbovec", "{bits}", WORDS),
    ("vqindex", "SAQ{bits}", PHOTOS), ("vqindex", "EDEN{bits}", PHOTOS),
    ("FAISS", "RR,EDEN{bits}", PHOTOS),
]  # fmt: skip


def filled(text: str) -> str:
    """A text with every marked table made anew; ValueError for a name that is not known."""

    def table(found: re.Match[str]) -> str:
        if found[2] not in TABLES:
            raise ValueError(f"a table must be one of {', '.join(TABLES)}, got {found[2]!r}.")
        return found[1] + TABLES[found[2]]() + found[4]

    return _MARKED.sub(table, text)


def write() -> int:
    """Make pictures and then tables anew where they differ; the exit code."""
    for path in best.draw(RUN):
        print(f"drew {path}")
    text = README.read_text(encoding="utf-8")
    if (new := filled(text)) != text:
        README.write_text(new, encoding="utf-8")
        print(f"wrote {README}")
    return 0


def check() -> int:
    """0 where write would change nothing and points have a table; else 1, and why is printed."""
    text = README.read_text(encoding="utf-8")
    old, new = ({found[2]: found[3] for found in _MARKED.finditer(t)} for t in (text, filled(text)))
    differing = [f"the table {name}" for name in new if new[name] != old[name]]
    differing += [f"the picture of {points[0].dataset}" for points in best.stale(RUN)]
    for what in differing:
        print(f"{what} is not that of results/: run python -m benchmarks readme")
    empty = RUN.exists() and not new.get("contest")
    if empty:
        print(f"{RUN} is there, and the table contest is empty or missing")
    return int(empty or bool(differing))


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A table whose first columns hold text and the others numbers."""
    rule = ["---" if i < texts else "---:" for i in range(len(header))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *rows))


def record(command: str, dataset: str | None = None) -> Mapping[str, Any] | None:
    """The last record of a command, on a set and with one thread and the CPU's own level if any."""
    path = RESULTS / f"{command}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [
        one
        for one in map(json.loads, lines)
        if dataset in (None, one.get("dataset", {}).get("name"))
        and (one.get("settings") or {}).get("threads", 1) == 1
        and (one.get("settings") or {}).get("level") is None
    ]
    return found[-1] if found else None


def flat() -> str:
    """Flat indexes on the large set, every row scored by its code."""
    points = [
        point
        for point in (latest(read_points(RUN)) if RUN.exists() else [])
        if point.dataset == WORDS and not point.parameters and "Rerank" not in point.spec
        if point.qps and point.threads == 1
    ]
    pairs: dict[tuple[str, str], list[OperatingPoint | None]] = {}
    for point in points:
        pair = pairs.setdefault((point.system, point.spec), [None, None])
        pair[point.batch == 1] = point
    header = ["library", "index", "bytes/row", "recall@10", "batch QPS", "single QPS", "build, s"]
    cells = []
    for (system, spec), pair in pairs.items():
        one = next(point for point in pair if point)
        rates = [f"{p.qps.median:,.0f}" if p and p.qps else "-" for p in pair]
        size, build = report.bytes_of(one), one.build_s
        cells.append(
            [
                system, f"{spec} bit" if spec.isdigit() else spec,
                "-" if size is None else f"{size:,.0f}", f"{one.recall['10']:.4f}", *rates,
                "-" if build is None else f"{build:.2f}",
            ]
        )  # fmt: skip
    return markdown(header, cells, texts=2) if cells else ""


def codes() -> str:
    """Recall of codes of 1, 2 and 4 bits, nothing reranked."""
    found = record("distortion")
    if found is None:
        return ""
    recalls = {
        (row["library"], row["index"], one["dataset"]["name"]): row["recall"]
        for one in found["sets"]
        for row in one["rows"]
    }
    header = [
        "bits", "MiniLM: `SAQ`", "`EDEN`", "FAISS EDEN", "turbovec", "SIFT: `SAQ`", "`EDEN`",
        "FAISS EDEN",
    ]  # fmt: skip
    rows = []
    for bits in (1, 2, 4):
        own = [recalls.get((lib, spec.format(bits=bits), name)) for lib, spec, name in CODES]
        rows.append([str(bits), *("-" if x is None else f"{x:.3f}" for x in own)])
    return markdown(header, rows, texts=0)


def retrieval() -> str:
    """What quantization costs those who ask questions."""
    found = record("retrieval", WORDS)
    if found is None:
        return ""
    header = ["index", "bytes/row", "recall@10", "MRR@10", "lost", "nDCG@10", "lost"]
    rows = [
        [f"`{row['index']}`" if row["index"] != "exact" else "exact search"]
        + [f"{row['bytes_per_row']:,}", f"{row['recall']:.3f}"]
        + [
            cell
            for name in ("reciprocal_rank", "ndcg")
            for cell in (f"{row[name]:.3f}", _lost(row[f"{name}_lost"], row[f"{name}_error"]))
        ]
        for row in found["rows"]
        if row["index"] in SHOWN
    ]
    return markdown(header, rows)


def _lost(mean: float, error: float) -> str:
    return f"{mean:.3f} ± {error:.3f}" if error else "-"


def contest() -> str:
    """Each system's best at three recalls, of `python -m benchmarks run`."""
    return best.tables(RUN, README.parent)


TABLES = {
    "contest": contest,
    "flat": flat,
    "codes": codes,
    "retrieval": retrieval,
}
