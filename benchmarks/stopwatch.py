"""How often a second things can be done, timed in alternation: a slow spell slows all alike."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from vqindex.evaluate import Rate

Call = Callable[[], Any]


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
