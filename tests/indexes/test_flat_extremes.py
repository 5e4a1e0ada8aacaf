"""Very long and very short vectors: right, or refused before anything is changed; never NaN.

Under l2 and ip norms go up to 1e18, beyond which scores would overflow float32. Under cosine any
vector of finite float32 entries has a direction. Below about 1e-19 squares are lost to float32,
so that l2 distances between such vectors are 0.
"""

import numpy as np
import pytest

import vqindex as vq

METRICS = ("l2", "ip", "cosine")
CODECS = ["F32", "SQ8", "EDEN1", "EDEN4", "EDEN2(scale=biased)", "TQ4", "TQprod3", "QJL", "QJL2"]
LONGEST = np.finfo(np.float32).max
N, D = 1100, 12


def state(index):
    """The bytes of the file that `save` would write."""
    return index.__reduce__()[1][1]


def vectors(n=N, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, D))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def filled(spec, metric, x):
    index = vq.index_factory(spec, metric=metric)
    index.add(x.astype(np.float32))
    return index


def all_finite(index, q):
    q = q.astype(np.float32)
    results = [
        index.search(q, k=20),
        index.search(q[0], k=20),
        index.search(q[:3], k=20, stages="off"),
    ]
    for result in results:
        assert np.isfinite(result.distances).all()
        assert np.isfinite(result.scores).all()
        assert (result.ids >= 0).all()
    limits, distances, _ = index.range_search(q, np.inf)
    assert np.isfinite(distances).all()
    assert limits[-1] == len(q) * len(index)
    assert np.isfinite(index.reconstruct(index.ids)).all()
    return results[0]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", CODECS)
@pytest.mark.parametrize("norm", [1e-44, 1e-30, 1e-19, 1e-10, 1e10, 1e18])
def test_any_norm_up_to_1e18(spec, metric, norm):
    x, q = vectors() * norm, vectors(9, seed=1) * norm
    all_finite(filled(spec, metric, x), q)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", CODECS)
def test_norms_of_all_sizes_side_by_side(spec, metric):
    sizes = 10.0 ** np.random.default_rng(2).uniform(-40, 18, (N, 1))
    x = vectors() * sizes
    x[::50] = 0
    all_finite(filled(spec, metric, x), x[:9])
    all_finite(filled(spec, metric, x[:21]), x[:9])


@pytest.mark.parametrize("spec", ["F32", "EDEN4", "TQprod3"])
@pytest.mark.parametrize("factor", [2.0**-30, 2.0**-1, 2.0**20, 2.0**59])
def test_powers_of_two_change_nothing_but_the_scale(spec, factor):
    """Every step is linear in the rows, and powers of two are exact."""
    x, q = vectors().astype(np.float32), vectors(9, seed=1).astype(np.float32)
    for metric, scale in (("ip", factor), ("cosine", 1.0)):
        plain, scaled = filled(spec, metric, x), filled(spec, metric, x * np.float32(factor))
        got, want = scaled.search(q, stages="off"), plain.search(q, stages="off")
        np.testing.assert_array_equal(got.ids, want.ids)
        np.testing.assert_array_equal(got.scores, want.scores * np.float32(scale))


@pytest.mark.parametrize("spec", ["F32", "F16", "SQ8", "EDEN4", "TQprod3", "QJL"])
@pytest.mark.parametrize("factor", [2.0**-120, 2.0**-90, 2.0**-60, 2.0**60, 2.0**90, 2.0**126])
def test_under_cosine_any_length_has_a_direction(spec, factor):
    x, q = vectors().astype(np.float32), vectors(9, seed=1).astype(np.float32)
    index = vq.index_factory(spec, metric="cosine")
    index.add(x)
    long = filled(spec, "cosine", x * np.float32(factor))
    got, want = long.search(q * np.float32(factor)), index.search(q)
    # 2^-120 leaves the smallest of the entries, about 2^-13, few digits: a subnormal's 2^-149.
    slack = D * 2.0**-29 if factor == 2.0**-120 else 0
    assert np.abs(got.distances - want.distances).max() <= slack or spec == "F16"
    if not slack:
        np.testing.assert_array_equal(got.ids, want.ids)


def test_the_longest_vectors_of_all_under_cosine():
    index = vq.index_factory("F32", metric="cosine")
    index.add(np.array([[LONGEST] * 3, [LONGEST, 0, 0], [1e-45, 0, 0], [1e-45, 1e-45, 0]]))
    result = index.search([LONGEST, 0, 0], k=4)
    assert result.ids.tolist() == [1, 2, 3, 0]
    want = 1 - np.array([1, 1, np.sqrt(1 / 2), np.sqrt(1 / 3)])
    assert np.abs(result.distances - want).max() <= 4 * 2.0**-24


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("spec", [*CODECS, "F32,Keep(f32)", "F16"])
@pytest.mark.parametrize("value", [1e19, 1e25, LONGEST])
def test_longer_vectors_are_refused_before_anything_is_changed(spec, metric, value):
    index = filled(spec, metric, vectors(20))
    before = state(index)
    long = np.zeros((2000, D), np.float32)
    long[1500, 3] = value
    message = f"under {metric!r} vectors must have norms up to 1e18.*got entries up to"
    for change in (
        lambda: index.add(long),
        lambda: index.upsert(long, np.arange(2000)),
        lambda: index.search(long, k=3),
        lambda: index.search(long[1500], k=3),
        lambda: index.range_search(long, 1.0),
    ):
        with pytest.raises(vq.NonFiniteError, match=message):
            change()
    assert state(index) == before
    empty = vq.index_factory("EDEN4", metric=metric)
    with pytest.raises(vq.NonFiniteError, match=message):
        empty.fit(long)
    with pytest.raises(vq.NonFiniteError, match=message):
        empty.add(long)
    assert empty.dim is None


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", ["F16", "EDEN4,Keep(f16)"])
def test_float16_overflow_is_refused_before_anything_is_changed(spec, metric):
    index = filled(spec, metric, vectors(20))
    before = state(index)
    x = vectors(2000)
    x[1500, 3] = 65520  # the first that rounds to infinity
    if spec == "F16" and metric == "cosine":  # only the direction is kept
        all_finite(filled(spec, metric, x), x)
        return
    with pytest.raises(vq.NonFiniteError, match="float16 holds values up to 65504; scale the vec"):
        index.add(x)
    assert state(index) == before
    x[1500, 3] = 65519
    index.add(x)


def test_what_float32_cannot_hold_is_refused():
    index = vq.index_factory("F32", metric="cosine")
    with pytest.raises(vq.NonFiniteError, match=r"vectors must be finite in float32, got 1e\+39"):
        index.add([[1.0, 1e39]])
    index.add(np.eye(2))
    with pytest.raises(vq.NonFiniteError, match="queries must be finite in float32, got -1e"):
        index.search([1.0, -1e39])
