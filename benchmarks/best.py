"""Each system's best at the same recall, as README has it: tables, and a picture of each set."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from vqindex.evaluate import OperatingPoint, latest, read_points, report

TARGETS = (0.90, 0.95, 0.99)
HEADER = (
    "recall@10", "library", "index", "one a call, QPS", "all in a call, QPS", "bytes/row",
    "build, s",
)  # fmt: skip
INTRO = """\
Each library's best at the same recall: its fastest point that finds as much, "-" where none of the
settings measured does (`python -m benchmarks run full` and `run million`, kept in
`benchmarks/results/run.jsonl`; `python -m benchmarks report` draws them all):
"""


def tables(path: Path, root: Path) -> str:
    """Markdown of the points in a file: a table and a picture for each set; none without the file.

    Of those with the fewest threads. Pictures, which `draw` makes, lie beside the file; links are
    relative to root.
    """
    parts: list[str] = []
    for points in _sets(path):
        parts = parts or [INTRO]
        about = points[0]
        parts.append(
            f"{about.dataset}, {about.n:,} x {about.dim}, {about.metric}, "
            f"{about.threads} thread{'s' * (about.threads > 1)}:\n\n{table(points)}"
        )
        picture = picture_of(path, about.dataset)
        if picture.exists():
            name = picture.relative_to(root).as_posix()
            parts.append(f"![Recall, speed and memory on {about.dataset}]({name})\n")
    return "\n".join(parts)


def _sets(path: Path) -> Iterable[Sequence[OperatingPoint]]:
    """The points of each set with its fewest threads."""
    points = latest(read_points(path)) if path.exists() else []
    points.sort(key=lambda point: (-point.n, point.dataset))
    for _, own in groupby(points, key=lambda point: (point.dataset, point.dataset_hash)):
        every = list(own)
        fewest = min(point.threads for point in every)
        yield [point for point in every if point.threads == fewest]


def table(points: Sequence[OperatingPoint]) -> str:
    """At each recall every system by its best rates; "-" where it does not get there.

    Best is the fastest point measured that finds as much. Where that is of one index for one query
    a call and of another for many, both are named, and their bytes and seconds too.
    """
    lines = [HEADER, ("---:", "---", "---", "---:", "---:", "---:", "---:")]
    for target in TARGETS:
        rows = [(_best(points, system, target), system) for system in _systems(points)]
        rows.sort(key=lambda row: -max((p.qps.median for p in row[0] if p and p.qps), default=0))
        lines += [_line(target, system, best) for best, system in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _systems(points: Iterable[OperatingPoint]) -> list[str]:
    return list(dict.fromkeys(point.system for point in points))


Best = tuple[OperatingPoint | None, OperatingPoint | None]


def _best(points: Iterable[OperatingPoint], system: str, target: float) -> Best:
    """The fastest point of a system for one query a call, and for many."""
    enough = [
        point
        for point in points
        if point.system == system and point.qps and point.recall.get("10", 0) >= target
    ]
    one, many = ([p for p in enough if (p.batch == 1) is alone] for alone in (True, False))

    def rate(point: OperatingPoint) -> float:
        return point.qps.median if point.qps else 0.0

    return max(one, key=rate, default=None), max(many, key=rate, default=None)


def _line(target: float, system: str, best: Best) -> tuple[str, ...]:
    there = list({point.spec: point for point in best if point}.values())

    def joined(cells: Iterable[str]) -> str:
        return " / ".join(cells) or "-"

    def each(values: Iterable[float | None], form: str) -> str:
        return joined("-" if value is None else format(value, form) for value in values)

    rates = (format(p.qps.median, ",.0f") if p and p.qps else "-" for p in best)
    specs = joined(f"`{point.spec}`" for point in there)
    return (
        f"{target:.2f}", system, specs, *rates, each(map(report.bytes_of, there), ",.0f"),
        each((point.build_s for point in there), ",.1f"),
    )  # fmt: skip


def picture_of(path: Path, dataset: str) -> Path:
    """Where the picture of a set lies: beside the file of its points."""
    return path.with_name(f"{path.stem}-{dataset}.png")


def draw(path: Path) -> list[Path]:
    """Draw the picture of each set of which points are newer than it; those that were drawn.

    A picture holds the digest of its points, so that `stale` tells whether it still shows them.
    ImportError without matplotlib.
    """
    drawn = []
    for points in stale(path):
        target = picture_of(path, points[0].dataset)
        done = [point for point in points if point.failed is None and point.qps]
        figure = report.draw(done)
        figure.savefig(target, format="png", metadata={"Description": _digest(points)})
        drawn.append(target)
    return drawn


def stale(path: Path) -> list[Sequence[OperatingPoint]]:
    """The points of each set whose picture shows others, or is missing."""
    return [
        points
        for points in _sets(path)
        if any(point.qps for point in points) and not _shows(path, points)
    ]


def _shows(path: Path, points: Sequence[OperatingPoint]) -> bool:
    picture = picture_of(path, points[0].dataset)
    return picture.exists() and _digest(points).encode() in picture.read_bytes()


def _digest(points: Iterable[OperatingPoint]) -> str:
    return hashlib.sha256("\n".join(point.to_json() for point in points).encode()).hexdigest()
