"""The record of an operating point: one system on one dataset at one choice of settings.

Records are kept as lines of JSON, each whole in itself, so that files can be appended to, cut and
joined. What draws or compares results reads nothing else.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from os import PathLike
from pathlib import Path
from statistics import median
from typing import Any, final

import numpy as np

from vqindex.errors import CorruptFileError

_LOG = logging.getLogger(__name__)
PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
FEWEST_FOR_P999 = 10_000


@final
@dataclass(frozen=True, kw_only=True)
class Speed:
    """Queries per second over several rounds: the fastest, the middle one, and quartiles."""

    best: float
    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, rates: Sequence[float]) -> "Speed":
        """From the rate of each round; low and high are the first and third quartile."""
        low, high = np.percentile(rates, [25, 75]).tolist()
        return cls(best=max(rates), median=median(rates), low=low, high=high, rounds=len(rates))


@final
@dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds that single queries took: percentiles over all of them, in all rounds.

    p999   None of fewer than 10,000 queries: a tail of less than ten is chance
    """

    p50: float
    p95: float
    p99: float
    p999: float | None

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        """From the seconds of each query; between two of them linearly."""
        p50, p95, p99, p999 = np.percentile(seconds, [*PERCENTILES.values()]).tolist()
        enough = len(seconds) >= FEWEST_FOR_P999
        return cls(p50=p50, p95=p95, p99=p99, p999=p999 if enough else None)


@final
@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """What was measured, how, and what came out; None where there is no such figure.

    dataset, dataset_hash     name, and the SHA-256 of rows, queries and true neighbours
    n, dim, metric            rows, dimension, and "l2", "ip" or "cosine"
    system, version           the library measured, as "vqindex" or "FAISS", and its version
    spec                      what was built: a factory string of ours or of FAISS, or one alike
    parameters                what was searched with, as {"nprobe": 16}
    threads                   of the build and of each search
    batch                     queries in one call; 1 is a single query
    k                         neighbours asked for
    recall                    by "1", "10", "100" and k: share of the true neighbours found. Of the
                              search for k where it is no more than k, else of a search for as many
    recall_by_distance        likewise by ann-benchmarks' rule: all that is found within the
                              distance of the last true neighbour, plus 0.001, counts
    qps, latency              see Speed and Latency; latency where batch is 1
    build_s, train_s          seconds to train on all rows and add them, and the training's part,
                              0 where the library builds in one step
    bytes_per_row             what each row costs in memory as the library reports it
    file_bytes                size of the whole saved index
    peak_bytes                memory that building took at its most, the rows given not counted
    stages                    rows of a query that each stage of the search looked at, mean
    protocol                  how it was timed, as {"rounds": 5, "singles": 300, "heat": "flat"}; {}
                              in lines that were written before there was this field
    seed, machine, command    what is needed to measure again: CPU, flags, versions, commit, load
    failed                    why there are no figures, else None
    when                      UTC, ISO 8601
    """

    dataset: str
    dataset_hash: str
    n: int
    dim: int
    metric: str
    system: str
    version: str | None
    spec: str
    parameters: Mapping[str, Any]
    threads: int
    batch: int
    k: int
    recall: Mapping[str, float]
    recall_by_distance: Mapping[str, float]
    qps: Speed | None
    latency: Latency | None
    build_s: float | None
    train_s: float | None
    bytes_per_row: float | None
    file_bytes: int | None
    peak_bytes: int | None
    stages: Mapping[str, float]
    seed: int
    machine: Mapping[str, Any]
    command: str
    failed: str | None
    when: str
    protocol: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[Any, ...]:
        """What was to be measured: of points with equal keys the later one is the same anew."""
        parameters = json.dumps(dict(self.parameters), sort_keys=True)
        return (
            self.dataset, self.dataset_hash, self.system, self.spec, parameters, self.threads,
            self.batch, self.k, self.seed,
        )  # fmt: skip

    @property
    def origin(self) -> tuple[Any, ...]:
        """Commit, CPU and its level: speeds of one origin can be compared."""
        names = ("commit", "cpu", "cpu_level", "level")
        return tuple(self.machine.get(name) for name in names)

    def to_json(self) -> str:
        """One line, without its end."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "OperatingPoint":
        """The point of a line; CorruptFileError unless it has every field and no other.

        An older line may lack `protocol`.
        """
        try:
            values = json.loads(line)
        except ValueError as error:
            raise CorruptFileError(f"a point must be one line of JSON, got {error}") from error
        names = {one.name for one in fields(cls)}
        found = {"protocol", *(values if isinstance(values, dict) else ())}
        if found != names:
            raise CorruptFileError(
                f"a point must have the fields of OperatingPoint; {sorted(names - found)} are "
                f"missing, {sorted(found - names)} are unknown"
            )
        try:
            for name, kind in (("qps", Speed), ("latency", Latency)):
                values[name] = None if values[name] is None else kind(**values[name])
        except TypeError as error:
            raise CorruptFileError(f"a point's qps or latency is not whole: {error}") from error
        return cls(**values)


def read_points(path: str | PathLike[str]) -> list[OperatingPoint]:
    """The points in a file of JSON lines; CorruptFileError names the line that is none.

    A last line that breaks off is left out, with a warning to the log.
    """
    points = []
    text = Path(path).read_bytes()
    lines = text[: _whole(path, text)].decode("utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            points.append(OperatingPoint.from_json(line))
        except CorruptFileError as error:
            raise CorruptFileError(f"{path}, line {number}: {error}") from error
    return points


def latest(points: Iterable[OperatingPoint]) -> list[OperatingPoint]:
    """The last one of every key, in the order in which keys first came.

    Speeds from different origins cannot be compared. So of each set and number of threads only
    points of the origin that came last are there; what that leaves out is told by a warning to the
    log.
    """
    points = list(points)
    origins = {_field(point): point.origin for point in points}
    kept = {point.key: point for point in points if point.origin == origins[_field(point)]}
    left = {point.key: point for point in points if point.key not in kept}
    for dataset, threads in dict.fromkeys((p.dataset, p.threads) for p in left.values()):
        _LOG.warning(
            "%s, threads %d: points of another commit, CPU or level than the last are left out, "
            "of %s", dataset, threads,
            ", ".join(sorted({p.system for p in left.values() if p.dataset == dataset})),
        )  # fmt: skip
    return list(kept.values())


def _field(point: OperatingPoint) -> tuple[Any, ...]:
    return point.dataset, point.dataset_hash, point.threads


def append_points(path: str | PathLike[str], points: Iterable[OperatingPoint]) -> None:
    """Add points to a file of JSON lines, which is made if it is not there, folder and all.

    All in one write. An unfinished last line, see `read_points`, is cut off before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0)
        before = file.read()
        whole = _whole(path, before)
        file.truncate(whole)
        ended = whole == 0 or before[:whole].endswith(b"\n")
        lines = "".join(f"{point.to_json()}\n" for point in points)
        file.write(("" if ended else "\n").encode() + lines.encode())


def _whole(path: str | PathLike[str], text: bytes) -> int:
    """Bytes of a file up to what a kill or a full disk left of a last line."""
    end = text.rfind(b"\n") + 1
    try:
        json.loads(text[end:] or b"{}")
    except ValueError:
        if text[end:].startswith(b"{"):  # else it never was a point, and is for others to refuse
            _LOG.warning("%s: its last line is unfinished and left out", path)
            return end
    return len(text)
