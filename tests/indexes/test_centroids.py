"""Origins of lists: what they are, whom rows go to, and what they add to scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.errors import CorruptFileError
from vqindex.indexes import centroids as module
from vqindex.indexes.centroids import Centroids
from vqindex.kernels.cpu import encode, routing
from vqindex.kernels.reference import routing as reference

METRICS = ("l2", "ip", "cosine")
F32 = np.float32


def clusters(n, d, count=10, spread=0.1, seed=0):
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((count, d))
    numbers = rng.integers(0, count, n)
    return (means[numbers] + spread * rng.standard_normal((n, d))).astype(F32), numbers


def random(lists, d, metric="l2", seed=0):
    return Centroids.of(metric, np.random.default_rng(seed).standard_normal((lists, d)).astype(F32))


def preferences(centroids, rows):
    """(n, lists) float64, of the origins as they are."""
    x, origins = (
        rows.astype(np.float64),
        centroids.origins(np.arange(centroids.lists)).astype(np.float64),
    )
    if centroids.metric == "l2":
        return -((x[:, None] - origins) ** 2).sum(axis=2)
    norms = np.sqrt((origins**2).sum(axis=1))
    return np.divide(x @ origins.T, norms, out=np.zeros((len(x), len(norms))), where=norms > 0)


def slack(centroids, rows):
    """Twice what rounding rows to bytes, and float32, can change a preference by, (n, 1)."""
    origins = centroids.origins(np.arange(centroids.lists)).astype(np.float64)
    sizes, norms = np.abs(origins).sum(axis=1), np.sqrt((origins**2).sum(axis=1))
    step = np.abs(rows).max(axis=1, keepdims=True).astype(np.float64) / 127
    if centroids.metric == "l2":
        weight, magnitude = 2.0, (norms**2).max()
    else:
        weight, magnitude = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0), 0
    change = (weight * sizes * (step / 2 + 2.0**-10 * step)).max(axis=1, keepdims=True)
    return 2 * (change + 2.0**-20 * magnitude)


@given(st.integers(1, 40), st.integers(1, 80), st.integers(0, 2**32 - 1))
def test_origins_are_bytes_times_a_scale(lists, d, seed):
    rng = np.random.default_rng(seed)
    given_ = (rng.standard_normal((lists, d)) * 10.0 ** rng.integers(-15, 15, (lists, 1))).astype(
        F32
    )
    given_[rng.random(lists) < 0.1] = 0
    centroids = Centroids.of("l2", given_)
    assert (centroids.lists, centroids.dim) == (lists, d)
    assert centroids.entries.dtype == np.int8
    assert np.abs(centroids.entries.astype(int)).max(axis=1).tolist() == [
        127 if row.any() else 0 for row in given_
    ]
    origins = centroids.origins(np.arange(lists))
    assert origins.dtype == F32
    step = np.abs(given_).max(axis=1, keepdims=True).astype(np.float64) / 127
    assert (np.abs(origins - given_.astype(np.float64)) <= step * (0.5 + 2.0**-15)).all()
    some = rng.integers(0, lists, 5)
    np.testing.assert_array_equal(centroids.origins(some), origins[some])


@settings(deadline=None)
@given(
    st.sampled_from(METRICS), st.integers(1, 70), st.sampled_from([1, 2, 63, 64, 65, 100]),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_rows_go_to_the_list_they_prefer(metric, lists, d, seed):
    """But for what their rounding to bytes can change."""
    centroids, rng = random(lists, d, metric, seed), np.random.default_rng(seed)
    rows = (rng.standard_normal((50, d)) * 10.0 ** rng.integers(-3, 3)).astype(F32)
    rows[::7] = 0
    numbers = centroids.assign(rows)
    assert numbers.dtype == np.int64
    assert ((numbers >= 0) & (numbers < lists)).all()
    every = preferences(centroids, rows)
    chosen = np.take_along_axis(every, numbers[:, None], axis=1)
    assert (chosen >= every.max(axis=1, keepdims=True) - slack(centroids, rows)).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("lists", "d"), [(1, 1), (127, 64), (128, 65), (129, 384)])
def test_shares_are_products_of_bytes(metric, lists, d):
    centroids = random(lists, d, metric)
    a = np.random.default_rng(1).standard_normal((37, d)).astype(F32)
    t, scales = np.empty(a.shape, np.int8), np.empty(len(a), F32)
    encode.to_bytes(a, t, scales)
    got = centroids.rough_shares(a)
    assert got.shape == (37, centroids.padded)
    assert centroids.padded % routing.PADDED == 0
    # A share is (raw + half) * gamma * scale, where gamma is the largest entry's 127th part.
    gamma = np.abs(centroids.origins(np.arange(lists))).max(axis=1) / F32(127)
    want = reference.shares(t, scales, centroids.entries, gamma)
    np.testing.assert_allclose(got[:, :lists], want, rtol=2.0**-22)
    assert (got[:, lists:] == 0).all()
    asked, origins = a.astype(np.float64), centroids.origins(np.arange(lists)).astype(np.float64)
    step = np.abs(asked).max(axis=1, keepdims=True) / 127
    bound = (0.5 + 2.0**-10) * step * np.abs(origins).sum(axis=1)
    assert (np.abs(got[:, :lists] - asked @ origins.T) <= bound).all()
    fine, blurs = centroids.met(a)
    np.testing.assert_array_equal(fine, centroids.shares(a))
    assert (np.abs(fine[:, :lists] - asked @ origins.T) <= bound / 200).all()
    spread = np.sqrt(np.square(fine[:, :lists] - asked @ origins.T).mean(axis=1))
    if d > 1:  # of the blur times the size of an origin
        size = np.sqrt(np.square(origins).sum(axis=1).mean())
        np.testing.assert_allclose(spread / size, blurs, rtol=0.5)


@pytest.mark.parametrize("metric", METRICS)
def test_a_row_alone_is_as_among_others(metric, monkeypatch):
    centroids, rows = random(50, 30, metric), clusters(2500, 30)[0]
    numbers, shares = centroids.assign(rows), centroids.shares(rows)
    for i in (0, 3, 1023, 1024, 2499):
        assert centroids.assign(rows[i : i + 1]).tolist() == [numbers[i]]
        assert centroids.shares(rows[i : i + 1]).tobytes() == shares[i].tobytes()
    monkeypatch.setattr(module, "ROWS", 7)
    np.testing.assert_array_equal(centroids.assign(rows), numbers)
    assert centroids.assign(rows[:0]).shape == (0,)


@pytest.mark.parametrize("metric", METRICS)
def test_ties_go_to_the_lower_number(metric):
    centroids = Centroids.of(metric, np.repeat(np.float32([[1, 2], [-3, 1]]), 20, axis=0))
    assert set(centroids.assign(np.float32([[1, 2], [2, 4]])).tolist()) == {0}
    assert set(centroids.assign(np.float32([[-3, 1], [-6, 2]])).tolist()) == {20}


@pytest.mark.parametrize("metric", METRICS)
def test_what_kernels_prefer_lists_by(metric):
    centroids = random(20, 30, metric)
    norms = np.sqrt((centroids.origins(np.arange(20)).astype(np.float64) ** 2).sum(axis=1))
    weights, offsets = centroids.weights, centroids.offsets
    assert len(weights) == len(offsets) == centroids.padded
    assert (offsets[20:] == -np.inf).all()
    want = np.ones(20) if metric == "l2" else 1 / norms
    np.testing.assert_allclose(weights[:20], want, rtol=2.0**-20)
    want = -(norms**2) if metric == "l2" else np.zeros(20)
    np.testing.assert_allclose(offsets[:20], want, rtol=2.0**-20)


@pytest.mark.parametrize("metric", METRICS)
def test_clusters_are_found(metric):
    """With a list for each and more, rows of a list are of one cluster, but for a few."""
    rows, numbers = clusters(3000, 24, count=6, spread=0.05)
    centroids = Centroids.fit(metric, rows, 12, 0)
    lists = centroids.assign(rows)
    pure = sum(np.bincount(numbers[lists == i]).max() for i in np.unique(lists))
    assert pure >= 0.99 * 3000
    first = Centroids.of(metric, rows[:12])
    gain = [
        preferences(c, rows)[np.arange(3000), c.assign(rows)].mean() for c in (centroids, first)
    ]
    assert gain[0] > gain[1]


@pytest.mark.parametrize("metric", METRICS)
def test_fitting_is_determined_by_rows_and_seed(metric):
    rows, _ = clusters(1500, 16)
    before = rows.copy()
    one, two, other = (Centroids.fit(metric, rows, 9, seed) for seed in (5, 5, 6))
    assert one.entries.tobytes() == two.entries.tobytes()
    assert one.scales.tobytes() == two.scales.tobytes()
    assert one.entries.tobytes() != other.entries.tobytes()
    np.testing.assert_array_equal(rows, before)


def test_no_more_rows_than_so_many_a_list_are_looked_at(monkeypatch):
    monkeypatch.setattr(module, "SAMPLE", 20)
    rows, _ = clusters(1500, 16)
    seen = []
    assign = Centroids.assign
    monkeypatch.setattr(
        Centroids, "assign", lambda self, x: (seen.append(len(x)), assign(self, x))[1]
    )
    Centroids.fit("l2", rows, 9, 0)
    assert seen == [180] * module.ITERATIONS


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spread", [0, 1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize(("n", "lists"), [(1, 1), (40, 32), (200, 150), (1024, 32)])
def test_fewer_different_rows_than_lists(metric, spread, n, lists):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rows = (rng.standard_normal(16) + spread * rng.standard_normal((n, 16))).astype(F32)
        centroids = Centroids.fit(metric, rows, lists, seed)
        assert centroids.lists == lists
        assert np.isfinite(centroids.scales).all()
        assert ((numbers := centroids.assign(rows)) < lists).all()
        if spread == 0:
            assert len(set(numbers.tolist())) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_lists_without_rows_take_some_of_the_largest(metric):
    """Two clusters far apart, one of them all of the first origins: both have lists in the end."""
    rng = np.random.default_rng(0)
    rows = 0.1 * rng.standard_normal((2000, 8)).astype(F32)
    rows[:, 0] += 1
    rows[1000:, 0] -= 2
    centroids = Centroids.fit(metric, rows, 16, 0)
    sizes = np.bincount(centroids.assign(rows), minlength=16)
    assert (sizes > 0).all()
    assert sizes.max() < 500


@pytest.mark.parametrize("metric", METRICS)
def test_zeros_make_lists(metric):
    centroids = Centroids.fit(metric, np.zeros((50, 4), F32), 5, 0)
    assert not centroids.scales.any()
    assert not centroids.entries.any()
    assert set(centroids.assign(np.ones((3, 4), F32)).tolist()) == {0}
    assert not centroids.shares(np.ones((3, 4), F32)).any()


def test_what_is_saved_comes_back():
    centroids = random(20, 30, "ip")
    other = Centroids.restore("ip", centroids.arrays(), 30)
    rows = clusters(100, 30)[0]
    assert other.shares(rows).tobytes() == centroids.shares(rows).tobytes()
    np.testing.assert_array_equal(other.assign(rows), centroids.assign(rows))


def test_arrays_that_lie_are_refused():
    arrays = random(4, 6).arrays()
    entries, scales = arrays["entries"], arrays["scales"]
    for wrong in (
        {"entries": entries.astype(np.int16)}, {"entries": entries[:, :5]},
        {"entries": entries[:3]}, {"entries": entries[None]}, {"scales": scales[:3]},
        {"scales": scales.astype(np.float64)}, {"scales": scales[None]},
        {"scales": -scales}, {"scales": scales * F32(np.nan)}, {"scales": scales + F32(np.inf)},
        {"scales": scales + F32(1e37)}, {"entries": np.full_like(entries, -128)},
        {"entries": entries[:0], "scales": scales[:0]},
    ):  # fmt: skip
        with pytest.raises(CorruptFileError):
            Centroids.restore("l2", arrays | wrong, 6)
    for missing in arrays:
        with pytest.raises(CorruptFileError):
            Centroids.restore("l2", {k: a for k, a in arrays.items() if k != missing}, 6)
    with pytest.raises(CorruptFileError, match=r"'entries' must have shape \(4, 7\), got \(4, 6\)"):
        Centroids.restore("l2", arrays, 7)
