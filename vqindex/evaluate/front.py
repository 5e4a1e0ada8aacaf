"""The front of a kind of index: points beside which no other has more recall and more speed."""

import math
import re
from collections.abc import Iterable
from itertools import pairwise


def family(spec: str) -> str:
    """The factory string of an index without the number of its lists."""
    return re.sub(r"\bIVF\d+", "IVF", spec)


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
