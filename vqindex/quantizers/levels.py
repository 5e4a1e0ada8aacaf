"""The optimal levels of one rotated coordinate, and the integer grid that kernels read them from.

A uniformly random unit vector of R^d, times sqrt(d), has coordinates z = sqrt(d) sin(theta) whose
angle has density cos(theta)**(d - 2): smooth, so that Gauss-Legendre quadrature in theta gives
every moment of every cell to rounding error, for any d >= 2. (d = 1 is the two points +-1.)
N(0, 1) is the limit of large d. Everything is symmetric, so only |z| appears.
"""

import functools
import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vqindex.errors import SpecError

T = TypeVar("T", bound=np.generic)
Floats = npt.NDArray[np.float64]

MAX_BITS = 8
MAGNITUDES = 128  # t = 0..127, what an int8 holds beside its mirror images -t - 1

_GAUSSIAN = 2.0**53  # the law differs from N(0, 1) by O(1 / d), here less than float64 resolves


@dataclass(frozen=True, eq=False)
class Levels:
    """Decoded values of a `bits`-bit scalar code: +-(magnitudes + 1/2) * unit, for z of variance 1.

    bits        1..8; a code is a sign bit (1 = negative) above bits - 1 bits of magnitude index
    dim         dimension whose law the levels fit, None for N(0, 1)
    magnitudes  (2**(bits - 1),) int8, strictly ascending, >= 0; a negative level is -t - 1
    unit        what one step of the integer grid is worth
    thresholds  (2**(bits - 1) - 1,) float32, ascending: index m is the count of those below |z|
    distortion  E (z - level)**2 under the law
    """

    bits: int
    dim: int | None
    magnitudes: npt.NDArray[np.int8]
    unit: float
    thresholds: npt.NDArray[np.float32]
    distortion: float

    @property
    def values(self) -> Floats:
        """The positive decoded values, (2**(bits - 1),) float64."""
        return (self.magnitudes.astype(np.float64) + 0.5) * self.unit


@functools.lru_cache(maxsize=256)
def lloyd_max(bits: int, dim: int | None = None) -> tuple[Floats, Floats]:
    """The levels of least E (z - level)**2, off the grid: their positive half and its thresholds.

    Thresholds are midpoints and levels conditional means, to 1e-12 relative: Newton's method on
    Lloyd's fixed point. At d = 1 the largest level is the point 1 and the others are spaced evenly.

    returns (2**(bits - 1),) and (2**(bits - 1) - 1,) float64, both ascending and read-only

    Source: Lloyd 1982; Max 1960.
    """
    d = _dimension(bits, dim)
    size = 2 ** (bits - 1)
    if d == 1:
        levels = np.arange(1, size + 1) / size
    else:
        levels = _companded(d, size)
        for _ in range(6):  # digits double at each step: 5 reach rounding error at every d
            levels = levels + _newton_step(d, levels)
    return _read_only(levels), _read_only(_midpoints(levels))


@functools.lru_cache(maxsize=256)
def scalar_levels(bits: int, dim: int | None = None) -> Levels:
    """The levels of least E (z - level)**2 among half-integers times a unit.

    Distortion reached on the grid, and what `lloyd_max` reaches off it, for N(0, 1):

        bits       1       2        3         4         5         6         7         8
        grid  .363380 .117482 .0345482 .00950526 .00251405 .00066254 .00017303 .00008769
        free  .363380 .117482 .0345478 .00950101 .00250467 .00064424 .00016348 .00004119

    At 8 bits all 128 magnitudes are taken, so that the levels are evenly spaced.

    Raises SpecError unless bits is 1..8 and dim is None or at least 1.
    """
    d = _dimension(bits, dim)
    levels, thresholds = lloyd_max(bits, dim)
    mass, _ = _moments(d, thresholds)
    grids = [_rounded(levels, mass)]
    if bits > 4:  # below, rounding costs nothing
        units = levels[-1] / (MAGNITUDES - 0.5) * np.geomspace(1, 2, 12)
        grids += [(_law_magnitudes(d, levels.size, unit), unit) for unit in units]
    magnitudes, unit = min(grids, key=lambda grid: _distortion(d, *_cells(*grid)))
    unit = _best_unit(d, magnitudes, unit)
    _, thresholds = _cells(magnitudes, unit)
    return _on_grid(bits, dim, magnitudes, unit, thresholds)


