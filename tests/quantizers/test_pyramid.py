"""Figures of pyramid codes: distortion, the law of gains, unbiased scales."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.errors import CorruptFileError, SpecError
from vqindex.quantizers import Pyramid
from vqindex.quantizers.pyramid import gain_levels

FIGURES = {1: 0.3607, 2: 0.0934, 3: 0.0229, 4: 0.00581}  # 64 dimensions and a gain of 3 bits


def gaussian(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


@pytest.mark.parametrize("bits", FIGURES)
def test_distortion(bits):
    """Of Gaussian rows, within 3 % of what is known; and what the quantizer says of itself."""
    part = Pyramid(bits).fit(None, 384, 0)
    x = gaussian(600, 384)
    decoded = part.expand(part.encode(x).columns) * np.float32(part.shrink)
    found = ((x - decoded) ** 2).sum() / (x**2).sum()
    assert found == pytest.approx(FIGURES[bits], rel=0.03)
    assert part.distortion == pytest.approx(found, rel=0.02)
    assert part.columns[0].width * 8 / 384 == bits + 3 / 64 + (8 - 6 * 3 % 8) % 8 / 384


@pytest.mark.parametrize(("n", "d"), [(64, 384), (1, 65), (36, 100), (64, 65), (64, 4096)])
def test_gains_are_lloyd_max_levels_of_a_norm(n, d):
    """Each the mean of the norms nearest to it, as sampled."""
    first, rest = (np.random.default_rng(s).chisquare(f, 400_000) for s, f in ((1, n), (2, d - n)))
    norms = np.sqrt(d * first / (first + rest))
    levels, edges = gain_levels(n, d)
    assert (edges == (levels[1:] + levels[:-1]) / 2).all()
    cells = np.searchsorted(edges, norms)
    for i, level in enumerate(levels):
        own = norms[cells == i]
        assert abs(own.mean() - level) <= 5 * own.std() / len(own) ** 0.5


def test_one_group_has_one_norm():
    levels, edges = gain_levels(64, 64)
    assert (levels == 8).all()
    assert (edges == 8).all()


@pytest.mark.parametrize("bits", [1, 3])
def test_inner_products_are_unbiased(bits):
    """Over rotations and rows; the variance of errors is D / (1 - D) (1-rho^2)/(d-1)."""
    dim, rho, seeds, n = 192, 0.5, 24, 400
    errors = np.empty((seeds, n))
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        q = rng.standard_normal(dim)
        q /= np.linalg.norm(q)
        other = rng.standard_normal((n, dim))
        other -= np.outer(other @ q, q)
        other *= np.sqrt(1 - rho**2) / np.linalg.norm(other, axis=1)[:, None]
        index = vq.index_factory(f"PVQ{bits}(center=no)", metric="ip", seed=seed)
        index.add(rho * q + other)
        found = index.search(q, n)
        errors[seed, found.ids] = found.scores - rho
    means = errors.mean(axis=1)
    assert abs(means.mean()) <= 4 * means.std() / seeds**0.5
    d = Pyramid(bits).fit(None, dim, 0).distortion
    want = d / (1 - d) * (1 - rho**2) / (dim - 1)
    assert errors.var() == pytest.approx(want, rel=4 * np.sqrt(2 / errors.size))


def test_specs():
    assert Pyramid().spec == "PVQ4"
    for wrong in (0, 5, 2.5, (2, 2), True):
        with pytest.raises(SpecError, match="bits must be 1 to 4"):
            Pyramid(wrong)
    for spec, message in {
        "PVQ": "PVQ needs its bits, such as PVQ4",
        "PVQ5": "bits must be 1 to 4, got 5",
        "PVQ4(center=maybe)": "center must be yes or no",
        "PVQ4(scale=biased)": "PVQ has no option 'scale'; it has center",
    }.items():
        with pytest.raises(SpecError, match=message):
            vq.index_factory(spec)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("gains", np.ones((2, 7), np.float32)),
        ("gains", -np.ones((2, 8), np.float32)),
        ("gains", np.full((2, 8), 1e7, np.float32)),
        ("gains", np.full((2, 8), np.nan, np.float32)),
        ("edges", np.ones((1, 7), np.float32)),
        ("distortion", np.array(1.0)),
        ("distortion", np.array(-0.5)),
        ("distortion", None),
    ],
)
def test_hostile_arrays(name, wrong):
    arrays = Pyramid().fit(None, 100, 0).arrays() | {name: wrong}
    with pytest.raises(CorruptFileError):
        Pyramid().restore(arrays, 100)
