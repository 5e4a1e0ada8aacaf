"""Originals: exact, or rounded as their dtype rounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vqindex as vq
from vqindex.errors import NonFiniteError, SpecError
from vqindex.quantizers import Originals
from vqindex.quantizers.originals import to_half

U = 2.0**-24
KINDS = ("F32", "F16", "SQ8")
kinds = pytest.mark.parametrize("kind", KINDS)


def normal(n, dim):
    return np.random.default_rng(dim).standard_normal((n, dim)).astype(np.float32)


def kept(kind, y):
    """What is left of rows, float64, and their columns."""
    part = Originals(kind).fit(None, y.shape[1], 0)
    encoded = part.encode(y)
    return encoded.approximation.astype(np.float64), encoded.columns


@kinds
@pytest.mark.parametrize("dim", [1, 3, 16, 17, 64, 65])
def test_columns(kind, dim):
    _, columns = kept(kind, normal(4, dim))
    dtype, step = {"F32": ("f4", 16), "F16": ("f2", 16), "SQ8": ("i1", 64)}[kind]
    width = -(-dim // step) * step
    assert columns["rows"].dtype == dtype
    assert columns["rows"].shape == (4, width)
    assert not columns["rows"][:, dim:].any()  # zeros, so that they add nothing to a sum
    assert set(columns) == ({"rows", "scale"} if kind == "SQ8" else {"rows"})


def test_float32_is_kept():
    y = normal(9, 33)
    assert kept("F32", y)[0].astype(np.float32).tobytes() == y.tobytes()


def test_float16_is_rounded():
    y = normal(9, 33)
    assert (kept("F16", y)[0] == y.astype(np.float16)).all()


@pytest.mark.parametrize("value", [65520, -65520, 1e6, 3e38])
def test_too_large_for_float16(value):
    """65519 still rounds to the largest, 65504."""
    y = np.array([[1, 65519], [1, value]], np.float32)
    assert to_half(y[:1])[0, 1] == 65504
    for refuse in (to_half, Originals("F16").fit(None, 2, 0).encode):
        with pytest.raises(NonFiniteError, match="up to 65504"):
            refuse(y)


@given(st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=1, max_size=70))
def test_a_byte_errs_by_half_a_step(values):
    """A quotient near a whole number may fall on its other side: 128 roundings of a step more."""
    y = np.array([values], np.float32)
    y[np.abs(y) < 1e-30] = 0
    approximation, columns = kept("SQ8", y)
    step = np.abs(y).max() / 127.5
    assert abs(columns["scale"][0] - step) <= 1.01 * U * step
    assert (np.abs(approximation - y) <= step * (0.5 + 4 * 128 * U)).all()


def test_bytes_reach_both_ends():
    y = np.array([[5, -5, 0, -0.01, 2.5]], np.float32)
    _, columns = kept("SQ8", y)
    assert columns["rows"][0, :5].tolist() == [127, -128, 0, -1, 63]


def test_a_row_of_zeros_stays():
    approximation, columns = kept("SQ8", np.zeros((2, 5), np.float32))
    assert not approximation.any()
    assert not columns["scale"].any()


def histograms(n):
    """Rows (n, 128) as of images' gradients: long, of no negative entries, and near each other."""
    rng = np.random.default_rng(0)
    x = rng.gamma(0.7, 30, (n // 200, 1, 128)) + rng.normal(0, 6, (n // 200, 200, 128))
    return x.reshape(n, 128).clip(0, 160).astype(np.float32)


@pytest.mark.parametrize("kind", ["F16", "SQ8"])
def test_l2_is_the_distance_of_what_is_kept(kind):
    """And finds more than the norms of the rows themselves would, which err with |q|, not |q - x|.

    Queries are such as int8 holds. A distance is a sum of three terms of a few roundings each.
    """
    x = histograms(3000)
    base, q = x[::2], x[1::2][:400]
    step = q.max(axis=1, keepdims=True) / np.float32(127)
    q = np.rint(q / step) * step
    index = vq.index_factory(kind, metric="l2")
    index.add(base)
    found = index.search(q, len(base))
    order = np.argsort(found.ids, axis=1)
    distances = np.take_along_axis(found.distances, order, axis=1)
    rows, asked = index.reconstruct(index.ids).astype(np.float64), q.astype(np.float64)
    norms, products = (rows**2).sum(axis=1), asked @ rows.T
    sizes = (asked**2).sum(axis=1)[:, None] + norms + 2 * products
    want = sizes - 4 * products
    assert (np.abs(distances - want) <= 16 * U * sizes).all()

    exact = vq.index_factory("F32", metric="l2")
    exact.add(base)
    truth = exact.search(q, 10).ids
    own = np.argsort((base.astype(np.float64) ** 2).sum(axis=1) - 2 * products, axis=1)[:, :10]
    hits, others = (
        np.array([len({*a} & {*t}) for a, t in zip(ids, truth, strict=True)])
        for ids in (found.ids[:, :10], own)
    )
    gain = hits - others
    assert kind == "F16" or gain.mean() > 3 * gain.std() / len(gain) ** 0.5


@kinds
def test_nothing_is_learned(kind):
    recipe = Originals(kind)
    assert (recipe.centered, recipe.sample_size, recipe.rotation) == (False, 0, "None")
    part = recipe.fit(None, 7, 0)
    assert part.arrays() == {}
    assert recipe.restore({}, 7) == part == recipe.fit(normal(5, 7), 7, 1)
    assert (part.distortion, part.shrink, part.ratio) == (0, 1, None)


@kinds
def test_specs(kind):
    assert Originals.from_spec(kind, None, {}) == Originals(kind)
    assert Originals(kind).spec == kind
    with pytest.raises(SpecError, match=f"{kind} takes no further number, got {kind} and 4"):
        Originals.from_spec(kind, 4, {})


def test_unknown_kind():
    with pytest.raises(SpecError, match="one of F32, F16, SQ8, got 'F64'"):
        Originals("F64")