@functools.lru_cache(maxsize=256)
def levels_at(bits: int, dim: int | None, unit: float) -> Levels:
    """The levels of least E (z - level)**2 among half-integers times a given unit.

    Raises SpecError unless bits is 1..8 and dim is None or at least 1.
    """
    magnitudes = _law_magnitudes(_dimension(bits, dim), 2 ** (bits - 1), unit)
    return _on_grid(bits, dim, magnitudes, unit, _cells(magnitudes, unit)[1])


@functools.lru_cache(maxsize=256)
def uniform_levels(bits: int, dim: int | None = None) -> Levels:
    """The evenly spaced levels of least E (z - level)**2: +-1/2, +-3/2, ... times a unit.

    For N(0, 1) their distortion at 1 to 8 bits is .363380, .118846, .0374397, .0115429, .00349521,
    .00104005, .000304333 and .0000876862.

    Raises SpecError unless bits is 1..8 and dim is None or at least 1.
    """
    d = _dimension(bits, dim)
    top = lloyd_max(bits, dim)[0][-1]
    magnitudes = np.arange(2.0 ** (bits - 1))
    unit = _best_unit(d, magnitudes, top / (magnitudes[-1] + 0.5))
    return _on_grid(bits, dim, magnitudes, unit, _cells(magnitudes, unit)[1])


def nested_levels(levels: Levels, bits: int) -> Levels:
    """What the first `bits` bits of a code are worth: its sign and the top bits of its magnitude.

    Neighbouring cells merge, so that encoding by the returned thresholds, which are some of the
    code's own and not midpoints, gives `code >> (levels.bits - bits)`. The decoded value of a
    merged cell is its conditional mean, rounded to a grid of its own. The cells of a 4-bit code
    for N(0, 1) merge to distortions .03484 at 3 bits, .12028 at 2 and .36338 at 1. An 8-bit code's
    evenly spaced cells merge to about twice the distortion of levels made for 2 to 7 bits.

    Raises SpecError unless bits is 1..levels.bits.
    """
    if not 1 <= bits <= levels.bits:
        raise SpecError(f"bits of a prefix must be 1..{levels.bits}, those of its code, got {bits}")
    if bits == levels.bits:
        return levels
    merged = 2 ** (levels.bits - bits)
    thresholds = levels.thresholds[merged - 1 :: merged].astype(np.float64)
    mass, first = _moments(_dimension(bits, levels.dim), thresholds)
    inside = levels.values.reshape(-1, merged).mean(axis=1)  # for cells that the law never meets
    means = np.divide(first, mass, out=inside, where=mass > 0)
    return _on_grid(bits, levels.dim, *_rounded(means, mass), thresholds)


def _dimension(bits: int, dim: int | None) -> float:
    """The dimension to compute with, once bits and dim are known to be in range."""
    if not 1 <= bits <= MAX_BITS:
        raise SpecError(f"bits must be 1..{MAX_BITS}, got {bits}")
    if dim is not None and dim < 1:
        raise SpecError(f"dim must be at least 1, or None for the Gaussian law, got {dim}")
    return _GAUSSIAN if dim is None else float(dim)


def _read_only(array: npt.NDArray[T]) -> npt.NDArray[T]:
    array.flags.writeable = False
    return array


def _midpoints(levels: Floats) -> Floats:
    return 0.5 * (levels[:-1] + levels[1:])


