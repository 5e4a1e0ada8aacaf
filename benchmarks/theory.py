"""What theory expects of a code: functions of bits, dimension d and rho = <x, q>.

Rows x and queries q are unit vectors, and D is the distortion of the library's own levels.
Variances are multiplied by d and include the rounding of queries to int8.
"""

import math
from collections.abc import Callable

import numpy as np

from vqindex.quantizers.levels import scalar_levels

Theory = Callable[[int, int, float], float]


def mean_square_of_largest(d: int) -> float:
    """E max_j z_j^2 of d standard normal coordinates: integral of 2 t (1 - P(|z| < t)^d)."""
    t = np.linspace(0, 12, 24_001)
    below = np.array([math.erf(x / math.sqrt(2)) for x in t])
    return float(np.trapezoid(2 * t * -np.expm1(d * np.log(np.maximum(below, 1e-300))), t))


def distortion(bits: int, d: int, rho: float) -> float:
    """D, exactly, of levels on the int8 grid."""
    return scalar_levels(bits, d).distortion


def range_distortion(bits: int, d: int, rho: float) -> float:
    """Steps of 2 max|x| / 255, as SQ8's, each of error variance step^2 / 12."""
    step: float = 2 / (2**bits - 1)
    return step**2 / 12 * mean_square_of_largest(d)


def zero(bits: int, d: int, rho: float) -> float:
    """The bias of an unbiased estimator."""
    return 0.0


def shrinkage(bits: int, d: int, rho: float) -> float:
    """TurboQuant_mse: a level is its cell's mean, so that <x, x~> = 1 - D and the bias -rho D."""
    return -rho * distortion(bits, d, rho)


def eden_variance(bits: int, d: int, rho: float) -> float:
    """(1 - rho^2) / (d - 1) D / (1 - D): a uniformly random direction orthogonal to x."""
    left = distortion(bits, d, rho)
    return ((1 - rho**2) * d / (d - 1) * left + _rounding(d)) / (1 - left)


def gaussian_sketch_variance(bits: int, d: int, rho: float) -> float:
    """TurboQuant_prod as published; see `_sketch_variance`."""
    return _sketch_variance(bits, d, rho, math.pi / 2, math.pi / 2 - 1)


def orthogonal_sketch_variance(bits: int, d: int, rho: float) -> float:
    """TurboQuant_prod with a rotation for its S: 1-bit EDEN of the residual, at a fixed scale.

    Along the residual there is only the fluctuation of the mean magnitude of coordinates:
    (1 - 2/pi - 1/pi) / (2/pi) = (pi - 3) / 2.
    """
    return _sketch_variance(bits, d, rho, math.pi / 2 - 1, (math.pi - 3) / 2)


def _sketch_variance(bits: int, d: int, rho: float, across: float, along: float) -> float:
    """bits - 1 of TurboQuant_mse leave a residual of square norm D and cosine -rho sqrt(D) with q;
    its d signs have variance `across` it and `along` it. One bit is the sketch of x itself.
    """
    left = distortion(bits - 1, d, rho) if bits > 1 else 1.0
    cosine = rho**2 * left
    energy = 1 - left + left * math.pi / 2
    return left * (across * (1 - cosine) + along * cosine) + _rounding(d) * energy


def _rounding(d: int) -> float:
    """Queries in steps of max|q| / 127."""
    return mean_square_of_largest(d) / (12 * 127**2)


EXPECTED: dict[str, dict[str, Theory]] = {
    "EDEN": {"error": distortion, "fixed": distortion, "bias": zero, "variance": eden_variance},
    "TQ": {"error": distortion, "fixed": distortion, "bias": shrinkage},
    "SQ": {"error": range_distortion},
    "sketch": {"bias": zero, "variance": orthogonal_sketch_variance},
    "Gaussian sketch": {"bias": zero, "variance": gaussian_sketch_variance},
}
