"""Levels on the integer grid that fit a sample, and units at which int8 queries are fine enough.

A level is (t + 1/2) * unit with t below 128. At the least unit, levels lie where the sample wants
them; but a query's entry is its coordinate times the unit, and the entries of all dimensions are
rounded in steps of one size, which the largest of them sets. So the units of all classes (the
entries of a word that have equal bits) are chosen together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from vqindex.layouts.mixed import WORD
from vqindex.quantizers.levels import MAGNITUDES, best_magnitudes, grid_edges

Floats = npt.NDArray[np.float64]

UNITS = 16  # tried for each class
PRIOR = 256  # normal values that a sample is joined with, so that a few rows fix no level
LARGEST = 2.5  # a query's largest entry, over the largest root mean square of an entry
STEPS = 40  # largest entries tried
CLOSE = 1.1  # of the least error, for fewer fine words
FINER = 254  # by how much an entry's remainder is finer than the entry


@dataclass(frozen=True)
class Candidates:
    """Levels of one class at some units, ascending.

    magnitudes   (m, size); units, errors (m,): mean square errors of z
    """

    magnitudes: Floats
    units: Floats
    errors: Floats


def candidates(sizes: Floats, bits: int) -> Candidates:
    """The best levels of |z| at several units; sizes (n,) >= 0, z of variance about one."""
    normal = [NormalDist().inv_cdf(0.5 + (i + 0.5) / (2 * PRIOR)) for i in range(PRIOR)]
    z = np.sort(np.concatenate([sizes, normal]))
    sums = np.append(0.0, np.cumsum(z))
    size = 2 ** (bits - 1)
    reach = z.mean() if bits == 1 else z[int(0.9999 * (len(z) - 1))]
    found, units, errors = [], [], []
    for unit in reach / np.geomspace(MAGNITUDES - 0.5, size - 0.5, UNITS):
        cells = np.concatenate([[0], np.searchsorted(z, grid_edges(unit)), [len(z)]])
        t = best_magnitudes(np.diff(cells) / len(z), np.diff(sums[cells]) / len(z), size, unit)
        for _ in range(3):  # the unit that is best for these magnitudes
            edges = unit / 2 * (t[1:] + t[:-1] + 1)
            cells = np.concatenate([[0], np.searchsorted(z, edges), [len(z)]])
            counts, totals, levels = np.diff(cells), np.diff(sums[cells]), t + 0.5
            unit = float(levels @ totals / (levels**2 @ counts))
        found.append(t)
        units.append(unit)
        errors.append((z @ z - unit * (levels @ totals)) / len(z))
    order = np.argsort(units, kind="stable")
    return Candidates(np.array(found)[order], np.array(units)[order], np.array(errors)[order])


@dataclass(frozen=True)
class Class:
    """Entries of a word that have equal bits, and what their levels are worth.

    entries     (m,) int64
    candidates  levels at several units
    cost        sum of w_j sigma_j^2, of a unit of error
    noise       sum of w_j / sigma_j^2, of rounding, over the square of a unit
    reach       largest sigma_j^2, of an entry over a unit
    """

    entries: npt.NDArray[np.int64]
    bits: int
    candidates: Candidates
    cost: float
    noise: float
    reach: float

    @classmethod
    def of(
        cls,
        entries: npt.NDArray[np.int64],
        bits: int,
        candidates: Candidates,
        squares: Floats,
        weights: Floats,
    ) -> "Class":
        """From sigma_j^2 and w_j of all entries."""
        own, w = squares[entries], weights[entries]
        cost, noise = float((w * own).sum()), float((w / own).sum())
        return cls(entries, bits, candidates, cost, noise, float(own.max()))

    @property
    def word(self) -> int:
        """Of the entries."""
        return int(self.entries[0]) // WORD


def choose(classes: Sequence[Class], words: int) -> tuple[list[int], int]:
    """Which candidate each class takes, and how many words of a query are to be fine.

    With s the step that a query's entries are rounded to, the error of a score is
        sum over classes of cost * error + s^2 / 12 * noise / unit^2,
    s less by FINER in fine words. For each largest entry that sets s, each class takes what is
    best for it; and as few words are fine as bring the error near to its least.
    """
    best = [_choose(classes, fine) for fine in range(words + 1)]
    least = min(error for error, _ in best)
    fine = next(i for i, (error, _) in enumerate(best) if error <= CLOSE * least)
    return best[fine][1], fine


def _choose(classes: Sequence[Class], fine: int) -> tuple[float, list[int]]:
    entries = [c.reach * c.candidates.units for c in classes]
    low, high = (max(float(f(e)) for e in entries) for f in (np.min, np.max))
    best: tuple[float, list[int]] = (np.inf, [])
    for largest in np.geomspace(low, high, STEPS) * (1 + 1e-9):
        step = LARGEST * largest / 127
        total, taken = 0.0, []
        for c, entry in zip(classes, entries, strict=True):
            own = step / FINER if c.word < fine else step
            noise = own**2 / 12 * c.noise / c.candidates.units**2
            error = np.where(entry <= largest, c.cost * c.candidates.errors + noise, np.inf)
            taken.append(int(error.argmin()))
            total += float(error.min())
        if total < best[0]:
            best = total, taken
    return best
