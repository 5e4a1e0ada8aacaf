"""Product quantization: its codes are the nearest words, its scores their distances."""

import dataclasses
import pickle

import numpy as np
import pytest

from vqindex.clustering import sample_rows
from vqindex.datasets import load
from vqindex.errors import CorruptFileError, ShapeError, SpecError
from vqindex.kernels.reference import table
from vqindex.quantizers.product import Product, split
from vqindex.quantizers.words import SCALES

SHAPES = [(1, 1, 4), (7, 3, 4), (16, 16, 4), (65, 20, 4), (33, 4, 8)]  # dim, parts, bits
shapes = pytest.mark.parametrize(("dim", "parts", "bits"), SHAPES)


def rows(dim, n=400, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def fitted(dim, parts, bits, scale="none", n=400):
    return Product(parts, bits, scale=scale).fit(rows(dim, n), dim, 5)


def test_split():
    assert split(7, 3).tolist() == [0, 2, 4, 7]
    for dim, parts in ((384, 192), (384, 100), (5, 5), (9, 1)):
        starts = split(dim, parts)
        assert (starts[0], starts[-1], len(starts)) == (0, dim, parts + 1)
        assert set(np.diff(starts)) <= {dim // parts, -(-dim // parts)}


@shapes
def test_codes_are_the_nearest_words(dim, parts, bits):
    """But for float32's rounding of what is compared."""
    part, y = fitted(dim, parts, bits), rows(dim, 50, 1)
    codes = part.layout.unpack(part.encode(y).columns)
    starts = split(dim, parts)
    for s in range(parts):
        own = y[:, None, starts[s] : starts[s + 1]].astype(np.float64)
        distances = ((own - part.words[s, :, : own.shape[2]]) ** 2).sum(axis=2)
        found = np.take_along_axis(distances, codes[:, s : s + 1].astype(int), axis=1)[:, 0]
        assert (found <= distances.min(axis=1) + 1e-5).all()


@shapes
@pytest.mark.parametrize("scale", SCALES)
def test_tables_give_inner_products_and_distances(dim, parts, bits, scale):
    part, y, q = fitted(dim, parts, bits, scale), rows(dim, 50, 1), rows(dim, 5, 2)
    encoded = part.encode(y)
    codes = part.layout.unpack(encoded.columns)
    stands_for = encoded.approximation.astype(np.float64)
    assert stands_for.shape == y.shape
    tables = part.operand(q).reshape(5, parts, -1)
    scores = table.raw(codes, tables)
    if scale != "none":
        assert part.squares is None
        scores = scores * encoded.columns["scale"][:, None]
    assert scores == pytest.approx(stands_for @ q.T, rel=1e-4, abs=1e-4)
    if scale == "none":
        squares = table.raw(codes, part.squares.reshape(1, parts, -1))[:, 0]
        assert squares == pytest.approx((stands_for**2).sum(axis=1), rel=1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_scales_are_what_they_are_called(scale):
    part, y = fitted(24, 12, 4, scale), rows(24)
    x = part.encode(y).approximation.astype(np.float64)
    wide = y.astype(np.float64)
    if scale == "unbiased":
        assert (x * wide).sum(axis=1) == pytest.approx((wide**2).sum(axis=1), rel=1e-5)
    if scale == "length":
        assert np.linalg.norm(x, axis=1) == pytest.approx(np.linalg.norm(wide, axis=1), rel=1e-5)
    # And `shrink` makes the least error of it: no other factor does much better.
    errors = [((wide - f * part.shrink * x) ** 2).sum() for f in (0.97, 1, 1.03)]
    assert errors[1] == min(errors)
    assert errors[1] / (wide**2).sum() == pytest.approx(part.distortion, rel=0.05)


@shapes
@pytest.mark.parametrize("scale", SCALES)
def test_a_row_has_one_code(dim, parts, bits, scale):
    part, y = fitted(dim, parts, bits, scale), rows(dim, 70, 1)
    y[3] = y[4] = 0
    want = part.encode(y).columns
    assert {c.name for c in part.columns} == set(want)
    for i in (0, 3, 31, 32, 69):
        alone = part.encode(y[i : i + 1]).columns
        assert all(alone[name].tobytes() == want[name][i : i + 1].tobytes() for name in want)
    strided = part.encode(np.asfortranarray(y)).columns
    assert all(strided[name].tobytes() == want[name].tobytes() for name in want)
    whole = part.operand(y)
    assert all(part.operand(y[i : i + 1]).tobytes() == whole[i].tobytes() for i in range(5))
    assert np.isfinite(part.expand(want)).all()


@pytest.mark.parametrize("n", [1, 2, 17])
@pytest.mark.parametrize("scale", SCALES)
def test_few_rows_are_coded_without_error(n, scale):
    """A mean of equal rows is the row to within float32's rounding of sums."""
    y = np.repeat(rows(12, n), 3, axis=0)
    part = Product(6, 8, scale=scale).fit(y, 12, 0)
    assert part.encode(y).approximation == pytest.approx(y, rel=1e-5, abs=1e-6)
    assert 0 <= part.distortion < 1e-6


@pytest.mark.parametrize(("parts", "dim", "optimum"), [(192, 384, 0.1086), (96, 384, 0.3426)])
def test_distortion_of_a_gaussian(parts, dim, optimum):
    """Sixteen words for two dimensions, and for four, within 2 % of the best there is.

    A random start ends in a local optimum for some of the sub-spaces.
    """
    part = Product(parts, 4).fit(rows(dim, sample_rows(16)), dim, 0)
    y = rows(dim, 2000, 1)
    errors = ((y - part.encode(y).approximation) ** 2).sum(dtype=np.float64) / (y**2).sum()
    assert errors == pytest.approx(optimum, rel=0.02)


@pytest.mark.parametrize(("parts", "bits"), [(64, 4), (8, 8)])
def test_distortion_is_that_of_faiss(parts, bits):
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    x = load("sample").base[: 10 << bits].astype(np.float32)
    x -= x.mean(axis=0)
    theirs = faiss.ProductQuantizer(x.shape[1], parts, bits)
    theirs.train(x)
    decoded = theirs.decode(theirs.compute_codes(x))
    ours = Product(parts, bits).fit(x, x.shape[1], 0)
    errors = [((x - y) ** 2).sum() for y in (ours.encode(x).approximation, decoded)]
    assert errors[0] <= 1.01 * errors[1]


def test_specs():
    assert Product.from_spec("PQ", (48, 8), {}) == Product(48, 8)
    assert Product.from_spec("OPQ", (48, 4), {"scale": "length"}).spec == "OPQ48x4(scale=length)"
    assert Product(3, center=False, scale="unbiased").spec == "PQ3x4(center=no,scale=unbiased)"
    assert (Product(3).rotation, Product(3, 8, rotated=True).rotation) == ("None", "OPQ3x8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": 0}, "parts must be an integer >= 1, got 0"),
        ({"parts": 8, "bits": 5}, "4 or 8 bits, got 5"),
        ({"parts": 8, "scale": "fixed"}, "one of none, unbiased, length, got 'fixed'"),
        ({"parts": 8, "center": "maybe"}, "center must be yes or no"),
    ],
)
def test_refused_recipes(options, message):
    with pytest.raises(SpecError, match=message):
        Product(**options)


