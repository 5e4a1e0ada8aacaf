"""Vector codes err as k-means of the Gaussian law does."""

import numpy as np
import pytest

from vqindex.errors import SpecError
from vqindex.kernels.reference import codebook as reference
from vqindex.quantizers import VectorQuantizer
from vqindex.quantizers.vector import gaussian_points

# Q-Palette's 2-D words, and k-means in 4 dimensions; ours may be better.
FIGURES = {(2, 16): 0.1086, (2, 64): 0.02972, (2, 256): 0.007755, (4, 16): 0.3426, (4, 256): 0.0992}


@pytest.mark.parametrize("shape", FIGURES, ids=str)
def test_distortion_of_gaussian_coordinates(shape, gaussian, distortion):
    recipe = VectorQuantizer(*shape)
    found, error = distortion(recipe, gaussian)
    assert error < 0.01 * found
    assert found <= 1.01 * FIGURES[shape]
    assert found >= 0.97 * FIGURES[shape]
    stated = recipe.codebook().distortion
    assert abs(found - stated) <= error + 0.01 * stated


@pytest.mark.parametrize("dim", [1, 3, 4, 65])
@pytest.mark.parametrize("shape", [(2, 16), (4, 256)])
def test_codes_by_definition(shape, dim):
    y = np.random.default_rng(dim).standard_normal((40, dim)).astype(np.float32)
    part = VectorQuantizer(*shape).fit(None, dim, 0)
    words = part.book.words + np.float32(0.5)
    z = y / np.linalg.norm(y, axis=1, keepdims=True) * (dim**0.5 / part.book.unit)
    z = np.pad(z, ((0, 0), (0, -dim % shape[0])))
    gains = reference.gains(z, words, -(words**2).sum(axis=1) / 2)
    best, second = np.sort(gains, axis=2)[..., :-3:-1].transpose(2, 0, 1)
    clear = best - second > 1e-4 * np.abs(best) + 1
    want = reference.levels(gains.argmax(axis=2), part.book.words).reshape(40, -1, shape[0])
    found = part.layout.levels(part.encode(y).columns).reshape(want.shape)
    assert clear.mean() > 0.9
    assert (found == want)[clear].all()


@pytest.mark.parametrize("dims", [2, 4])
def test_points_are_gaussian(dims):
    x = gaussian_points(1 << 14, dims)
    assert np.isfinite(x).all()
    assert np.abs(x.mean(axis=0)).max() < 0.01
    assert np.abs(x.T @ x / len(x) - np.eye(dims)).max() < 0.02
    assert np.abs((x**4).mean(axis=0) - 3).max() < 0.1


@pytest.mark.parametrize(
    ("number", "options", "recipe", "spec"),
    [
        (2, {}, VectorQuantizer(), "VQ2"),
        (4, {"words": "256"}, VectorQuantizer(4, 256), "VQ4(words=256)"),
        (2, {"center": False}, VectorQuantizer(center=False), "VQ2(center=no)"),
        (
            2, {"words": "64", "scale": "biased"}, VectorQuantizer(2, 64, scale="biased"),
            "VQ2(scale=biased,words=64)",
        ),
    ],
)  # fmt: skip
def test_specs(number, options, recipe, spec):
    assert VectorQuantizer.from_spec("VQ", number, options) == recipe
    assert recipe.spec == spec
    assert recipe.sample_size == (1024 if recipe.center else 0)


@pytest.mark.parametrize(
    ("number", "options", "message"),
    [
        (None, {}, "written VQ2 or VQ4, got VQ and None"),
        (2.5, {}, "written VQ2 or VQ4"),
        ((2, 2), {}, "written VQ2 or VQ4"),
        (3, {}, "codes 2 or 4 dimensions together, got 3"),
        (2, {"words": "17"}, "words must be one of .*, got 17"),
    ],
)
def test_refused_specs(number, options, message):
    with pytest.raises(SpecError, match=message):
        VectorQuantizer.from_spec("VQ", number, options)
