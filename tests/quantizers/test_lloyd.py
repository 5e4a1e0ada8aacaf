"""Lloyd's method for any law, against levels that are known."""

import numpy as np
import pytest

from vqindex.quantizers.levels import lloyd_max
from vqindex.quantizers.lloyd import lloyd


@pytest.fixture(scope="module")
def normal_law():
    z = np.linspace(-9, 9, 200_001)
    return z, np.exp(-0.5 * z * z)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_gaussian_levels(bits, normal_law):
    levels = lloyd(*normal_law, 2**bits)
    known = lloyd_max(bits)[0]
    assert np.abs(levels - np.concatenate([-known[::-1], known])).max() < 1e-4


@pytest.mark.parametrize(
    ("count", "positive"),
    [(3, [1.2240]), (5, [0.7645, 1.7241])],
)
def test_odd_numbers_of_levels(count, positive, normal_law):
    levels = lloyd(*normal_law, count)
    want = [*(-x for x in positive[::-1]), 0, *positive]
    assert np.abs(levels - want).max() < 1e-4


def test_uniform_levels():
    found = lloyd((np.arange(100_000) + 0.5) / 100_000, np.ones(100_000), 4)
    assert np.abs(found - np.array([1, 3, 5, 7]) / 8).max() < 1e-4
