"""What every transform keeps: its inner products, its inverse, its bits, its file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.errors import CorruptFileError, DtypeError, ShapeError, SpecError
from vqindex.factory import parse
from vqindex.transforms import (
    TRANSFORMS,
    Calibration,
    DenseRotation,
    HadamardRotation,
    Identity,
    LeanVec,
    LearnedRotation,
    default_transform,
)

U = 2.0**-24
DIMS = (1, 2, 3, 7, 12, 20, 36, 48, 64, 97, 100, 224, 384)
RECIPES = [
    *(kind() for name, kind in TRANSFORMS.items() if name != "OPQ"),
    LearnedRotation(1),
    HadamardRotation(block=32),
    Calibration(DenseRotation()),
    Calibration(Identity()),
    LeanVec(1),
    LeanVec(rotate=False),
]


def sample(dim, n=150):
    """Rows of a decaying spectrum, and of fewer directions than `dim` where that is large."""
    rng = np.random.default_rng(dim)
    x = rng.standard_normal((n, dim)) / np.sqrt(np.arange(1, dim + 1))
    return (x @ np.linalg.qr(rng.standard_normal((dim, dim)))[0]).astype(np.float32)


def fit(recipe, dim, seed):
    """Fitted from what the recipe asks for."""
    if not recipe.sample_size:
        return recipe.fit(None, dim, seed)
    return recipe.fit(sample(dim), dim, seed, sample(dim + 1)[:, :dim].copy())


transforms = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.spec)
rotations = pytest.mark.parametrize(
    "recipe",
    [recipe for recipe in RECIPES if not recipe.sample_size],
    ids=lambda recipe: recipe.spec,
)


def relative_error(fitted):
    """Bound on |computed - R x| / |x| for an orthogonal R rounded to float32.

    A butterfly adds u; a sum of p products by an orthogonal matrix (p + 1) sqrt(p) u, and the
    rounding of that matrix sqrt(p) u, for the Frobenius norm of its magnitudes is sqrt(p).
    """
    if parts := getattr(fitted, "parts", None):
        return max(map(relative_error, parts))
    d = fitted.dim_in
    mixes = fitted.arrays().get("mixes", np.empty((1, d, d)))
    rounds, p, _ = mixes.shape
    return 1.01 * rounds * U * ((d // p).bit_length() + (p + 2) * p**0.5)


def functions(fitted):
    """Each function of rows, and how wide they are."""
    wide = fitted.dim_in
    return (fitted.apply, wide), (fitted.apply_query, wide), (fitted.inverse, fitted.dim_out)


def matrices(fitted):
    """The maps of rows and of queries (dim_in, dim_out), and back (dim_out, dim_in), in float64."""
    one, other = (np.eye(d, dtype=np.float32) for d in (fitted.dim_in, fitted.dim_out))
    made = fitted.apply(one), fitted.apply_query(one), fitted.inverse(other)
    return [matrix.astype(np.float64) for matrix in made]


@rotations
@settings(deadline=None, max_examples=20)
@given(dim=st.sampled_from(DIMS) | st.integers(1, 80), seed=st.integers(0, 2**63 - 1))
def test_orthonormal(recipe, dim, seed):
    fitted = fit(recipe, dim, seed)
    assert (fitted.dim_in, fitted.dim_out) == (dim, dim)
    assert fitted.weights is None
    error = relative_error(fitted)
    r = fitted.apply(np.eye(dim, dtype=np.float32)).astype(np.float64)
    assert np.abs(r @ r.T - np.eye(dim)).max() <= error * (2 + error)


@rotations
@settings(deadline=None, max_examples=20)
@given(dim=st.sampled_from(DIMS), n=st.sampled_from([0, 1, 2, 15, 16, 17, 33]))
def test_inverse(recipe, dim, n):
    fitted = fit(recipe, dim, 7)
    x = np.random.default_rng(n).standard_normal((n, dim)).astype(np.float32)
    error = np.linalg.norm(fitted.inverse(fitted.apply(x)) - x, axis=1)
    assert (error <= 2.01 * relative_error(fitted) * np.linalg.norm(x, axis=1)).all()


@transforms
@pytest.mark.parametrize("dim", DIMS)
def test_a_score_is_one_with_the_inverse(recipe, dim):
    """<apply_query(q), y> is <q, inverse(y)>, and inverse(y) is coded as y.

    Every element of a map is a sum of products, those of rotations by a few rounds of them.
    """
    fitted = fit(recipe, dim, 4)
    rows, queries, back = matrices(fitted)
    assert rows.shape == queries.shape == back.T.shape == (fitted.dim_in, fitted.dim_out)
    error = 1.01 * U * (2 * dim + 40)
    assert np.abs(queries - back.T).max() <= error * np.linalg.norm(queries, axis=0).max()
    off = np.abs(back @ rows - np.eye(fitted.dim_out)).max()
    assert off <= 2 * error * np.linalg.norm(back, 2) * np.linalg.norm(rows, 2)


@transforms
@pytest.mark.parametrize("dim", DIMS)
def test_weights_are_of_square_norms(recipe, dim):
    fitted = fit(recipe, dim, 4)
    if fitted.weights is not None:
        rows, queries, _ = matrices(fitted)
        off = np.abs(queries - rows * fitted.weights).max(axis=0)
        assert (off <= 1.01 * 4 * U * np.abs(queries).max(axis=0)).all()


@transforms
@pytest.mark.parametrize("dim", DIMS)
def test_awkward_rows_give_the_same_bits(recipe, dim):
    fitted = fit(recipe, dim, 3)
    for function, width in functions(fitted):
        x = np.random.default_rng(dim).standard_normal((17, width)).astype(np.float32)
        before = x.copy()
        frozen = x.copy()
        frozen.flags.writeable = False
        unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32)
        strided = np.repeat(np.asfortranarray(x), 2, axis=0)[::2]
        want = function(x).tobytes()
        assert b"".join(function(x[i : i + 1]).tobytes() for i in range(17)) == want
        for same in (frozen, unaligned.reshape(x.shape), strided):
            assert function(same).tobytes() == want
        assert (x == before).all()


@transforms
@pytest.mark.parametrize("dim", DIMS)
def test_arrays_make_it_again(recipe, dim):
    fitted = fit(recipe, dim, 5)
    again = recipe.restore({k: v.copy() for k, v in fitted.arrays().items()}, dim)
    for (one, width), (other, _) in zip(functions(fitted), functions(again), strict=True):
        x = np.random.default_rng(dim).standard_normal((5, width)).astype(np.float32)
        assert one(x).tobytes() == other(x).tobytes()
    assert again.isotropic == fitted.isotropic
    assert (again.weights is None) == (fitted.weights is None)


@transforms
def test_arrays_are_checked(recipe):
    """Any array that is gone, of another type, of other dimensions or not finite."""
    arrays = fit(recipe, 36, 5).arrays()
    for name, array in arrays.items():
        wrong = [None, array.astype(np.float64), array[..., None], array[..., :-1]]
        wrong += [np.full_like(array, np.nan)] if array.dtype.kind == "f" else [array * 0]
        for other in wrong:
            broken = {k: v for k, v in arrays.items() if k != name}
            with pytest.raises(CorruptFileError):
                recipe.restore(broken if other is None else broken | {name: other}, 36)


@transforms
def test_seed_decides(recipe):
    x = np.random.default_rng(0).standard_normal((1, 48)).astype(np.float32)
    one, same, other = (fit(recipe, 48, seed).apply(x) for seed in (1, 1, 2))
    assert (one == same).all()
    learned = ("None", "PCA", "Calibrated(rotation=None)", "LeanVec(rotate=no)")
    assert (one == other).all() == (recipe.spec in learned)


@transforms
def test_refused_rows(recipe):
    fitted = fit(recipe, 4, 0)
    for function, width in functions(fitted):
        for shape in ((width,), (2, width + 1), (1, 2, width)):
            with pytest.raises(ShapeError, match=rf"\(n, {width}\)"):
                function(np.zeros(shape, np.float32))
        with pytest.raises(DtypeError, match="float64"):
            function(np.zeros((2, width)))


@transforms
def test_spec_names_the_recipe(recipe):
    assert parse(f"{recipe.spec},EDEN4", "ip", 0).transform == recipe
    with pytest.raises(SpecError, match="no option 'colour'"):
        type(recipe).from_spec(recipe.name, None, {"colour": "red"})
    if recipe.name == "OPQ":
        assert default_transform(recipe.spec) == recipe
        return
    assert (default_transform(recipe.name) == recipe) == (recipe.name == recipe.spec)
    for wrong in (2.5, (2, 4)) if recipe.name == "LeanVec" else (4, 2.5, (2, 4)):
        with pytest.raises(SpecError, match=r"takes no number|one dimension"):
            type(recipe).from_spec(recipe.name, wrong, {})


def test_unknown_name():
    with pytest.raises(SpecError, match="None, Haar, Hadamard"):
        default_transform("Fourier")
