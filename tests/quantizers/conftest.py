"""How far codes are from what they code."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def gaussian():
    return np.random.default_rng(0).standard_normal((10, 100_000)).astype(np.float32)


@pytest.fixture(scope="session")
def distortion():
    """A function: the mean square error of the least-error reconstruction of rows, each of many
    coordinates, over their mean square, and four of its standard errors."""

    def measure(recipe, y):
        part = recipe.fit(None, y.shape[1], 0)
        x = part.encode(y).approximation.astype(np.float64) * part.shrink
        errors = (x - y) ** 2 / (y.astype(np.float64) ** 2).mean()
        return errors.mean(), 4 * errors.std() / errors.size**0.5

    return measure
