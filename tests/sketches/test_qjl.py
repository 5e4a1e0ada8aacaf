"""QJL: signs that estimate inner products without bias, at the variance of their projection."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.errors import CorruptFileError, SpecError
from vqindex.sketches import QJL

U = 2.0**-24
PROJECTIONS = ("orthogonal", "gaussian")
projections = pytest.mark.parametrize("projection", PROJECTIONS)


def normal(n, dim, seed=0):
    return np.random.default_rng([seed, dim]).standard_normal((n, dim)).astype(np.float32)


def matrix(part):
    """S^T, (dim, bits)."""
    return part.operand(np.eye(part.dim, dtype=np.float32))


@projections
@pytest.mark.parametrize("dim", [1, 2, 3, 7, 31, 64, 65])
def test_any_number_of_bits(dim, projection):
    """A sign is that of S e, and what it stands for is S^T signs |e| / (bits c)."""
    e = normal(20, dim)
    norms = np.linalg.norm(e, axis=1, keepdims=True)
    for bits in (None, 1, 63, 64, 65, dim, 2 * dim + 3):
        part = QJL(bits, projection).fit(None, dim, 4)
        m = bits or dim
        s = matrix(part).astype(np.float64)
        assert s.shape == (dim, m)
        error = 4 * U * (dim + 3) * dim**0.5 * np.linalg.norm(s) * norms
        projected = e @ s
        assert (np.abs(part.operand(e) - projected) <= error).all()
        encoded = part.encode(e)
        negative = part.layout.unpack(encoded.columns)
        clear = np.abs(projected) > error
        assert (negative == (projected < 0))[clear].all()
        signs = np.where(negative, -1, 1)
        want = signs @ s.T * norms / (m * part.mean_magnitude)
        assert (np.abs(encoded.approximation - want) <= 4 * error * np.linalg.norm(s)).all()
        scale = 2 * norms[:, 0] / (m * part.mean_magnitude)
        assert np.abs(encoded.columns["scale"] / scale - 1).max() <= (dim + 4) * U


@pytest.mark.parametrize("dim", [1, 2, 3, 7, 64])
def test_orthogonal_rows(dim):
    """Of norm sqrt(d), at right angles within a block of d."""
    s = matrix(QJL(2 * dim + 1).fit(None, dim, 0)).astype(np.float64)
    for start in (0, dim, 2 * dim):
        block = s[:, start : start + dim]
        error = 8 * U * (dim + 3) * dim**1.5
        assert np.abs(block.T @ block - dim * np.eye(block.shape[1])).max() <= error
    assert not np.array_equal(s[:, :dim], s[:, dim : 2 * dim]) or dim < 3


def test_gaussian_rows():
    """Independent standard normal entries, by their moments to 4 standard errors."""
    s = matrix(QJL(1000, "gaussian").fit(None, 100, 0)).astype(np.float64)
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (4, 3, 96)):
        assert abs((s**power).mean() - mean) <= 4 * math.sqrt(variance / s.size)
    products = s[:, :100].T @ s[:, 100:200] / 10  # of rows of two blocks
    assert abs((products**2).mean() - 1) <= 4 * math.sqrt(2 / 100 + 4 / 1e4)


def test_mean_magnitude():
    """Of a coordinate of a sphere of radius sqrt(d): two points, an arc, an interval, ..."""
    exact = {1: 1, 2: 2 * math.sqrt(2) / math.pi, 3: math.sqrt(3) / 2, 5: math.sqrt(5) * 3 / 8}
    for dim, want in exact.items():
        c = QJL().fit(None, dim, 0).mean_magnitude
        assert abs(c - want) <= 1e-14
    large = QJL(1).fit(None, 8192, 0).mean_magnitude
    assert abs(large / math.sqrt(2 / math.pi) - (1 + 1 / (4 * 8192))) <= 8192**-2
    for dim in (1, 5):
        assert QJL(1, "gaussian").fit(None, dim, 0).mean_magnitude == math.sqrt(2 / math.pi)


@pytest.mark.parametrize(
    ("projection", "dim", "bits"),
    [(p, 64, bits) for p in PROJECTIONS for bits in (20, 64, 131)] + [("gaussian", 4, 5)],
)
def test_shrink_and_distortion(projection, dim, bits):
    """The mean square norm and the mean product with e, over projections, to 4 standard errors.

    The best multiple has error 1 - shrink of |e|^2, which no other multiple betters.
    """
    e = normal(8, dim)
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    squares, products = [], []
    for seed in range(max(400, 6400 // dim)):
        part = QJL(bits, projection).fit(None, dim, seed)
        x = part.encode(e).approximation.astype(np.float64)
        squares.append((x * x).sum(axis=1))
        products.append((x * e).sum(axis=1))
    for found, want in ((squares, 1 / part.shrink), (products, 1)):
        means = np.mean(found, axis=1)  # of rows that share a projection
        rounding = 128 * U * want  # all there is of it where as many bits make the norm constant
        assert abs(means.mean() - want) <= 4 * means.std() / means.size**0.5 + rounding
    assert part.distortion == 1 - part.shrink


@projections
def test_a_prefix_keeps_columns_and_projections_apart(projection):
    """A sketch of what a QJL codes has a projection of its own, or both would err alike."""
    e = normal(5, 40)
    alone = QJL(50, projection).fit(None, 40, 1)
    sketch = QJL(50, projection).fit(None, 40, 1, prefix="sketch_")
    names = [column.name for column in (*alone.columns, *sketch.columns)]
    assert names == ["plane", "scale", "sketch_plane", "sketch_scale"]
    assert sketch.scale == "sketch_scale"
    assert not np.array_equal(matrix(alone), matrix(sketch))
    columns = alone.encode(e).columns | sketch.encode(e).columns
    for part in (alone, sketch):
        assert part.expand(columns).tobytes() == part.encode(e).approximation.tobytes()


@projections
@settings(deadline=None, max_examples=30)
@given(dim=st.integers(1, 40), bits=st.none() | st.integers(1, 100), seed=st.integers(0, 2**63 - 1))
def test_arrays_make_it_again(projection, dim, bits, seed):
    recipe = QJL(bits, projection)
    for prefix in ("", "sketch_"):
        part = recipe.fit(None, dim, seed, prefix=prefix)
        again = recipe.restore({k: v.copy() for k, v in part.arrays().items()}, dim, prefix)
        e = normal(3, dim)
        assert again.columns == part.columns
        assert again.operand(e).tobytes() == part.operand(e).tobytes()
        columns, columns_again = part.encode(e).columns, again.encode(e).columns
        assert all((columns[name] == columns_again[name]).all() for name in columns)


def test_seed_decides():
    one, same, other = (matrix(QJL().fit(None, 24, seed)) for seed in (1, 1, 2))
    assert (one == same).all()
    assert not (one == other).all()


@projections
def test_hostile_arrays(projection):
    recipe = QJL(150, projection)  # two blocks
    good = recipe.fit(None, 136, 0).arrays()
    for name, array in good.items():
        wrong = [None, array.astype(np.float64), array[..., :-1], array[None], array[:0]]
        if array.dtype == np.float32:
            wrong += [np.full_like(array, np.nan), np.full_like(array, np.inf)]
        else:
            wrong += [np.zeros_like(array), array * np.int8(2)]
        for bad in wrong:
            arrays = good | {name: bad}
            if bad is None:
                del arrays[name]
            with pytest.raises(CorruptFileError):
                recipe.restore(arrays, 136)
    for other in ({}, QJL(136, projection).fit(None, 136, 0).arrays()):  # no block, one block
        with pytest.raises(CorruptFileError):
            recipe.restore(other, 136)
    other = QJL(150, PROJECTIONS[projection == "orthogonal"]).fit(None, 136, 0).arrays()
    with pytest.raises(CorruptFileError):
        recipe.restore(other, 136)
    with pytest.raises(CorruptFileError):
        recipe.restore(good, 272)


@pytest.mark.parametrize(
    ("recipe", "spec"),
    [
        (QJL(), "QJL"),
        (QJL(64), "QJL64"),
        (QJL(projection="gaussian"), "QJL(projection=gaussian)"),
        (QJL(7, "gaussian"), "QJL7(projection=gaussian)"),
    ],
)
def test_specs(recipe, spec):
    assert recipe.spec == spec
    options = {} if recipe.projection == "orthogonal" else {"projection": recipe.projection}
    assert QJL.from_spec("QJL", recipe.bits, options) == recipe
    assert (recipe.centered, recipe.sample_size, recipe.rotation) == (False, 0, "None")


def test_refused_specs():
    for bits in (0, -3):
        with pytest.raises(SpecError, match=f"at least one bit, got {bits}"):
            QJL(bits)
    for projection in ("Haar", True, ""):
        with pytest.raises(SpecError, match="orthogonal or gaussian"):
            QJL.from_spec("QJL", 4, {"projection": projection})
