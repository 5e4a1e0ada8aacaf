"""Residual quantization: sums of words near their rows, nearer with a wider beam."""

import pickle
from itertools import pairwise

import numpy as np
import pytest

from vqindex.datasets import load
from vqindex.errors import CorruptFileError, ShapeError, SpecError
from vqindex.kernels.reference import beam, table
from vqindex.quantizers.product import Product
from vqindex.quantizers.residual import Residual
from vqindex.quantizers.words import SCALES
from vqindex.subspaces import Subspaces

SHAPES = [(1, Residual(2)), (7, Residual(6, groups=3)), (20, Residual(5)), (9, Residual(2, 8))]
shapes = pytest.mark.parametrize(("dim", "recipe"), SHAPES, ids=str)


def rows(dim, n=400, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def error(x, part):
    approximation = part.encode(x).approximation
    return ((x - approximation) ** 2).sum(dtype=np.float64) / (x**2).sum(dtype=np.float64)


@shapes
def test_codes_are_those_of_the_reference(dim, recipe):
    """All but few: where two sums are as near, float32's rounding decides."""
    part, y = recipe.fit(rows(dim), dim, 3), rows(dim, 60, 1)
    codes = part.layout.unpack(part.encode(y).columns)
    stages = recipe.parts // recipe.groups
    edges = np.arange(recipe.groups + 1) * dim // recipe.groups
    for group in range(recipe.groups):
        start, stop = edges[group : group + 2]
        words = part.words[group, :, : stop - start].reshape(stages, -1, stop - start)
        want = beam.encode(y[:, start:stop], words, recipe.beam)
        found = codes[:, stages * group : stages * (group + 1)]
        assert (found == want).all(axis=1).mean() >= 0.95


@shapes
@pytest.mark.parametrize("scale", SCALES)
def test_tables_give_inner_products(dim, recipe, scale):
    made = Residual(recipe.parts, recipe.bits, groups=recipe.groups, scale=scale)
    part, y, q = made.fit(rows(dim), dim, 3), rows(dim, 50, 1), rows(dim, 5, 2)
    encoded = part.encode(y)
    codes = part.layout.unpack(encoded.columns)
    scores = table.raw(codes, part.operand(q).reshape(5, recipe.parts, -1))
    if scale != "none":
        scores = scores * encoded.columns["scale"][:, None]
    stands_for = encoded.approximation.astype(np.float64)
    assert scores == pytest.approx(stands_for @ q.T, rel=1e-4, abs=1e-4)
    assert {c.name for c in part.columns} == set(encoded.columns)


@shapes
def test_a_row_has_one_code(dim, recipe):
    part, y = recipe.fit(rows(dim), dim, 3), rows(dim, 300, 1)
    want = part.encode(y).columns["codes"]
    assert all((part.encode(y[i : i + 1]).columns["codes"] == want[i]).all() for i in (0, 255, 299))
    assert (part.encode(np.asfortranarray(y)).columns["codes"] == want).all()


def test_as_many_groups_as_codes_is_product_quantization():
    """One stage each: words are the nearest, whatever they are."""
    x = rows(12, 2000)
    residual, product = Residual(6, groups=6).fit(x, 12, 0), Product(6).fit(x, 12, 0)
    assert residual.words.shape == product.words.shape
    assert residual.distortion == pytest.approx(product.distortion, rel=0.05)


def test_less_error_than_product_codes_and_with_a_wider_beam():
    """On embeddings, in as many bytes, on rows of their own."""
    base, d = load("sample").base[:3000, :64].astype(np.float32), 64
    base -= base.mean(axis=0)
    x, y = base[:2000], base[2000:]
    errors = [error(y, recipe.fit(x, d, 0)) for recipe in (Product(8), Residual(8, beam=1))]
    errors.append(error(y, Residual(8, beam=8).fit(x, d, 0)))
    assert errors == sorted(errors, reverse=True)


def test_each_stage_lessens_the_error():
    x = rows(16, 3000)
    errors = [Residual(parts).fit(x, 16, 0).distortion for parts in (1, 2, 4, 8)]
    assert all(b < 0.9 * a for a, b in pairwise(errors))


@pytest.mark.parametrize("n", [1, 2, 17])
def test_few_and_equal_rows(n):
    x = np.repeat(rows(12, n), 2, axis=0)
    x[0] = 0
    part = Residual(4, scale="unbiased").fit(x, 12, 0)
    encoded = part.encode(x)
    assert np.isfinite(encoded.columns["scale"]).all()
    assert np.isfinite(encoded.approximation).all()
    assert 0 <= part.distortion < 1


def far(dim, n=400, seed=0):
    """Rows whose third of every four dimensions is ten times as large as others."""
    return rows(dim, n, seed) * np.where(np.arange(dim) % 4 == 2, 10, 1).astype(np.float32)


def test_outliers_are_the_dimensions_of_the_largest_squares():
    """They come first, each group in order; and codes are those of rows that lie so already."""
    x, y = far(20), far(20, 50, 1)
    part = Residual(6, groups=3, outliers=0.25).fit(x, 20, 0)
    order, starts = part.spaces.order, part.spaces.starts
    assert order[:5].tolist() == [2, 6, 10, 14, 18]
    assert (np.diff(order[5:]) > 0).all()
    assert starts.tolist() == [0, 5, 12, 20]
    assert (part.spaces.unplaced(part.spaces.placed(y)) == y).all()
    plain = Residual(6, groups=3).fit(x[:, order], 20, 0)
    again = type(plain)(Subspaces(starts, part.words), 4, "none", 0.0, 5)
    want = again.encode(y[:, order])
    assert (part.encode(y).columns["codes"] == want.columns["codes"]).all()
    assert (part.encode(y).approximation[:, order] == want.approximation).all()
    assert (part.operand(y) == again.operand(y[:, order])).all()


def test_codes_of_their_own_are_worth_it_where_few_dimensions_are_large():
    sizes = 0.9 ** np.arange(40, dtype=np.float32)
    x, y = rows(40, 3000) * sizes, rows(40, 500, 1) * sizes
    plain, apart = (Residual(8, groups=4, outliers=share).fit(x, 40, 0) for share in (0, 0.1))
    assert error(y, apart) < 0.9 * error(y, plain)


def test_specs():
    options = {"beam": "3", "groups": "2", "scale": "length", "center": False}
    recipe = Residual.from_spec("RQ", (8, 4), options)
    assert recipe == Residual(8, 4, 3, 2, "length", False)
    assert recipe.spec == "RQ8x4(beam=3,center=no,groups=2,scale=length)"
    assert Residual(16, 8).spec == "RQ16x8"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": 0}, "parts must be an integer >= 1, got 0"),
        ({"parts": 8, "bits": 5}, "4 or 8 bits, got 5"),
        ({"parts": 8, "beam": 0}, "beam must be an integer >= 1, got 0"),
        ({"parts": 8, "groups": 3}, "divide the 8 codes, got 3"),
        ({"parts": 8, "scale": "fixed"}, "one of none, unbiased, length, got 'fixed'"),
        ({"parts": 8, "groups": 2, "outliers": 0.6}, "a share from 0 to 0.5, got 0.6"),
        ({"parts": 8, "outliers": 0.1}, "a group of their own: use groups=2"),
        ({"parts": 8, "center": 1}, "center must be yes or no, got 1"),
        ({"parts": 32, "bits": 8}, "up to 4,096 words, got 8,192 .* use groups"),
    ],
)
def test_refused_recipes(options, message):
    with pytest.raises(SpecError, match=message):
        Residual(**options)


