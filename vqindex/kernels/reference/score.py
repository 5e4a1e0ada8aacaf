"""What scores are, whatever the layout: float32 in one fixed order, from exact sums.

An integer layout contributes `part` of its raw sums, a float layout its inner products.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


def part(raw: Integers, half: Floats, gamma: Floats) -> Floats:
    """Inner products of rows of half-integers and the queries that int8 entries stand for.

        part = (raw + half) * gamma

    raw      (n, nq) int64, rounded to float32 first
    half     (nq,) float32, half the sum of a query's entries
    gamma    (nq,) float32, what one step of a query's entries is worth
    returns  (n, nq) float32
    """
    return (raw.astype(np.float32) + half) * gamma


def score(parts: Sequence[Floats], scales: Sequence[Floats | None], bias: Floats | None) -> Floats:
    """Scores of rows coded in segments.

        score = (part_0 * scale_0 + part_1 * scale_1 + ...) + bias

    parts    (n, nq) float32, one for each segment
    scales   (n,) float32 or None, one for each segment
    bias     (n,) float32 or None
    returns  (n, nq) float32
    """
    terms = [p if s is None else p * s[:, None] for p, s in zip(parts, scales, strict=True)]
    total = reduce(np.add, terms)
    return total if bias is None else total + bias[:, None]


def line(
    half: Floats, gamma: Floats, floor: Integers, span: Integers, groups: int
) -> tuple[Floats, Floats, Floats]:
    """What turns a total of table look-ups into an estimate of `part`, and how far it may err.

        base   = (half - floor) * gamma
        unit   = -(gamma * (span / 127))
        margin = gamma * (span / 127) * groups * 0.51 + groups * 127 * 2**-149

    A group's look-up, up to 127 steps, is off by half a step and by what is cut off the inverse of
    the span; a step is off by 2**-150 where it is denormal.

    half, gamma   (nq,) float32; floor, span (nq,) int64, from sign.tables; groups of four entries
    returns       (nq,) float32 each
    """
    step = gamma * (span.astype(np.float32) / np.float32(127))
    margin = step * np.float32(groups) * np.float32(0.51)
    margin += np.float32(groups) * np.float32(127 * 2.0**-149)
    return (half - floor.astype(np.float32)) * gamma, -step, margin


def coarse_line(half: Floats, gamma: Floats, tables: int) -> tuple[Floats, Floats, Floats]:
    """The same as `line` for totals of table.coarse.

        base = half * gamma,  unit = 128 * gamma,  margin = gamma * (64 * tables + 8) + ...

    The rest of the margin is what float32 steps may take of a sum: |half * gamma| * 2**-20, and 8.

    half, gamma   (nq,) float32
    returns       (nq,) float32 each
    """
    base = half * gamma
    margin = gamma * (np.float32(64 * tables) + np.float32(8)) + np.abs(base) * np.float32(2**-20)
    return base, gamma * np.float32(128), margin


def estimate(total: Integers, base: Floats, unit: Floats) -> Floats:
    """Parts from totals of look-ups (n, nq): base + unit * total, in (n, nq) float32."""
    return base + unit * total.astype(np.float32)


def bound(
    estimates: Sequence[Floats],
    scales: Sequence[Floats | None],
    ratios: Sequence[Floats | None],
    bias: Floats | None,
) -> Floats:
    """Upper bounds of scores, from estimates that are raised by what they may err.

        bound = estimate_0 * (scale_0 * ratio_0) + estimate_1 * (scale_1 * ratio_1) + ... + bias

    estimates       (n, nq) float32, one for each segment
    scales, ratios  (n,) float32 or None, one of each for each segment
    bias            (n,) float32 or None
    returns         (n, nq) float32
    """
    factors = [
        s if r is None else r if s is None else s * r for s, r in zip(scales, ratios, strict=True)
    ]
    return score(estimates, factors, bias)
