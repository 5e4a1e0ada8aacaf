"""Encoding to evenly spaced levels against the reference: codes exactly, sums within rounding."""

import numpy as np
import pytest

from tests.kernels.test_encode import DIMS, gamma
from vqindex.kernels.cpu import grid
from vqindex.kernels.reference import scalar
from vqindex.layouts.scalar import ScalarCodes, Segment


def layout_of(dims, bits):
    return ScalarCodes((Segment(dims, tuple(range(2 ** (bits - 1)))),))


def rows_of(dims, bits, n=20):
    """Values, centers and factors: entries of every cell and beyond, halves, ties and zeros."""
    rng = np.random.default_rng([dims, bits])
    x = rng.standard_normal((n, dims)) * rng.lognormal(size=(n, 1))
    centers = rng.standard_normal(n) * (np.arange(n) % 3)
    factors = 2.0**bits / 6 / np.abs(x).mean(axis=1)
    x[0], x[1], x[2, ::2] = 0, -0.0, -0.0
    x[3], centers[3], factors[3] = rng.integers(-300, 300, dims), 0, 0.5
    x[4], centers[4] = centers[4], 2
    return x.astype(np.float32), centers.astype(np.float32), factors.astype(np.float32)


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_equal_the_reference(dims, bits):
    values, centers, factors = rows_of(dims, bits)
    layout = layout_of(dims, bits)
    columns, sums = layout.encode_grid(values, centers, factors)
    x = values - centers[:, None]
    want = layout.pack(scalar.encode_grid(x * factors[:, None], bits))
    assert columns.keys() == want.keys()
    assert all((columns[name] == want[name]).all() for name in want)
    size, u = np.abs(x).astype(np.float64), np.abs(layout.levels(columns).astype(np.float64))
    exact = np.stack([(size * u).sum(1), (u * u).sum(1), size.sum(1)], axis=1)
    assert (np.abs(sums - exact) <= gamma(1 + 4 * -(-dims // 64) + 4) * exact).all()


def test_a_row_is_coded_alike_alone_and_among_others():
    values, centers, factors = rows_of(100, 4)
    columns, sums = layout_of(100, 4).encode_grid(values, centers, factors)
    for i in range(len(values)):
        one = slice(i, i + 1)
        alone, own = layout_of(100, 4).encode_grid(values[one], centers[one], factors[one])
        assert all((alone[name] == columns[name][one]).all() for name in columns)
        assert own.tobytes() == sums[one].tobytes()


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_remainders_are_what_codes_leave(bits):
    values, centers, factors = rows_of(70, bits)
    out = np.full_like(values, np.nan)
    grid.remainders(values, centers, factors, bits, np.float32(15), out)
    z = (values - centers[:, None]) * factors[:, None]
    codes = scalar.encode_grid(z, bits)
    levels = scalar.levels_of(codes, np.arange(2 ** (bits - 1), dtype=np.int8)) + np.float32(0.5)
    assert (out == np.float32(15) * (z - levels)).all()


@pytest.mark.parametrize("dims", DIMS)
def test_extents(dims):
    values = np.random.default_rng(dims).standard_normal((9, dims)).astype(np.float32)
    values[0], values[1], values[2] = 7, -7, np.arange(dims)
    low, high = np.full((2, 9), np.nan, np.float32)
    grid.extents(values, low, high)
    assert (low == values.min(axis=1)).all()
    assert (high == values.max(axis=1)).all()


def test_no_rows():
    none = np.empty(0, np.float32)
    columns, sums = layout_of(7, 3).encode_grid(np.empty((0, 7), np.float32), none, none)
    assert columns["plane"].shape == (0, 1)
    assert columns["rest"].shape == (0, 2)
    assert sums.shape == (0, 3)
