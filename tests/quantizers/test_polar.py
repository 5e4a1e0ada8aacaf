"""Figures of polar codes: the law of angles, distortion, unbiased scales."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.errors import CorruptFileError, SpecError
from vqindex.quantizers import LloydMax, Polar, Pyramid
from vqindex.quantizers.polar import angle_levels


def test_levels_are_mean_directions_of_their_cells():
    """Of sampled angles of each step: Gaussian entries, then radii of pairs."""
    values = np.random.default_rng(0).standard_normal((50_000, 16))
    levels, cosine = angle_levels()
    product = 1.0
    for step, own in enumerate(levels):
        first, second = values[:, ::2], values[:, 1::2]
        angles = np.arctan2(second, first).ravel() % (2 * np.pi)
        cells = np.searchsorted((own[1:] + own[:-1]) / 2, angles)
        for i, level in enumerate(own):
            off = angles[cells == i] - level
            if step == 0 and i in (0, 15):
                off = (off + np.pi) % (2 * np.pi) - np.pi
            assert abs(np.sin(off).mean()) <= 5 * np.sin(off).std() / len(off) ** 0.5
        product *= np.cos(angles - own[cells]).mean()
        values = np.hypot(first, second)
    assert product == pytest.approx(cosine, abs=2e-4)


def test_distortion_is_the_expected_one():
    """Of Gaussian rows: what four independent cosines make it, and the grid's 1e-4 at most."""
    part = Polar().fit(None, 384, 0)
    x = np.random.default_rng(0).standard_normal((2000, 384)).astype(np.float32)
    decoded = part.expand(part.encode(x).columns) * np.float32(part.shrink)
    each = ((x - decoded).astype(np.float64) ** 2).sum(axis=1) / (x.astype(np.float64) ** 2).sum(1)
    error = 5 * each.std() / len(each) ** 0.5
    assert part.distortion == pytest.approx(0.0318, abs=5e-5)
    assert -error <= each.mean() - part.distortion <= error + 1e-4


def test_others_are_better():
    """Of fewer bits, and of an eighth of a bit more."""
    mine = Polar().fit(None, 384, 0).distortion
    assert Pyramid(3).fit(None, 384, 0).distortion < mine
    assert LloydMax(4).fit(None, 384, 0).distortion < mine / 3


def test_inner_products_are_unbiased():
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
        index = vq.index_factory("Polar(center=no)", metric="ip", seed=seed)
        index.add(rho * q + other)
        found = index.search(q, n)
        errors[seed, found.ids] = found.scores - rho
    means = errors.mean(axis=1)
    assert abs(means.mean()) <= 4 * means.std() / seeds**0.5
    d = Polar().fit(None, dim, 0).distortion
    want = d / (1 - d) * (1 - rho**2) / (dim - 1)
    assert errors.var() == pytest.approx(want, rel=4 * np.sqrt(2 / errors.size))


def test_specs():
    for spec, message in {
        "Polar4": "Polar takes no number, got Polar and 4",
        "Polar(center=maybe)": "center must be yes or no",
        "Polar(scale=biased)": "Polar has no option 'scale'; it has center",
    }.items():
        with pytest.raises(SpecError, match=message):
            vq.index_factory(spec)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("angles", np.ones(27)),
        ("angles", np.full(28, 100.0)),
        ("angles", np.ones(28, np.float32)),
        ("distortion", np.array(1.0)),
        ("distortion", None),
    ],
)
def test_hostile_arrays(name, wrong):
    arrays = Polar().fit(None, 100, 0).arrays() | {name: wrong}
    with pytest.raises(CorruptFileError):
        Polar().restore(arrays, 100)
