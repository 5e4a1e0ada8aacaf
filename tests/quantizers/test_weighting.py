"""Words weighted by queries: of less error of their scores, and a clear refusal without them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import vqindex as vq
from vqindex.errors import CorruptFileError, SpecError
from vqindex.quantizers import Product, Residual
from vqindex.quantizers.weighting import Weighting
from vqindex.subspaces import split

RECIPES = [Product(4), Residual(4, groups=2), Residual(4, groups=2, outliers=0.25)]
recipes = pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.spec)


def uneven(n, seed):
    """Rows of variance one everywhere, queries that are about them in every other dimension."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 16)).astype(np.float32)
    off = np.where(np.arange(16) % 2, 2, 0.1).astype(np.float32)
    return x, x[:200] + off * rng.standard_normal((200, 16)).astype(np.float32)


def weighted(recipe):
    return replace(recipe, weighting="queries")


def test_factors_bring_words_back():
    x, q = uneven(300, 0)
    starts = split(16, 3)
    made = Weighting.of(x, q, starts)
    words = np.random.default_rng(1).standard_normal((3, 8, 6)).astype(np.float32)
    for s, (a, b) in enumerate(pairwise(starts)):
        words[s, :, b - a :] = 0
    own, aims = made.back(words)
    for s, (a, b) in enumerate(pairwise(starts)):
        factor = made.factors[s]
        width = b - a
        assert own[s, :, :width] @ factor == pytest.approx(words[s, :, :width], abs=1e-5)
        moment = factor @ factor.T
        assert own[s, :, :width] @ moment == pytest.approx(aims[s, :, :width], abs=1e-4)
        assert made.apply(x)[:, a:b] == pytest.approx(x[:, a:b] @ factor, abs=1e-5)
        assert np.diag(moment)[(starts[s] + np.arange(width)) % 2 == 1].min() > 1


@recipes
def test_what_queries_ask_errs_less(recipe):
    x, q = uneven(4000, 0)
    y, _ = uneven(500, 3)
    odd = np.arange(16) % 2 == 1
    errors = []
    for kind, known in ((recipe, None), (weighted(recipe), q)):
        part = kind.fit(x, 16, 0, known)
        errors.append(((y - part.encode(y).approximation) ** 2).mean(axis=0))
    assert errors[1][odd].mean() < 0.9 * errors[0][odd].mean()
    assert errors[1].mean() > errors[0].mean()


def test_codes_are_those_of_least_weighted_distance():
    x, q = uneven(2000, 0)
    part = weighted(Product(4)).fit(x, 16, 0, q)
    codes = part.layout.unpack(part.encode(x[:50]).columns)
    starts = split(16, 4)
    for s, factor in enumerate(Weighting.of(x, q, starts).factors):
        gaps = (x[:50, None, starts[s] : starts[s + 1]] - part.words[s]) @ factor
        distances = (gaps**2).sum(axis=2)
        found = np.take_along_axis(distances, codes[:, s : s + 1].astype(int), axis=1)[:, 0]
        assert (found <= distances.min(axis=1) + 1e-4).all()


@recipes
def test_refused_without_queries(recipe):
    index = vq.index_factory(weighted(recipe).spec, metric="ip")
    with pytest.raises(SpecError, match=r"learns from queries.* call fit\(sample, queries\)"):
        index.fit(uneven(300, 0)[0])
    with pytest.raises(SpecError, match="weighting must be one of none, queries, got 'rows'"):
        type(recipe)(4, weighting="rows")


@recipes
def test_damaged_aims(recipe):
    recipe, (x, q) = weighted(recipe), uneven(300, 0)
    arrays = recipe.fit(x, 16, 0, q).arrays()
    for aims in (arrays["aims"][:, :-1], np.full_like(arrays["aims"], np.nan)):
        with pytest.raises(CorruptFileError, match="aims"):
            recipe.restore(arrays | {"aims": aims}, 16)
    del arrays["aims"]
    with pytest.raises(CorruptFileError, match="aims"):
        recipe.restore(arrays, 16)
