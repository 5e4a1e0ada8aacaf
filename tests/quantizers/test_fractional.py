"""Codes of 3, 5 and 11 levels err as Lloyd-Max levels do, in as few bits as they are packed."""

import numpy as np
import pytest

from vqindex.errors import SpecError
from vqindex.kernels.reference import codebook as reference
from vqindex.quantizers import FractionalLevels

FIGURES = {3: 0.1902, 5: 0.07994, 11: 0.0192}
levels_ = pytest.mark.parametrize("levels", FIGURES)


@levels_
def test_distortion_of_gaussian_coordinates(levels, gaussian, distortion):
    found, error = distortion(FractionalLevels(levels), gaussian)
    assert error < 0.012 * found
    assert abs(found - FIGURES[levels]) <= error + 0.003 * FIGURES[levels]
    stated = FractionalLevels(levels).codebook().distortion
    assert abs(stated - FIGURES[levels]) <= 0.003 * FIGURES[levels]


@pytest.mark.parametrize(("levels", "row_bytes"), [(3, 77), (5, 112), (11, 168)])
def test_bytes_of_a_row(levels, row_bytes):
    part = FractionalLevels(levels).fit(None, 384, 0)
    assert part.layout.columns[0].row_bytes == row_bytes  # 8 bits for 5, 7 for 3, 7 for 2


@levels_
@pytest.mark.parametrize("dim", [1, 2, 3, 5, 7, 65])
def test_codes_are_the_nearest_words(levels, dim):
    y = np.random.default_rng(dim).standard_normal((30, dim)).astype(np.float32)
    part = FractionalLevels(levels).fit(None, dim, 0)
    words, group = part.book.words + np.float32(0.5), part.layout.group
    z = y / np.linalg.norm(y, axis=1, keepdims=True) * (dim**0.5 / part.book.unit)
    z = np.pad(z, ((0, 0), (0, -dim % group)))
    gains = reference.gains(z, words, -(words**2).sum(axis=1) / 2)
    columns = part.encode(y).columns
    bits = np.unpackbits(columns["codes"], axis=1, bitorder="little")
    codes = reference.windows(
        bits[:, : part.layout.codes * part.layout.stride], part.layout.stride,
        part.layout.window, part.layout.codes,
    )  # fmt: skip
    assert codes.max() < levels**group
    gained = np.take_along_axis(gains, codes[..., None], axis=2)[..., 0]
    assert (gained >= gains.max(axis=2) - 1e-4 * np.abs(gains).max(axis=2)).all()


@levels_
def test_words_are_all_products_of_the_levels(levels):
    book = FractionalLevels(levels).codebook()
    group = book.words.shape[1]
    words = {tuple(word) for word in book.words[: levels**group].tolist()}
    assert len(words) == levels**group
    assert len(set(book.words[:, 0].tolist())) == levels
    assert (book.words[levels**group :] == book.words[0]).all()


@pytest.mark.parametrize(
    ("given", "recipe", "spec"),
    [
        (("Ternary", None, {}), FractionalLevels(), "Ternary"),
        (("Levels", 3, {}), FractionalLevels(3), "Ternary"),
        (("Levels", 5, {"center": False}), FractionalLevels(5, center=False), "Levels5(center=no)"),
        (("Levels", 11, {}), FractionalLevels(11), "Levels11"),
    ],
)
def test_specs(given, recipe, spec):
    assert FractionalLevels.from_spec(*given) == recipe
    assert recipe.spec == spec


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("Ternary", 3, {}), "Ternary takes no further number, got 3"),
        (("Levels", None, {}), "levels must be one of 3, 5, 11, got None"),
        (("Levels", 4, {}), "got 4"),
        (("Levels", 5.0, {}), "got 5.0"),
    ],
)
def test_refused_specs(given, message):
    with pytest.raises(SpecError, match=message):
        FractionalLevels.from_spec(*given)
