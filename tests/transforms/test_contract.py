"""What every transform keeps: its inner products, its inverse, its bits, its file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.errors import DtypeError, ShapeError, SpecError
from vqindex.transforms import TRANSFORMS, default_transform

U = 2.0**-24
DIMS = (1, 2, 3, 7, 12, 20, 36, 48, 64, 97, 100, 224, 384)
transforms = pytest.mark.parametrize("recipe", [kind() for kind in TRANSFORMS.values()], ids=str)


def fit(recipe, dim, seed):
    """From a sample that is the seed's, where one is needed."""
    sample = None
    if recipe.sample_size:
        sample = np.random.default_rng(seed).standard_normal((dim + 9, dim)).astype(np.float32)
    return recipe.fit(sample, dim, seed)


def relative_error(fitted):
    """Bound on |computed - R x| / |x| for an orthogonal R rounded to float32.

    A butterfly adds u; a sum of p products by an orthogonal matrix (p + 1) sqrt(p) u, and the
    rounding of that matrix sqrt(p) u, for the Frobenius norm of its magnitudes is sqrt(p).
    """
    d = fitted.dim_in
    mixes = fitted.arrays().get("mixes", np.empty((1, d, d)))
    rounds, p, _ = mixes.shape
    return 1.01 * rounds * U * ((d // p).bit_length() + (p + 2) * p**0.5)


@transforms
@settings(deadline=None, max_examples=20)
@given(dim=st.sampled_from(DIMS) | st.integers(1, 80), seed=st.integers(0, 2**63 - 1))
def test_orthonormal(recipe, dim, seed):
    fitted = fit(recipe, dim, seed)
    assert (fitted.dim_in, fitted.dim_out) == (dim, dim)
    error = relative_error(fitted)
    r = fitted.apply(np.eye(dim, dtype=np.float32)).astype(np.float64)
    assert np.abs(r @ r.T - np.eye(dim)).max() <= error * (2 + error)


@transforms
@settings(deadline=None, max_examples=20)
@given(dim=st.sampled_from(DIMS), n=st.sampled_from([0, 1, 2, 15, 16, 17, 33]))
def test_inverse(recipe, dim, n):
    fitted = fit(recipe, dim, 7)
    x = np.random.default_rng(n).standard_normal((n, dim)).astype(np.float32)
    error = np.linalg.norm(fitted.inverse(fitted.apply(x)) - x, axis=1)
    assert (error <= 2.01 * relative_error(fitted) * np.linalg.norm(x, axis=1)).all()


@transforms
@pytest.mark.parametrize("dim", DIMS)
def test_awkward_rows_give_the_same_bits(recipe, dim):
    fitted = fit(recipe, dim, 3)
    x = np.random.default_rng(dim).standard_normal((17, dim)).astype(np.float32)
    before = x.copy()
    frozen = x.copy()
    frozen.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    strided = np.repeat(np.asfortranarray(x), 2, axis=0)[::2]
    for function in (fitted.apply, fitted.apply_query, fitted.inverse):
        want = function(x).tobytes()
        assert b"".join(function(x[i : i + 1]).tobytes() for i in range(17)) == want
        for same in (frozen, unaligned, strided):
            assert function(same).tobytes() == want
    assert (x == before).all()


@transforms
@pytest.mark.parametrize("dim", DIMS)
def test_arrays_make_it_again(recipe, dim):
    fitted = fit(recipe, dim, 5)
    again = recipe.restore({k: v.copy() for k, v in fitted.arrays().items()}, dim)
    x = np.random.default_rng(dim).standard_normal((5, dim)).astype(np.float32)
    assert again.apply(x).tobytes() == fitted.apply(x).tobytes()
    assert again.inverse(x).tobytes() == fitted.inverse(x).tobytes()


@transforms
def test_seed_decides(recipe):
    x = np.random.default_rng(0).standard_normal((1, 48)).astype(np.float32)
    one, same, other = (fit(recipe, 48, seed).apply(x) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one == other).all() == (recipe.spec == "None")


@transforms
def test_refused_rows(recipe):
    fitted = fit(recipe, 4, 0)
    for function in (fitted.apply, fitted.apply_query, fitted.inverse):
        for shape in ((4,), (2, 3), (1, 2, 4)):
            with pytest.raises(ShapeError, match=r"\(n, 4\)"):
                function(np.zeros(shape, np.float32))
        with pytest.raises(DtypeError, match="float64"):
            function(np.zeros((2, 4)))


@transforms
def test_spec_names_the_recipe(recipe):
    assert default_transform(recipe.name) == recipe
    assert type(recipe).from_spec(recipe.spec, None, {}) == recipe
    with pytest.raises(SpecError, match="takes no number"):
        type(recipe).from_spec(recipe.name, 4, {})
    with pytest.raises(SpecError, match="no option 'colour'"):
        type(recipe).from_spec(recipe.name, None, {"colour": "red"})


def test_unknown_name():
    with pytest.raises(SpecError, match="None, Haar, Hadamard"):
        default_transform("Fourier")