def test_refused_options_and_rows():
    with pytest.raises(SpecError, match="beam must be an integer >= 1, got 'wide'"):
        Residual.from_spec("RQ", (8, 4), {"beam": "wide"})
    with pytest.raises(SpecError, match="such as RQ48x4"):
        Residual.from_spec("RQ", 8, {})
    with pytest.raises(ShapeError, match=r"RQ8x4\(groups=8\) needs .* 8 groups, got rows of 7"):
        Residual(8, groups=8).fit(rows(7), 7, 0)
    with pytest.raises(ShapeError, match=r"outliers=0.4\) needs .* 4 groups, got rows of 4"):
        Residual(8, groups=4, outliers=0.4).fit(rows(4), 4, 0)


def test_arrays_make_it_again():
    recipe, y = Residual(4, scale="length"), rows(12)
    part = recipe.fit(y, 12, 0)
    for again in (recipe.restore(part.arrays(), 12), pickle.loads(pickle.dumps(part))):
        for name, column in part.encode(y).columns.items():
            assert (again.encode(y).columns[name] == column).all()
    apart = Residual(4, groups=2, outliers=0.3)
    arrays = apart.fit(y, 12, 0).arrays()
    again = apart.restore(arrays, 12)
    assert (again.encode(y).approximation == apart.fit(y, 12, 0).encode(y).approximation).all()
    for order in (np.zeros(12, np.int64), np.arange(11), np.arange(1, 13), np.arange(12.0), None):
        with pytest.raises(CorruptFileError):
            apart.restore(arrays | {"order": order}, 12)
    for damage in ({"words": part.words[:, 1:]}, {"distortion": np.array(1.0)}):
        with pytest.raises(CorruptFileError):
            recipe.restore(part.arrays() | damage, 12)