@pytest.mark.parametrize("number", [None, 8, 2.5, (8, 4, 2)])
def test_refused_numbers(number):
    with pytest.raises(SpecError, match="such as PQ48x4"):
        Product.from_spec("PQ", number, {})


def test_more_codes_than_dimensions():
    with pytest.raises(ShapeError, match=r"PQ8x4 needs .* 8 codes, got rows of 7"):
        Product(8).fit(rows(7), 7, 0)


def test_arrays_make_it_again():
    recipe, y = Product(5, 4, scale="unbiased"), rows(12)
    part = recipe.fit(y, 12, 0)
    for again in (recipe.restore(part.arrays(), 12), pickle.loads(pickle.dumps(part))):
        assert again.distortion == part.distortion
        for name, column in part.encode(y).columns.items():
            assert (again.encode(y).columns[name] == column).all()
    with pytest.raises(dataclasses.FrozenInstanceError):
        part.dim = 3


@pytest.mark.parametrize(
    "damage",
    [
        {"words": np.zeros((5, 16, 2), np.float32)},
        {"words": np.full((5, 16, 3), np.nan, np.float32)},
        {"words": np.zeros((5, 16, 3))},
        {"distortion": np.array(1.0)},
        {"distortion": np.array(-0.1)},
    ],
)
def test_damaged_arrays(damage):
    recipe = Product(5, 4)
    arrays = recipe.fit(rows(12), 12, 0).arrays()
    with pytest.raises(CorruptFileError):
        recipe.restore(arrays | damage, 12)