@functools.cache
def _rule() -> tuple[Floats, Floats]:
    """Gauss-Legendre on [0, 1]: 32 nodes integrate even a whole bell to rounding error."""
    nodes, weights = np.polynomial.legendre.leggauss(32)
    return (nodes + 1) / 2, weights / 2


def _cosine_power(sine: Floats, power: float) -> Floats:
    """cos(theta)**power, exact also where the cosine rounds to 1 and the power is huge."""
    return np.exp(power / 2 * np.log1p(-np.minimum(sine * sine, 1 - 2**-53)))


def _nodes(d: float, thresholds: Floats) -> tuple[Floats, Floats]:
    """Nodes and weights, (k, nodes) each, that integrate over the k cells of |z|.

    Weights have a factor that depends on d alone. The open last cell is cut where the density has
    fallen to exp(-40) of what it is at the cell's start.
    """
    lower = np.append(0.0, thresholds)
    if d == 1:
        holds = np.arange(lower.size) == np.searchsorted(lower, 1.0) - 1
        return np.ones((lower.size, 1)), holds[:, None].astype(np.float64)
    x, weights = _rule()
    sine = np.minimum(lower / math.sqrt(d), 1.0)
    decay = 80 / max(d - 2, 1)
    end = math.sqrt(sine[-1] ** 2 * math.exp(-decay) - math.expm1(-decay))
    angles = np.arcsin(np.append(sine, min(end, 1.0)))
    width = np.diff(angles)[:, None]
    t = np.sin(angles[:-1, None] + width * x)
    return math.sqrt(d) * t, width * weights * _cosine_power(t, d - 2)


def _moments(d: float, thresholds: Floats) -> tuple[Floats, Floats]:
    """P(|z| in cell) and E[|z|; |z| in cell] for the cells between thresholds, (k,) each."""
    z, weight = _nodes(d, thresholds)
    total = weight.sum()
    return weight.sum(axis=1) / total, (weight * z).sum(axis=1) / total


def _distortion(d: float, levels: Floats, thresholds: Floats) -> float:
    """E (|z| - level)**2 as a sum of squares, which cancels nothing."""
    z, weight = _nodes(d, thresholds)
    return float((weight * (z - levels[:, None]) ** 2).sum() / weight.sum())


def _companded(d: float, size: int) -> Floats:
    """Quantiles of the density f**(1/3), which in theta is cos(theta)**(d / 3): Newton's start.

    Source: Panter and Dite 1951, the best density of levels at high rate.
    """
    end = math.asin(math.sqrt(-math.expm1(-240 / max(d - 2, 1))))
    angles = np.linspace(0, end, 4097)
    below = np.append(0.0, np.cumsum(_cosine_power(np.sin(_midpoints(angles)), d / 3)))
    quantiles: Floats = np.interp(below[-1] * (np.arange(size) + 0.5) / size, below, angles)
    return math.sqrt(d) * np.sin(quantiles)


def _newton_step(d: float, levels: Floats) -> Floats:
    """Solve (I - dmeans/dlevels) step = means - levels, where the means are those of their cells.

    A threshold that moves takes the density there from one cell to the next, so each mean depends
    on its own level and the two beside it.
    """
    edges = _midpoints(levels)
    z, weight = _nodes(d, edges)
    mass = weight.sum(axis=1)
    means = (weight * z).sum(axis=1) / mass
    density = _cosine_power(edges / math.sqrt(d), d - 3) / math.sqrt(d)
    upper = density * (edges - means[:-1]) / mass[:-1] / 2
    lower = density * (means[1:] - edges) / mass[1:] / 2
    own = 1 - np.append(upper, 0) - np.append(0, lower)
    jacobian = np.diag(own) - np.diag(upper, 1) - np.diag(lower, -1)
    step: Floats = np.linalg.solve(jacobian, means - levels)
    return step


