"""KVQuant's codes: levels near the best there are, and outliers that are the worst of a row."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.errors import CorruptFileError, ShapeError, SpecError
from vqindex.quantizers.nonuniform import STEPS, NonUniform, best_levels
from vqindex.quantizers.words import SCALES

DIMS = (1, 2, 3, 7, 64, 300)


def rows(dim, n=400, seed=0):
    """Coordinates of many widths and centres, with tails."""
    rng = np.random.default_rng(seed)
    x = rng.standard_t(3, (n, dim)) * 10 ** rng.uniform(-1, 1, dim) + rng.standard_normal(dim)
    return x.astype(np.float32)


@pytest.mark.parametrize(
    ("count", "optimum"), [(2, 0.36338), (4, 0.11748), (16, 0.00950), (256, 4.15e-5)]
)
def test_levels_of_a_gaussian(count, optimum):
    """Their error on the sample is Lloyd-Max's: less what they fit, more what Lloyd's leaves."""
    v = np.sort(np.random.default_rng(0).standard_normal(50_000))
    levels = best_levels(v, count)
    nearest = levels[np.searchsorted(0.5 * (levels[1:] + levels[:-1]), v)]
    error = ((v - nearest) ** 2).sum() / (v**2).sum()
    assert error == pytest.approx(optimum, rel=0.02 if count < 256 else 0.05)


def test_equal_values_take_one_level():
    """Half the values are zero: of 16 levels one is theirs, and all but a few are used."""
    rng = np.random.default_rng(0)
    v = np.sort(np.concatenate([np.zeros(5000), rng.exponential(1, 5000)]))
    levels = best_levels(v, 16)
    nearest = np.abs(v[:, None] - levels).argmin(axis=1)
    assert len(np.unique(nearest)) >= 14
    plain = best_levels(v[5000:], 15)
    error, least = (
        (np.abs(v[5000:, None] - each).min(axis=1) ** 2).sum() for each in (levels, plain)
    )
    assert error <= 1.25 * least


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [1e18] * 5, [1.0, 1.0, 2.0]])
def test_few_values_are_levels(values):
    levels = best_levels(np.array(values), 4)
    assert (np.diff(levels) >= 0).all()
    assert {float(v) for v in values} <= set(levels.tolist())


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("dim", DIMS)
def test_codes_are_nearest_levels_and_outliers_the_worst(dim, bits):
    recipe = NonUniform(bits, 0.1)
    part, y = recipe.fit(rows(dim), dim, 0), rows(dim, 60, 1)
    columns = part.encode(y).columns
    left = y[:, :, None].astype(np.float64) - part.levels
    left = np.take_along_axis(left, np.abs(left).argmin(2)[:, :, None], 2)[:, :, 0]
    tolerance = 1e-5 * np.abs(y).max()
    assert np.abs(np.abs(part.left(y)) - np.abs(left)).max() <= tolerance
    coordinates, values = part.layout.parts[1].outliers(columns)
    assert coordinates.shape == (60, max(1, round(0.1 * dim)))
    kept = np.take_along_axis(np.abs(left), coordinates, 1)
    worst = np.sort(np.abs(left), axis=1)[:, ::-1][:, : kept.shape[1]]
    assert np.abs(kept - worst).max() <= tolerance
    fits = kept < STEPS * part.unit
    error = np.take_along_axis(y - part.expand(columns), coordinates, 1)
    assert np.abs(error[fits]).max(initial=0) <= 0.5 * part.unit + tolerance
    assert (np.abs(values[~fits]) == STEPS).all()


def test_levels_leave_tails_to_outliers():
    """A few entries a hundred times as large move no level, and are kept to a step."""
    y = np.random.default_rng(0).standard_normal((4000, 32)).astype(np.float32)
    far = y.copy()
    far[np.arange(0, 4000, 8), np.arange(500) % 32] *= 100
    plain, part = (NonUniform(4, 0.05).fit(x, 32, 0) for x in (y, far))
    assert np.abs(part.levels - plain.levels).max() < 0.5
    error = np.abs(far - part.encode(far).approximation)
    assert error.max() < 2 * part.unit + np.abs(plain.levels).max()


@pytest.mark.parametrize("scale", SCALES)
def test_scales(scale):
    y = rows(24)
    part = NonUniform(2, scale=scale).fit(y, 24, 0)
    x, wide = part.encode(y).approximation.astype(np.float64), y.astype(np.float64)
    if scale == "unbiased":
        assert (x * wide).sum(axis=1) == pytest.approx((wide**2).sum(axis=1), rel=1e-5)
    if scale == "length":
        assert np.linalg.norm(x, axis=1) == pytest.approx(np.linalg.norm(wide, axis=1), rel=1e-5)
    if scale == "none":
        error = ((wide - x) ** 2).sum() / (wide**2).sum()
        assert part.distortion == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("spec", ["NUQ4", "NUQ2(outliers=0.05,scale=length)", "NUQ8(outliers=0.0)"])
def test_bounds_spare_nothing(spec, metric):
    """What bounds leave out is not among the nearest: with and without them, one query or many."""
    x = rows(70, 9000)
    index = vq.index_factory(spec, metric=metric)
    index.add(x)
    q = x[:40] + rows(70, 40, 3) / 5
    exact = index.search(q, 10, stages="off")
    for found in (index.search(q, 10), [index.search(one, 10) for one in q]):
        ids = found.ids if hasattr(found, "ids") else np.array([one.ids for one in found])
        assert (ids == exact.ids).all()


def test_more_outliers_than_fit():
    with pytest.raises(ShapeError, match=r"keeps up to 512 outliers .* got 625 of 2,500"):
        NonUniform(4, 0.25).fit(np.ones((2, 2500), np.float32), 2500, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 3}, "1, 2, 4 or 8 bits, got 3"),
        ({"bits": 4.0}, "1, 2, 4 or 8 bits, got 4.0"),
        ({"bits": 4, "outliers": True}, "a share from 0 to 0.25, got True"),
        ({"bits": 4, "outliers": float("nan")}, "a share from 0 to 0.25, got nan"),
        ({"bits": 4, "scale": "fixed"}, "one of none, unbiased, length, got 'fixed'"),
        ({"bits": 4, "center": "maybe"}, "center must be yes or no"),
    ],
)
def test_refused_recipes(options, message):
    with pytest.raises(SpecError, match=message):
        NonUniform(**options)


@pytest.mark.parametrize(
    "damage",
    [
        {"levels": np.zeros((12, 15), np.float32)},
        {"levels": np.zeros((12, 16))},
        {"levels": np.full((12, 16), np.nan, np.float32)},
        {"levels": np.tile(np.arange(16, 0, -1, np.float32), (12, 1))},
        {"unit": np.array(-1.0, np.float32)},
        {"unit": np.array(np.inf, np.float32)},
        {"unit": np.array(1.0)},
        {"distortion": np.array(1.0)},
        {"distortion": None},
    ],
)
def test_damaged_arrays(damage):
    recipe = NonUniform(4)
    arrays = recipe.fit(rows(12), 12, 0).arrays()
    with pytest.raises(CorruptFileError):
        recipe.restore(arrays | damage, 12)
