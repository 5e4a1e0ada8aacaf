"""How sure an estimate is for rows of a list, which are coded from the list's origin.

Queries near a list meet its rows along v, what a query at its origin would be (Codec.known). What
codes err by along v is in the bias, so a score errs by <a - v, error> only, where a is the query.
An estimate from signs errs by <a - t v, error> once t times its drift is added, what signs and
codes differ by along v. The t that leaves least is <a, v> / |v|^2. So bounds are the narrower the
nearer a query is to a list, or the more they point alike; then what queries are rounded by counts.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined
from vqindex.kernels.cpu.program import UNBOUND

# Bytes to what `records.Stored.widths` holds.
SIGNS, CODES, ROUND, SHARE, ALPHA = range(0, 20, 4)
BLUR = np.float32(12**-0.5)  # of a step that queries are rounded by
_HALF = 2.0**-10  # what drifts of up to 2 are rounded by
_MOST, _WIDEST = 2.0, 1e36
_STEP = np.sqrt(np.pi / 2)  # error of signs for a step of the query, over that of codes


@inlined
def lean_of(stored, asked, query, owner):
    """What drifts of a list's rows are multiplied by, and the slack of estimates from signs."""
    along, t = np.float64(simd.load_float(stored.sizes + 8 * owner)), 1.0
    met = _met(stored, asked, query, owner)
    if stored.drift != UNBOUND:
        t = min(max(met / (along * along), 0.0), _MOST) if along > 0 else 0.0
    left = _width(stored, CODES) * (t - 1.0) * along
    square = _square(stored, asked, query, owner, t, met, along, SIGNS, _STEP) + left * left
    slack = np.sqrt(square)
    if stored.drift != UNBOUND:
        slack += _HALF * t * along
    return np.float32(t * along), np.float32(min(slack, _WIDEST))


@inlined
def reach_of_list(stored, asked, query, owner):
    """What the spread of a list's rows is multiplied by to raise their scores to bounds."""
    along = np.float64(simd.load_float(stored.sizes + 8 * owner))
    met = _met(stored, asked, query, owner)
    square = _square(stored, asked, query, owner, 1.0, met, along, CODES, 1.0)
    return np.float32(min(np.sqrt(square), _WIDEST))


@inlined
def _width(stored, which):
    return np.float64(simd.load_float(stored.widths + which))


@inlined
def _blur(stored, asked, query, owner):
    size = np.float64(simd.load_float(stored.sizes + 8 * owner + 4))
    return np.float64(simd.load_float(asked.blurs + 4 * query)) * size


@inlined
def _met(stored, asked, query, owner):
    """<a, v>"""
    share = np.float64(simd.load_float(asked.shares + 4 * (query * asked.lists + owner)))
    alpha = np.float64(simd.load_float(asked.alpha + 4 * query))
    return share * _width(stored, SHARE) + alpha * _width(stored, ALPHA)


@inlined
def _square(stored, asked, query, owner, t, met, along, which, step):
    """|a - t v|^2, but for what shares are blurred by, and the query's rounding; times widths."""
    norm = np.float64(simd.load_float(asked.norms + 4 * query))
    apart = max(norm * norm - 2.0 * t * met + t * t * along * along, 0.0)
    apart += 8.0 * t * _blur(stored, asked, query, owner)
    largest = np.float32(0)
    for s in range(stored.segments):
        largest = max(largest, simd.load_float(asked.gamma + 4 * (s * asked.padded + query)))
    rounded = np.float64(largest) * _width(stored, ROUND) * step
    return apart * _width(stored, which) * _width(stored, which) + rounded * rounded
