"""What scores are, whatever the layout: float32 in one fixed order, from exact sums.

An integer layout contributes `part` of its raw sums, a float layout its inner products.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def part(raw: npt.NDArray[np.int64], half: Floats, gamma: Floats) -> Floats:
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


def bound(
    parts: Sequence[Floats],
    slack: Floats,
    scale: Floats,
    ratio: Floats | None,
    bias: Floats | None,
) -> Floats:
    """Upper bounds of scores, from the signs of every segment.

        bound = ((part_0 + part_1 + ... + slack) * scale * ratio) + bias

    parts    (n, nq) float32, one for each segment, as if its levels were +-1/2
    slack    (nq,) float32, what is allowed for the signs' error
    scale    (n,) float32, ratio (n,) float32 or None, bias (n,) float32 or None
    returns  (n, nq) float32
    """
    total = (reduce(np.add, parts) + slack) * scale[:, None]
    if ratio is not None:
        total = total * ratio[:, None]
    return total if bias is None else total + bias[:, None]
