"""How often a second things can be done, timed in alternation: a slow spell slows all alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Call = Callable[[], Any]


@dataclass(frozen=True)
class Rate:
    """How often a second over several rounds; spread is (best - worst) / median."""

    best: float
    median: float
    spread: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Rate":
        """From the seconds that it took, one number for each round."""
        rates = sorted(1 / s for s in seconds)
        median = statistics.median(rates)
        return cls(rates[-1], median, (rates[-1] - rates[0]) / median)


def rates(
    calls: Sequence[Call], seconds: float, rounds: int, tell: Callable[[str], object]
) -> list[Rate]:
    """Calls a second of each, for `seconds` shared by `rounds`, each of which visits all.

    A visit begins with a call that is not timed, has one that is at the least, and counts by its
    fastest. `tell` gets a line of text before each round.
    """
    fastest: list[list[float]] = [[] for _ in calls]
    for i in range(rounds):
        tell(f"measure, round {i + 1} of {rounds}")
        for call, found in zip(calls, fastest, strict=True):
            call()
            found.append(_fastest(call, seconds / rounds))
    return [Rate.of(found) for found in fastest]


def _fastest(call: Call, seconds: float) -> float:
    start = time.perf_counter()
    fastest, before = float("inf"), start
    while True:
        call()
        now = time.perf_counter()
        fastest, before = min(fastest, now - before), now
        if now >= start + seconds:
            return fastest
