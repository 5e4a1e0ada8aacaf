"""Fitting: from a sample or from exactly the first rows, and exact search until then."""

import numpy as np
import pytest

import vqindex as vq
from vqindex import container

METRICS = ("l2", "ip", "cosine")
LEARNING = ["EDEN1", "EDEN4", "EDEN2+QJL8", "TQ4(center=yes)", "Haar,EDEN3", "EDEN4,Keep(f32)"]
FIXED = ["F32", "F16", "SQ8", "TQ4", "TQprod3", "QJL", "EDEN4(center=no)"]
D = 11


def state(index):
    """The bytes of the file that `save` would write."""
    return index.__reduce__()[1][1]


def model(index):
    return container.from_bytes(state(index)).arrays


def vectors(n, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, D)) + 3).astype(np.float32)


@pytest.mark.parametrize("spec", LEARNING)
@pytest.mark.parametrize("metric", METRICS)
def test_too_few_rows_to_fit_are_searched_exactly(spec, metric):
    x, q = vectors(1023), vectors(9, seed=1)
    index, exact = (vq.index_factory(s, metric=metric) for s in (spec, "F32"))
    for each in (index, exact):
        each.add(x)
    assert not index.is_fitted
    got, want = index.search(q), exact.search(q)
    np.testing.assert_array_equal(got.ids, want.ids)
    np.testing.assert_array_equal(got.distances, want.distances)
    before = index.bytes_per_row
    index.add(vectors(1, seed=2))
    assert index.is_fitted
    assert index.bytes_per_row < before
    assert not np.array_equal(index.search(q).distances, want.distances)


@pytest.mark.parametrize("spec", LEARNING)
def test_the_first_1024_rows_are_fitted_from_and_no_other(spec):
    x = vectors(3000)
    states = []
    for rest in (x[1024:], x[2000:]):
        index = vq.index_factory(spec, metric="l2")
        index.add(np.concatenate([x[:1024], rest]))
        states.append(model(index))
    for name, array in states[0].items():
        if name.startswith("model."):
            np.testing.assert_array_equal(array, states[1][name])
    mean = x[:1024].mean(axis=0, dtype=np.float64)
    np.testing.assert_array_equal(states[0]["model.center"], mean.astype(np.float32))


@pytest.mark.parametrize("spec", LEARNING)
@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_fitting_from_a_sample_is_fitting_from_these_rows_first(spec, metric):
    x = vectors(2500)
    given, first, late = (vq.index_factory(spec, metric=metric) for _ in range(3))
    assert given.fit(x[:1024]) is given
    assert given.is_fitted
    given.add(x)
    first.add(x)
    late.add(x[:1000])
    late.fit(x[:1024])
    late.add(x[1000:])
    assert state(given) == state(first) == state(late)


def test_under_cosine_the_directions_are_fitted():
    x = vectors(1500)
    long, short = (vq.index_factory("EDEN4", metric="cosine") for _ in range(2))
    long.add(x * np.float32(1024))
    short.add(x)
    assert state(long) == state(short)
    first = x[:1024].astype(np.float64)
    mean = (first / np.linalg.norm(first, axis=1, keepdims=True)).mean(axis=0)
    # Rows are kept normalised and normalised again; a norm of 11 squares rounds 6 times at most.
    bound = 2 * (6 + 1) * 2.0**-24 * mean + 2.0**-25
    assert (np.abs(model(long)["model.center"] - mean) <= bound).all()


def test_a_small_sample_will_do():
    index = vq.index_factory("EDEN4", metric="l2").fit([[1.0, 2.0, 3.0]])
    assert index.is_fitted
    assert index.dim == 3
    index.add([[1, 2, 3], [4, 5, 6]])
    assert index.search([1, 2, 3], k=1).ids.tolist() == [0]
    np.testing.assert_array_equal(index.reconstruct([0]), [[1, 2, 3]])


@pytest.mark.parametrize("spec", LEARNING)
def test_an_index_is_fitted_once(spec):
    x = vectors(1024)
    given, first = vq.index_factory(spec).fit(x[:5]), vq.index_factory(spec)
    first.add(x)
    for index in (given, first):
        before = state(index)
        with pytest.raises(ValueError, match="is fitted already; make a new one to fit it anew"):
            index.fit(x)
        assert state(index) == before


