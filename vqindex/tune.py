"""Tuning: the fastest search settings of an index that find enough of the true neighbours.

More lists, more candidates and a wider bound each find more, and take longer. So recall is
bisected along each, on settings a tenth apart: what is left are a few settings that reach the
target while neither fewer lists nor fewer candidates do. Those are timed, and the fastest is then
tried with narrower bounds.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from vqindex import arrays
from vqindex.errors import DtypeError, ShapeError
from vqindex.evaluate.truth import neighbors
from vqindex.indexes.base import Index
from vqindex.indexes.ivf import IVFIndex
from vqindex.indexes.settings import Settings
from vqindex.progress import Progress, ProgressLike

OVERSAMPLE = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0)
EPS0 = (1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, Settings.eps0)
ROUNDS = 5  # each of which times every setting that is left
SINGLES = 100  # queries that are asked one by one in each, at most

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]


@final
@dataclass(frozen=True)
class Point:
    """What one choice of settings gives.

    recall          the share of the true neighbours found, the mean over queries
    standard_error  of that mean
    microseconds    for a query, None where it was not timed
    """

    settings: Mapping[str, Any]
    recall: float
    standard_error: float
    microseconds: float | None = None

    def __str__(self) -> str:
        taken = "" if self.microseconds is None else f", {self.microseconds:.1f} us a query"
        chosen = ", ".join(f"{name}={_shown(value)}" for name, value in self.settings.items())
        found = f"recall {self.recall:.4f} +- {self.standard_error:.4f}"
        return f"{chosen or 'all rows in full'}: {found}{taken}"


@final
@dataclass(frozen=True, repr=False)
class Tuning:
    """What `tune` measured and chose; shown as a table.

    points   everything measured, by recall; those that were timed are rivals of the chosen one
    chosen   the fastest of them, which the index now has for its default settings
    queries  how many
    single   whether times are of one query a call, or of all in one
    """

    chosen: Point
    points: tuple[Point, ...]
    target: float
    k: int
    queries: int
    single: bool

    def __repr__(self) -> str:
        asked = "one a call" if self.single else "all in one call"
        names = list(self.chosen.settings)
        lines = [
            f"recall@{self.k} of at least {self.target:g}, {self.queries:,} queries, {asked}",
            "".join(f"{name:>12}" for name in [*names, "recall", "+-", "us/query"]),
        ]
        for point in self.points:
            taken = "-" if point.microseconds is None else f"{point.microseconds:.1f}"
            lines.append(
                "".join(f"{_shown(point.settings[name]):>12}" for name in names)
                + f"{point.recall:>12.4f}{point.standard_error:>12.4f}{taken:>12}"
                + ("  <- chosen" if point is self.chosen else "")
            )
        return "\n".join(lines)


def tune(
    index: Index,
    queries: Any,
    k: int = 10,
    recall: float = 0.95,
    *,
    truth: Any = None,
    base: Any = None,
    single: bool = True,
    threads: int | None = None,
    progress: ProgressLike = False,
) -> Tuning:
    """Give an index the fastest settings whose recall@k reaches a target; what was measured.

    queries  (nq, d) such as will be asked, nq >= 2: not rows of the index, nor what it was fitted
             with. The recall of other queries differs by about its standard error, and may be
             lower: ask for more where it must not be
    truth    (nq, at least k) ids of the true neighbours, nearest first; else they are found among
    base     (n, d) the rows of the index in ascending order of their ids; else among the originals
             that it keeps: Keep(f32), Rerank(f32) or F32
    single   time one query a call (the median query), or else all of them in one
    threads  of a search, as in `Index.search`

    Chooses `nprobe`, `oversample` and `eps0`, as far as the index has them; `bits` and `stages`
    stay, and without stages there is no `eps0`. `oversample` is None where bounds tell which rows
    to score again.
    Raises ValueError where no settings reach the target, naming the best, or where there is no
    truth to be had; then the index is as it was.
    """
    if isinstance(recall, bool) or not isinstance(recall, int | float | np.floating):
        raise TypeError(f"recall must be a number, got {recall!r}.")
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall}.")
    if not index.is_fitted or not len(index):
        raise ValueError("tuning needs an index that is fitted and has rows; add some first.")
    k = arrays.positive_int(k, "k")
    asked, one = arrays.queries(queries, index.dim)
    if one or len(asked) < 2:
        raise ShapeError(f"tuning needs at least 2 queries (nq, {index.dim}), got {len(asked)}.")
    true = neighbors(index, asked, k, base) if truth is None else _truth(truth, len(asked), k)
    tell = Progress(progress, 2 * ROUNDS + 2, "tune")
    trial = _Trial(index, asked, true, k, recall, single, threads, tell)
    chosen = trial.fastest()
    index.configure(**chosen.settings)
    points = tuple(sorted(trial.points.values(), key=lambda point: point.recall))
    return Tuning(chosen, points, recall, k, len(asked), single)


def _truth(truth: Any, nq: int, k: int) -> Ids:
    ids = np.asarray(truth)
    if ids.dtype.kind not in "iu":
        raise DtypeError(f"truth must be integer ids, got {ids.dtype}.")
    if ids.ndim != 2 or len(ids) != nq or ids.shape[1] < k:
        raise ShapeError(f"truth must have shape ({nq}, {k}) or wider, got {ids.shape}.")
    return ids[:, :k].astype(np.int64)


class _Trial:
    """One tuning: what is known of each choice of settings so far."""

    def __init__(
        self, index: Index, queries: Floats, truth: Ids, k: int, target: float, single: bool,
        threads: int | None, tell: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._index, self._queries, self._truth = index, queries, truth
        self._k, self._target, self._single = k, target, single
        self._threads, self._tell, self._steps = threads, tell, 0
        self.points: dict[tuple[float | None, ...], Point] = {}
        known = index.settings
        lists = index.nlist if isinstance(index, IVFIndex) else None
        self._nprobes = ladder(lists or 1)
        most = sum(times * k < len(index) for times in OVERSAMPLE) + 1
        self._oversamples: tuple[float | None, ...] = OVERSAMPLE[:most]
        if index.is_bounded or "oversample" not in known:
            self._oversamples = (None,)
        self._eps0s = EPS0 if known["stages"] == "on" else EPS0[-1:]
        axes = ("nprobe", lists), ("oversample", "oversample" in known)
        self._names = [name for name, there in axes if there]
        self._names += ["eps0"] if known["stages"] == "on" else []

    def fastest(self) -> Point:
        """The fastest settings that reach the target; ValueError where none does."""
        wide, deep, widest = len(self._nprobes), len(self._oversamples), len(self._eps0s) - 1
        best = self._point(wide - 1, deep - 1, widest)
        if best.recall < self._target:
            raise ValueError(
                f"recall@{self._k} of {self._target:g} cannot be reached; the most is {best}. Use "
                "codes of more bits, or finer ones to rerank with, such as Rerank(f16)."
            )
        corners = frontier(lambda i, j: self._reaches(i, j, widest), wide, deep)
        self._step()
        timed = self._timed([(i, j, widest) for i, j in corners])
        i, j, _ = min(timed, key=lambda place: timed[place])
        # What nprobe has over the target, its steps being coarse, a narrower bound may give back.
        places = {(i, j, widest): None}
        for a, b in ((i, j), (min(i + 1, wide - 1), j), (i, min(j + 1, deep - 1))):
            places[a, b, least(partial(self._reaches, a, b), 0, widest)] = None
        self._step()
        timed = self._timed([place for place in places if self._reaches(*place)])
        return self._point(*min(timed, key=lambda place: timed[place]))

    def _settings(self, i: int, j: int, e: int) -> dict[str, Any]:
        """By their places on the ladders."""
        every = {
            "nprobe": self._nprobes[i], "oversample": self._oversamples[j], "eps0": self._eps0s[e],
        }  # fmt: skip
        return {name: every[name] for name in self._names}

    def _reaches(self, i: int, j: int, e: int) -> bool:
        return self._point(i, j, e).recall >= self._target

    def _point(self, i: int, j: int, e: int) -> Point:
        settings = self._settings(i, j, e)
        key = tuple(settings.values())
        if key not in self.points:
            found = self._index.search(self._queries, self._k, threads=self._threads, **settings)
            self.points[key] = Point(settings, *recall_of(found.ids, self._truth))
        return self.points[key]

    def _timed(self, places: Sequence[tuple[int, int, int]]) -> dict[tuple[int, int, int], float]:
        """The microseconds of a query at each place, medians of rounds that visit all."""
        rounds: list[list[float]] = [[] for _ in places]
        for _ in range(ROUNDS):
            for place, found in zip(places, rounds, strict=True):
                settings = self._settings(*place)
                search = partial(self._index.search, k=self._k, threads=self._threads, **settings)
                found.append(1e6 * seconds(search, self._queries, self._single))
            self._step()
        out = {}
        for place, found in zip(places, rounds, strict=True):
            point, out[place] = self._point(*place), statistics.median(found)
            key = tuple(point.settings.values())
            self.points[key] = Point(point.settings, point.recall, point.standard_error, out[place])
        return out

    def _step(self) -> None:
        self._steps += 1
        self._tell(self._steps)


def _shown(value: float | None) -> str:
    return "None" if value is None else f"{value:g}"


def seconds(search: Callable[[Floats], Any], queries: Floats, single: bool) -> float:
    """What a query (nq, d) takes: the median of some alone, or a share of all in one call."""
    if not single:
        return _seconds(partial(search, queries)) / len(queries)
    alone = queries[:: -(-len(queries) // SINGLES)]
    search(alone[0])  # the first may pay for what others pushed out of cache
    return statistics.median(_seconds(partial(search, query)) for query in alone)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def recall_of(found: Ids, truth: Ids) -> tuple[float, float]:
    """Recall of ids (nq, k), as `evaluate.recall` has it, and its standard error."""
    pairs = zip(found.tolist(), truth.tolist(), strict=True)
    hits = np.array([len(set(ours) & set(theirs) - {-1}) for ours, theirs in pairs])
    there = (truth >= 0).sum(axis=1)
    each = hits / np.maximum(there, 1)
    return int(hits.sum()) / max(int(there.sum()), 1), float(each.std(ddof=1)) / len(each) ** 0.5


def ladder(most: int) -> list[int]:
    """Integers from 1 to `most`, a tenth apart where they can be."""
    out = [1]
    while out[-1] < most:
        out.append(min(most, max(out[-1] + 1, round(1.1 * out[-1]))))
    return out


def least(reaches: Callable[[int], bool], low: int, high: int) -> int:
    """The least of low..high that reaches, by bisection; of `high` it is taken for granted."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle + 1, high)
    return low


def frontier(reaches: Callable[[int, int], bool], wide: int, deep: int) -> list[tuple[int, int]]:
    """Places (i, j), i < wide and j < deep, that reach while neither a smaller i nor j does.

    Larger i and j reach wherever smaller do, and the last of both does. Where noise breaks that,
    places may be missed, but those returned reach, and there is one.
    """
    first = least(lambda i: reaches(i, deep - 1), 0, wide - 1)

    def fewest(j: int, most: int) -> int:
        return least(lambda i: reaches(i, j), first, most)

    i, j = wide, -1
    found = []
    while i > first and j < deep - 1:
        j = least(partial(reaches, i - 1), j + 1, deep - 1)
        i = fewest(j, i - 1)
        found.append((i, j))
    return [place for place in found if reaches(*place)] or [(wide - 1, deep - 1)]
