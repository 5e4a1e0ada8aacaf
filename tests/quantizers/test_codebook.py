"""What quantizers that name words of a codebook share: scales, grids, files."""

import numpy as np
import pytest

from vqindex.errors import CorruptFileError, SpecError
from vqindex.quantizers import VectorQuantizer
from vqindex.quantizers.codebook import SCALES, on_grid

U = 2.0**-24


def normal(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


@pytest.mark.parametrize("dim", [1, 2, 65, 384])
def test_scales_by_definition(dim):
    y = normal(30, dim)
    x = y.astype(np.float64)
    for scale in SCALES:
        part = VectorQuantizer(4, scale=scale).fit(None, dim, 0)
        columns = part.encode(y).columns
        u = part.layout.unpack(columns).astype(np.float64)
        dot = (x * u).sum(axis=1)
        over = {"unbiased": (x * x).sum(axis=1), "biased": dot}[scale]
        under = {"unbiased": dot, "biased": (u * u).sum(axis=1)}[scale]
        off = np.abs(columns["scale"] * under - over)
        # Sums of `dim` products in float32, and few roundings more.
        assert (off <= (dim + 8) * U * (np.abs(x * u).sum(axis=1) * columns["scale"] + over)).all()


@pytest.mark.parametrize("scale", SCALES)
def test_reconstruction_errs_least(scale):
    """The best multiple of a row's reconstruction is 1 on average, to first order in 1 / d.

    With A = <z, u>, B = <u, u> it is A^2 / (B E B) under an unbiased scale, whose mean exceeds 1
    by the square of A / B's spread; E B is a mean over 512 rows. A biased scale is each row's own.
    """
    y = normal(2000, 768)
    part = VectorQuantizer(scale=scale).fit(None, 768, 0)
    columns = part.encode(y).columns
    x = part.expand(columns).astype(np.float64) * part.shrink
    best = (x * y).sum(axis=1) / (x * x).sum(axis=1)
    u = part.layout.unpack(columns).astype(np.float64)
    z = y / np.linalg.norm(y, axis=1, keepdims=True)
    ratio = (z * u).sum(axis=1) / (u * u).sum(axis=1)
    error = 4 * best.std() * (1 / len(best) + 1 / 512) ** 0.5
    assert error < 0.004
    assert abs(best.mean() - 1) <= error + (ratio / ratio.mean()).var()
    if scale == "biased":
        assert np.abs(best - 1).max() <= 768 * U


def test_words_on_the_grid_are_near():
    words = np.random.default_rng(0).standard_normal((64, 3))
    t, unit = on_grid(words, np.ones(64))
    assert t.dtype == np.int8
    naive = np.abs(words).max() / 127.5
    off = (((t + 0.5) * unit - words) ** 2).sum()
    t = np.clip(np.rint(words / naive - 0.5), -128, 127)
    assert off <= (((t + 0.5) * naive - words) ** 2).sum()
    assert off <= 192 * naive**2 / 12 * 1.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "fixed"}, "scale must be one of unbiased, biased, got 'fixed'"),
        ({"center": "maybe"}, "center must be yes or no, got 'maybe'"),
        ({"words": "many"}, "words must be one of 4, 16, 64, 256, got 'many'"),
        ({"words": True}, "words must be one of 4, 16, 64, 256, got True"),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(SpecError, match=message):
        VectorQuantizer.from_spec("VQ", 2, options)


HOSTILE = {
    "words": [
        None, np.zeros((16, 2)), np.zeros((16, 2), np.uint8), np.zeros(32, np.int8),
        np.zeros((15, 2), np.int8), np.zeros((16, 3), np.int8), np.zeros((0, 2), np.int8),
    ],
    "unit": [
        None, np.array(0.0), np.array(-1.0), np.array(np.nan), np.array(np.inf), np.ones(1),
        np.array(1, np.float32),
    ],
    "distortion": [
        None, np.array(-0.1), np.array(1.0), np.array(np.nan), np.zeros(1),
        np.array(0.5, np.float32),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "i"), [(name, i) for name, arrays in HOSTILE.items() for i in range(len(arrays))]
)
def test_hostile_arrays(name, i):
    recipe = VectorQuantizer()
    arrays = recipe.fit(None, 24, 0).arrays()
    assert recipe.restore(dict(arrays), 24).arrays().keys() == arrays.keys()
    arrays[name] = HOSTILE[name][i]
    if arrays[name] is None:
        del arrays[name]
    with pytest.raises(CorruptFileError):
        recipe.restore(arrays, 24)