@pytest.mark.parametrize("spec", FIXED)
def test_where_nothing_is_learned_fitting_sets_the_dimension_only(spec):
    x = vectors(50)
    fitted, plain = vq.index_factory(spec).fit(x * 2).fit(x), vq.index_factory(spec)
    assert fitted.is_fitted
    for index in (fitted, plain):
        index.add(x)
    assert state(fitted) == state(plain)


@pytest.mark.parametrize(
    ("sample", "error", "message"),
    [
        (np.empty((0, D)), ValueError, "fitting needs at least one row, got none"),
        (np.ones(D), vq.ShapeError, r"sample must have shape \(n, d\) with d >= 1, got \(11,\)"),
        (np.full((3, D), np.nan), vq.NonFiniteError, "sample must be finite"),
        (np.ones((3, D), complex), vq.DtypeError, "sample must be real numbers"),
    ],
)
def test_a_sample_that_cannot_be_used_changes_nothing(sample, error, message):
    index = vq.index_factory("EDEN4")
    with pytest.raises(error, match=message):
        index.fit(sample)
    assert index.dim is None
    index.add(vectors(5))
    before = state(index)
    with pytest.raises(error):
        index.fit(sample)
    with pytest.raises(vq.ShapeError, match=r"sample must have shape \(n, 11\), got \(2, 3\)"):
        index.fit(np.ones((2, 3)))
    assert state(index) == before


def test_rows_removed_before_fitting_do_not_count():
    x = vectors(2000)
    index = vq.index_factory("EDEN4", metric="l2")
    index.add(x[:1000])
    index.remove(np.arange(990))
    index.add(x[1000:2000])
    assert not index.is_fitted
    index.add(x[:14] + 1)
    assert index.is_fitted
    kept = np.concatenate([x[990:], x[:14] + 1])
    mean = kept.mean(axis=0, dtype=np.float64).astype(np.float32)
    np.testing.assert_allclose(model(index)["model.center"], mean, rtol=2**-23)


@pytest.mark.parametrize("keep", ["f32", "f16"])
def test_kept_originals_stay_as_they_came_across_fitting(keep):
    x = vectors(1100) * 7
    index = vq.index_factory(f"EDEN2,Keep({keep})", metric="cosine")
    index.add(x[:1000])
    index.add(x[1000:])
    kept = x if keep == "f32" else x.astype(np.float16)
    np.testing.assert_array_equal(index.reconstruct(np.arange(1100)), kept)


def test_upserts_may_cross_the_boundary_of_fitting():
    """New rows come first, so that those replaced are coded by the codec that they made."""
    x = vectors(1100)
    index, steps = (vq.index_factory("EDEN4", metric="l2") for _ in range(2))
    for each in (index, steps):
        each.add(x[:1000])
    ids = np.arange(950, 1050)
    index.upsert(x[950:1050] + 1, ids)
    steps.upsert(x[1000:1050] + 1, ids[50:])
    steps.upsert(x[950:1000] + 1, ids[:50])
    assert index.is_fitted
    assert state(index) == state(steps)
    error = np.abs(index.reconstruct(ids) - (x[950:1050] + 1)).max()
    assert error < 1  # four bits of entries that differ from the centre by up to about 4


@pytest.mark.parametrize("spec", ["F16", "EDEN4,Keep(f16)"])
@pytest.mark.parametrize("n", [10, 3000])
def test_a_refused_row_leaves_all_rows_as_they_were(spec, n):
    """One too large for float16, among others that are fine, old and new, chunks apart."""
    x = vectors(n)
    index = vq.index_factory(spec, metric="ip")
    index.add(x)
    before = state(index)
    changed = np.concatenate([x, x]) + 1
    ids = np.arange(2 * n)
    for bad in (0, n - 1, n, 2 * n - 1):
        wrong = changed.copy()
        wrong[bad, 3] = 1e6
        for threads in (1, 2):
            with pytest.raises(vq.NonFiniteError, match="float16 holds values up to 65504"):
                index.upsert(wrong, ids, threads=threads)
            with pytest.raises(vq.NonFiniteError, match="float16 holds values up to 65504"):
                index.add(wrong, ids + n, threads=threads)
        assert state(index) == before
    assert len(index) == n
    assert n not in index
    assert index.add(x[:1]).tolist() == [n]
