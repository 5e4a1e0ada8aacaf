import math

import numpy as np
import pytest

from benchmarks import theory

ROUNDING = 1e-4  # of queries: below (max of 768 coordinates, about 3.3)^2 / (12 * 127^2)


def test_largest_of_one_and_of_two_coordinates():
    assert theory.mean_square_of_largest(1) == pytest.approx(1, rel=1e-6)
    assert theory.mean_square_of_largest(2) == pytest.approx(1 + 2 / math.pi, rel=1e-6)


def test_largest_of_many_coordinates():
    squares = np.abs(np.random.default_rng(0).standard_normal((4000, 500))).max(axis=1) ** 2
    error = squares.std() / math.sqrt(len(squares))
    assert abs(theory.mean_square_of_largest(500) - squares.mean()) < 4 * error


@pytest.mark.parametrize(("bits", "reported"), [(1, 0.428), (2, 0.0998), (3, 0.0268), (4, 0.0072)])
def test_eden(bits, reported):
    assert theory.eden_variance(bits, 768, 0.5) == pytest.approx(reported, abs=ROUNDING)


def test_one_bit_sketch_is_that_of_a_gaussian_projection():
    # The variance of sqrt(pi/2) |<s, q>| sign agreeing with <s, x>, s Gaussian: pi/2 - rho^2.
    expected = math.pi / 2 - 0.25
    assert theory.gaussian_sketch_variance(1, 768, 0.5) == pytest.approx(expected, abs=2 * ROUNDING)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_orthogonal_sketches_vary_less_than_gaussian_ones_and_more_than_eden(bits):
    orthogonal = theory.orthogonal_sketch_variance(bits, 768, 0.5)
    assert theory.eden_variance(bits, 768, 0.5) < orthogonal
    assert orthogonal < theory.gaussian_sketch_variance(bits, 768, 0.5)


def test_one_orthogonal_bit_is_a_one_bit_code_at_a_fixed_scale():
    # DRIVE's pi/2 - 1, of which a fixed scale leaves the part along x to its fluctuation.
    assert theory.orthogonal_sketch_variance(1, 768, 0.0) == pytest.approx(
        math.pi / 2 - 1, abs=2 * ROUNDING
    )


def test_along_a_vector_its_orthogonal_sketch_fluctuates_with_the_mean_magnitude():
    x = np.random.default_rng(0).standard_normal((8000, 128))
    mean = np.abs(x / np.linalg.norm(x, axis=1)[:, None]).mean(axis=1)
    measured = 128 * mean.var() / mean.mean() ** 2
    rounding = theory.mean_square_of_largest(128) / (12 * 127**2) * math.pi / 2
    expected = theory.orthogonal_sketch_variance(1, 128, 1.0) - rounding
    # The sample variance of 8,000 has relative error sqrt(2 / 8000); theory leaves out O(1 / d).
    assert measured == pytest.approx(expected, rel=4 * math.sqrt(2 / 8000) + 2 / 128)


def test_shrinkage():
    assert theory.shrinkage(1, 768, 0.5) == pytest.approx(-0.1816, abs=1e-3)
    assert theory.shrinkage(4, 768, 0.0) == 0


def test_range_of_eight_bits():
    x = np.random.default_rng(0).standard_normal((2000, 256))
    step = 2 * np.abs(x).max(axis=1) / 255
    measured = (step**2 / 12).mean()
    assert theory.range_distortion(8, 256, 0) == pytest.approx(measured, rel=0.02)
