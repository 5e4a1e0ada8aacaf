"""Two results beside each other: ratios of speed, and how much of them is noise.

For reviews, never for pass or fail. A ratio's noise is the standard error of both medians, from the
quartiles of their rounds, and how far the ratios of peers of the same version stray from their
mean: nothing but the machine has changed them. So that mean, not 1, is what a ratio is judged by.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean, stdev
from typing import Any

from benchmarks import table
from vqindex.evaluate import OperatingPoint, Speed, latest, read_points

OURS = "vqindex"
_SURE = 3.0  # standard errors beyond which a ratio is marked
_QUARTILES = 1.349  # between those of a normal distribution, in standard deviations
_MEDIAN = math.sqrt(math.pi / 2)  # its standard error over that of the mean, likewise
_COLUMNS = (
    ("dataset", "dataset"), ("system", "system"), ("index", "spec"), ("search", "parameters"),
    ("threads", "threads"), ("batch", "batch"), ("QPS", "old"), ("new", "new"), ("x", "ratio"),
    ("+-", "noise"), ("", "mark"), ("R@10 +", "recall"), ("build x", "build"),
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A point, and the same measured anew."""

    old: OperatingPoint
    new: OperatingPoint

    @property
    def ratio(self) -> float:
        """Median speed over the older one."""
        return _speed(self.new).median / _speed(self.old).median

    @property
    def error(self) -> float:
        """The standard error of the ratio, as a share of it."""
        return math.hypot(*(_relative_error(_speed(p)) for p in (self.old, self.new)))


def read(old: str, new: str) -> list[Pair]:
    """The points that both files have; of a single file, the last two measurements of each."""
    if old == new:
        before: dict[Any, list[OperatingPoint]] = {}
        for point in _measured(read_points(old)):
            before.setdefault(point.key, []).append(point)
        return [Pair(*points[-2:]) for points in before.values() if len(points) > 1]
    olds = {point.key: point for point in latest(_measured(read_points(old)))}
    news = latest(_measured(read_points(new)))
    return [Pair(olds[point.key], point) for point in news if point.key in olds]


def _measured(points: Iterable[OperatingPoint]) -> list[OperatingPoint]:
    return [point for point in points if point.failed is None]


def report(pairs: Sequence[Pair]) -> str:
    """A line for each pair, and what peers did; "*" where a ratio is beyond noise of that."""
    if not pairs:
        return "no point is in both"
    ours = [pair.ratio for pair in pairs if pair.old.system == OURS]
    peers = [pair.ratio for pair in pairs if pair.old.system != OURS and _same_version(pair)]
    stray = stdev(map(math.log, peers)) if len(peers) > 1 else 0.0
    drift = geometric_mean(peers) if peers else 1.0
    lines = [table.render(_COLUMNS, [_row(pair, drift, stray) for pair in pairs])]
    if peers:
        told = f"x {drift:.3f} on average, each +- {stray:.3f}"
        lines.append(f"peers of the same version, {len(peers)} points: {told}")
        if ours:
            lines.append(f"{OURS} over them: x {geometric_mean(ours) / drift:.3f} on average")
    return "\n".join(lines)


def _same_version(pair: Pair) -> bool:
    return pair.old.version == pair.new.version


def _row(pair: Pair, drift: float, stray: float) -> dict[str, Any]:
    old, new = pair.old, pair.new
    built = old.build_s and new.build_s
    noise = pair.ratio * math.hypot(pair.error, stray)
    return {
        "dataset": old.dataset, "system": old.system, "spec": old.spec,
        "parameters": " ".join(f"{name}={value}" for name, value in old.parameters.items()),
        "threads": old.threads, "batch": old.batch, "old": _speed(old).median,
        "new": _speed(new).median, "ratio": pair.ratio, "noise": noise,
        "mark": "*" if abs(pair.ratio - drift) > _SURE * noise else "",
        "recall": f"{new.recall['10'] - old.recall['10']:+.4f}" if "10" in old.recall else None,
        "build": new.build_s / old.build_s if built else None,  # type: ignore[operator]
    }  # fmt: skip


def _speed(point: OperatingPoint) -> Speed:
    if point.qps is None:
        raise ValueError(f"{point.system} {point.spec} has no speed: {point.failed}")
    return point.qps


def _relative_error(speed: Speed) -> float:
    deviation = (speed.high - speed.low) / _QUARTILES
    return _MEDIAN * deviation / math.sqrt(speed.rounds) / speed.median
