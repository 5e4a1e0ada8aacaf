"""Recall against speed: what each system gives at many settings, and at the same recall."""

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, final

import numpy as np

from vqindex.datasets import Dataset
from vqindex.evaluate.competitors import Competitor, Floats
from vqindex.evaluate.figures import recall
from vqindex.evaluate.measurement import Rate, round_of

LEAST, ENOUGH = 0.8, 0.995  # recalls between which speed is measured
GAIN = 0.0005  # recall that looking into more lists is to add


@final
@dataclass(frozen=True)
class Spot:
    """What one choice of settings gives; rates as in Measurement."""

    settings: Mapping[str, Any]
    recall: float
    batch: Rate
    single: Rate


@final
@dataclass(frozen=True)
class Curve:
    """One system on one dataset, at settings of recalls from LEAST to just over ENOUGH.

    build_s   seconds to train on all rows and add them
    """

    library: str
    name: str
    bytes_per_row: float | None
    build_s: float
    spots: tuple[Spot, ...]

    def pairs(self, mode: str) -> list[tuple[float, float]]:
        """Recalls and median rates; mode is "batch" or "single"."""
        return [(spot.recall, getattr(spot, mode).median) for spot in self.spots]


@dataclass(frozen=True)
class Sweep:
    """A system and the settings to try: every nprobe, ascending, with every oversample."""

    system: Competitor
    nprobes: Sequence[int]
    oversamples: Sequence[float | None] = (None,)


@dataclass
class _Try:
    """One choice of settings while it is measured; times are seconds for one query."""

    settings: dict[str, Any]
    recall: float
    batch: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)


def family(name: str) -> str:
    """The factory string of an index without the number of its lists."""
    return re.sub(r"\bIVF\d+", "IVF", name)


def families(curves: Iterable[Curve]) -> dict[tuple[str, str], list[Curve]]:
    """Curves by library and family, which differ in the number of lists alone."""
    kinds: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        kinds.setdefault((curve.library, family(curve.name)), []).append(curve)
    return kinds


def front(pairs: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The pairs (recall, rate) beside which no other has more of both, by recall."""
    kept: list[tuple[float, float]] = []
    for pair in sorted(pairs, reverse=True):
        if not kept or pair[1] > kept[-1][1]:
            kept.append(pair)
    return kept[::-1]


def rate_at(pairs: Iterable[tuple[float, float]], target: float) -> float | None:
    """Queries a second at a recall: between two pairs of the front, linear in the rate's logarithm.

    Below the least recall the rate is that of the least; None above the largest.
    """
    best = front(pairs)
    if not best or best[-1][0] < target:
        return None
    for (low, fast), (high, slow) in pairwise(best):
        if low < target <= high:
            share = (target - low) / (high - low)
            return math.exp((1 - share) * math.log(fast) + share * math.log(slow))
    return best[0][1]


def measure_curves(
    sweeps: Sequence[Sweep],
    dataset: Dataset,
    *,
    k: int = 10,
    rounds: int = 5,
    singles: int = 200,
    threads: int = 1,
    tell: Callable[[str], object] = lambda text: None,
) -> list[Curve]:
    """Build every system on a dataset and measure all settings of all of them in alternation.

    Arguments are those of `measure`. With each oversample, nprobe goes up until recall is ENOUGH or
    gains no more; settings that find less than LEAST are left out.
    """
    base = np.ascontiguousarray(dataset.base, np.float32)
    queries = np.ascontiguousarray(dataset.queries, np.float32)
    builds, tries = [], []
    with ExitStack() as stack:
        for sweep in sweeps:
            stack.enter_context(sweep.system.threads(threads))
        for sweep in sweeps:
            tell(f"build {sweep.system.library} {sweep.system.name}")
            start = time.perf_counter()
            sweep.system.fit(base)
            sweep.system.add(base)
            builds.append(time.perf_counter() - start)
            tries.append(_worth_timing(sweep, dataset, queries, k))
        for i in range(rounds):
            tell(f"measure, round {i + 1} of {rounds}")
            for sweep, own in zip(sweeps, tries, strict=True):
                for one in own:
                    sweep.system.configure(**one.settings)
                    batch, single = round_of(sweep.system, queries, singles, k)
                    one.batch.append(batch)
                    one.single.append(single)
    return [
        Curve(
            sweep.system.library, sweep.system.name, sweep.system.bytes_per_row, build_s,
            tuple(Spot(t.settings, t.recall, Rate.of(t.batch), Rate.of(t.single)) for t in own),
        )
        for sweep, build_s, own in zip(sweeps, builds, tries, strict=True)
    ]  # fmt: skip


def _worth_timing(sweep: Sweep, dataset: Dataset, queries: Floats, k: int) -> list[_Try]:
    """The settings of a built system whose recalls are looked at."""
    found = []
    for oversample in sweep.oversamples:
        before = 0.0
        for nprobe in sweep.nprobes:
            finer = {} if oversample is None else {"oversample": oversample}
            settings = {"nprobe": nprobe} | finer
            sweep.system.configure(**settings)
            share = recall(sweep.system.search(queries, k), dataset.neighbors, k)
            if 0 < share < before + GAIN:
                break
            if share >= LEAST:
                found.append(_Try(settings, share))
            if share >= ENOUGH:
                break
            before = share
    return found
