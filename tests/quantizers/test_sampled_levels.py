"""Levels fitted to samples: as good as those of the law, and coarse where queries need it."""

import numpy as np
import pytest

from vqindex.quantizers.levels import MAGNITUDES, lloyd_max, scalar_levels
from vqindex.quantizers.sampled_levels import Class, candidates, choose


def normal(n, seed=0):
    return np.abs(np.random.default_rng(seed).standard_normal(n))


def distortion(sizes, magnitudes, unit):
    levels = (magnitudes + 0.5) * unit
    nearest = np.abs(sizes[:, None] - levels).min(axis=1)
    return (nearest**2).mean()


@pytest.mark.parametrize("bits", range(1, 8))
def test_levels_of_normal_values_are_lloyd_max(bits):
    """Within what a sample differs from its law and the grid from no grid."""
    found = candidates(normal(60_000), bits)
    best = found.errors.argmin()
    fresh = distortion(normal(60_000, 1), found.magnitudes[best], found.units[best])
    assert fresh <= 1.03 * scalar_levels(bits).distortion
    assert found.errors[best] == pytest.approx(fresh, rel=0.03)


@pytest.mark.parametrize("bits", range(1, 8))
def test_candidates_are_what_kernels_take(bits):
    found = candidates(normal(500) ** 3, bits)
    t = found.magnitudes
    assert t.shape == (len(found.units), 2 ** (bits - 1))
    assert (t == np.rint(t)).all()
    assert t.min() >= 0
    assert t.max() < MAGNITUDES
    assert (np.diff(t, axis=1) > 0).all()
    assert (np.diff(found.units) >= 0).all()
    assert (found.units > 0).all()


def test_levels_go_where_the_values_are():
    """Two bits for values near 1 and near 9: a level at each."""
    sizes = np.concatenate([1 + 0.01 * normal(50_000), 9 + 0.01 * normal(50_000)])
    found = candidates(sizes, 2)
    best = found.errors.argmin()
    levels = (found.magnitudes[best] + 0.5) * found.units[best]
    assert np.abs(levels - [1, 9]).max() < 0.15


@pytest.mark.parametrize("sizes", [np.zeros(0), np.zeros(100), np.full(3, 1e3)])
def test_few_values_or_odd_ones_still_give_levels(sizes):
    for bits in range(1, 8):
        found = candidates(sizes, bits)
        assert np.isfinite(found.errors).all()
        assert (found.units > 0).all()


def classes_of(spreads, bits):
    return [
        Class.of(np.arange(64 * w, 64 * w + 64), bits, candidates(normal(4000), bits),
                 np.repeat(np.square(spreads), 64), np.ones(64 * len(spreads)))
        for w in range(len(spreads))
    ]  # fmt: skip


def test_equal_directions_take_the_finest_levels_that_queries_allow():
    classes = classes_of([1.0, 1.0], 4)
    taken, fine = choose(classes, 2)
    assert fine == 0
    for own, i in zip(classes, taken, strict=True):
        error = own.candidates.errors
        assert error[i] <= 1.1 * lloyd_max_distortion(4)
        assert error[i] >= error.min()


def lloyd_max_distortion(bits):
    levels, _ = lloyd_max(bits)
    return distortion(normal(200_000, 3), levels - 0.5, 1.0)


def test_queries_are_fine_where_directions_differ_much():
    _, fine = choose(classes_of([100.0, 1.0], 7), 2)
    assert fine > 0