def _rounded(means: Floats, mass: Floats) -> tuple[Floats, float]:
    """Magnitudes and unit whose levels are nearest to the means of given cells.

    Tries every top magnitude that leaves at least 6 bits of precision, each with its best unit.
    """
    k = np.arange(means.size)
    top = np.arange(max(64, k.size) - 1, MAGNITUDES) if k.size > 1 else np.zeros(1)
    t = np.rint(means * ((top + 0.5) / means[-1])[:, None] - 0.5)
    t = k + np.clip(np.maximum.accumulate(t - k, axis=1), 0, MAGNITUDES - k.size)  # distinct
    h = t + 0.5
    unit = (h * means) @ mass / (h * h @ mass)
    best = ((h * unit[:, None] - means) ** 2 @ mass).argmin()
    return t[best], float(unit[best])


def grid_edges(unit: float) -> Floats:
    """Where thresholds between levels on the grid may lie: multiples of unit / 2, (255,)."""
    return np.arange(1, 2 * MAGNITUDES, dtype=np.float64) * (unit / 2)


def best_magnitudes(mass: Floats, first: Floats, size: int, unit: float) -> Floats:
    """Of the 128 magnitudes, the `size` whose levels have least distortion at this unit.

        D = E z**2 - 2 l_last E|z| + l_last**2 - 2 sum_k (l_{k+1} - l_k) G(b_k)
        G(b) = E max(b - |z|, 0)

    Thresholds b lie on `grid_edges`, so a table of G makes every pair of neighbours one product,
    and dynamic programming over t_k - k in 0..128 - size finds the optimum.

    mass, first   (256,): P(|z| in cell) and E[|z|; |z| in cell] of the cells between the edges
    returns       (size,) float64, ascending integers
    """
    edges = grid_edges(unit)
    put = edges * np.cumsum(mass[:-1]) - np.cumsum(first[:-1])
    t = np.arange(MAGNITUDES)
    gap = t - t[:, None]
    gain = np.where(gap > 0, 2 * unit * gap * put[t + t[:, None]], -np.inf)
    spare = MAGNITUDES - size + 1
    value, choices = np.zeros(spare), []
    for k in range(size - 1):
        total = value[:, None] + gain[k : k + spare, k + 1 : k + 1 + spare]
        choices.append(total.argmax(axis=0))
        value = total.max(axis=0)
    last = (t[size - 1 :] + 0.5) * unit
    path = [(value + 2 * last * first.sum() - last**2).argmax()]
    for choice in reversed(choices):
        path.append(choice[path[-1]])
    return np.array(path[::-1], dtype=np.float64) + np.arange(size)


def _law_magnitudes(d: float, size: int, unit: float) -> Floats:
    return best_magnitudes(*_moments(d, grid_edges(unit)), size, unit)


def _cells(magnitudes: Floats, unit: float) -> tuple[Floats, Floats]:
    """Levels and the thresholds halfway between them."""
    levels = (magnitudes + 0.5) * unit
    return levels, _midpoints(levels)


def _best_unit(d: float, magnitudes: Floats, unit: float) -> float:
    """The unit at which dD/dunit = 2 (unit E h**2 - E h|z|) vanishes, h the half-integer read."""
    h = magnitudes + 0.5

    def terms(unit: float) -> tuple[float, float]:
        mass, first = _moments(d, unit * _midpoints(h))
        return float(h * h @ mass), float(h @ first)

    square, product = terms(unit)
    slope, step = unit * square - product, product / square - unit
    while abs(step) > 1e-9 * unit:  # the secant method, from one step of alternation
        unit += step
        square, product = terms(unit)
        before, slope = slope, unit * square - product
        step *= slope / (before - slope)
    return unit


def _on_grid(
    bits: int, dim: int | None, magnitudes: Floats, unit: float, thresholds: Floats
) -> Levels:
    return Levels(
        bits=bits,
        dim=dim,
        magnitudes=_read_only(magnitudes.astype(np.int8)),
        unit=unit,
        thresholds=_read_only(thresholds.astype(np.float32)),
        distortion=_distortion(_dimension(bits, dim), (magnitudes + 0.5) * unit, thresholds),
    )
