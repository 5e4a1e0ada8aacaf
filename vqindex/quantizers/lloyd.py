"""The levels of least square error for any law of one variable, given as weighted points."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def lloyd(points: Floats, weights: Floats, count: int) -> Floats:
    """`count` levels of least sum of weight * (point - nearest level)**2, ascending.

    points, weights   (n,) ascending, and positive; many more of them than levels
    Lloyd's method, from quantiles until no level moves by 1e-10 of the points' span; between
    points the law is as dense as the mean of both.

    Source: Lloyd 1982.
    """
    mass, first = _sums(weights), _sums(weights * points)
    levels: Floats = np.interp((np.arange(count) + 0.5) / count * mass[-1], mass, points)
    while True:
        edges = np.concatenate([points[:1], 0.5 * (levels[1:] + levels[:-1]), points[-1:]])
        inside, moment = (np.diff(np.interp(edges, points, sums)) for sums in (mass, first))
        moved = np.abs(moment / inside - levels).max()
        levels = moment / inside
        if moved <= 1e-10 * (points[-1] - points[0]):
            return levels


def _sums(density: Floats) -> Floats:
    """The density summed up to each point."""
    return np.append(0.0, np.cumsum(0.5 * (density[1:] + density[:-1])))
