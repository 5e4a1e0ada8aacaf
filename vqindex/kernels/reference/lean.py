"""How sure an estimate is for rows of a list: the definitions, see kernels.cpu.lean."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Widths(NamedTuple):
    """Errors of signs and of codes, over the size of what they meet, and of a step of a query."""

    signs: float
    codes: float
    step: float


def lean(
    norm: Floats, met: Floats, along: Floats, blur: Floats, gamma: Floats, widths: Widths,
    drifts: bool,
) -> tuple[Floats, Floats]:  # fmt: skip
    """What drifts are multiplied by, t |v|, and the slack of estimates from signs.

        slack^2 = signs^2 (|a - t v|^2 + 8 t blur) + (codes (t - 1) |v|)^2 + pi/2 (step gamma)^2

    and what rounds drifts beside it; t = <a, v> / |v|^2 from 0 to 2, or 1 without drifts.

    norm, met, along, blur, gamma   |a|, <a, v>, |v|, what <a, v> is blurred by, the largest step
                                    of a
    """
    t = np.ones(np.broadcast(norm, met, along).shape)
    if drifts:
        t = np.clip(np.divide(met, along**2, out=np.zeros_like(t), where=along > 0), 0, 2)
    square = _apart(norm, met, along, blur, t) * widths.signs**2
    rounded = np.pi / 2 * (gamma * widths.step) ** 2
    slack = np.sqrt(square + (widths.codes * (t - 1) * along) ** 2 + rounded)
    return t * along, np.minimum(slack + drifts * 2.0**-10 * t * along, 1e36)


def reach(
    norm: Floats, met: Floats, along: Floats, blur: Floats, gamma: Floats, widths: Widths
) -> Floats:
    """What the spread of rows is multiplied by to raise their scores to bounds.

    reach^2 = codes^2 (|a - v|^2 + 8 blur) + (step gamma)^2
    """
    square = _apart(norm, met, along, blur, np.ones(np.broadcast(norm, met).shape))
    return np.minimum(np.sqrt(square * widths.codes**2 + (gamma * widths.step) ** 2), 1e36)


def _apart(norm: Floats, met: Floats, along: Floats, blur: Floats, t: Floats) -> Floats:
    apart: Floats = np.maximum(norm**2 - 2 * t * met + (t * along) ** 2, 0) + 8 * t * blur
    return apart
