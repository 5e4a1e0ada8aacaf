import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from vqindex.datasets import exact, pair_distances
from vqindex.datasets.exact import exact_search
from vqindex.errors import NonFiniteError

DTYPES = ("uint8", "int16", "float16", "float32", "float64")


def small_blocks(patch):
    patch.setattr(exact, "_BLOCK", 64)
    patch.setattr(exact, "_QUERIES", 3)
    patch.setattr(exact, "_SPARE", 2)


@st.composite
def whole_numbers(draw):
    """Few distinct values, so most distances tie; every sum is exact."""
    n, nq, d = draw(st.integers(0, 90)), draw(st.integers(0, 5)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = draw(st.sampled_from(DTYPES))
    base, queries = rng.integers(0, 4, (n, d)), rng.integers(0, 4, (nq, d))
    return base.astype(dtype), queries.astype(dtype), draw(st.integers(1, 100))


@given(case=whole_numbers(), metric=st.sampled_from(["l2", "ip"]))
def test_ties_go_to_the_lower_id(case, metric):
    base, queries, k = case
    b, q = base.astype(np.int64), queries.astype(np.int64)
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        distances, ids = exact_search(base, queries, k, metric)
    assert (distances.dtype, ids.dtype) == (np.float32, np.int64)
    m = min(k, len(b))
    for i in range(len(q)):
        every = ((b - q[i]) ** 2).sum(axis=1) if metric == "l2" else -(b @ q[i])
        order = np.argsort(every, kind="stable")[:k]
        assert ids[i, :m].tolist() == order.tolist()
        assert distances[i, :m].tolist() == every[order].tolist()
    assert (ids[:, m:] == -1).all()
    assert (distances[:, m:] == np.inf).all()


@given(
    metric=st.sampled_from(["l2", "ip", "cosine"]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    d=st.sampled_from([1, 2, 7, 64, 65]),
    k=st.sampled_from([1, 5, 200]),
    seed=st.integers(0, 20),
)
def test_distances_are_the_smallest(metric, dtype, d, k, seed):
    rng = np.random.default_rng(seed)
    base = (rng.standard_normal((150, d)) + 3).astype(dtype)
    queries = rng.standard_normal((4, d)).astype(dtype)
    base[7] = queries[0] = 0
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        distances, ids = exact_search(base, queries, k, metric)
    b, q = base.astype(np.longdouble), queries.astype(np.longdouble)
    lengths = np.sqrt((b * b).sum(1)) * np.sqrt((q * q).sum(1))[:, None]
    every = {
        "l2": ((q[:, None] - b) ** 2).sum(axis=2),
        "ip": -(q @ b.T),
        "cosine": 1 - (q @ b.T) / np.where(lengths == 0, 1, lengths),
    }[metric]
    # float64 sums of d terms no larger than `size`, then one rounding to float32
    size = {"l2": every, "ip": lengths, "cosine": np.ones_like(every)}[metric].max()
    bound = 2.0**-24 * np.abs(every).max() + 4 * (d + 8) * 2.0**-53 * size
    m = min(k, 150)
    assert np.abs(distances[:, :m] - np.sort(every, axis=1)[:, :m]).max() <= bound
    there = np.take_along_axis(every, ids[:, :m], axis=1)
    assert np.abs(distances[:, :m] - there).max() <= bound
    assert all(len(set(row[:m])) == m for row in ids.tolist())
    assert (pair_distances(base, queries, ids, metric) == distances).all()


@pytest.mark.parametrize(("metric", "sign"), [("l2", 1), ("ip", -1)])
@pytest.mark.parametrize("step", [1e-8, -1e-8])
def test_gaps_below_float32_still_order(metric, sign, step):
    base = np.zeros((400, 2))
    base[:, 0] = 1000 + step * np.random.default_rng(0).permutation(400)
    ids = exact_search(base, np.array([[1.0, 0.0]]), 9, metric)[1][0]
    assert ids.tolist() == np.argsort(sign * base[:, 0])[:9].tolist()


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_shortlist_suffices_where_distances_differ(metric, monkeypatch):
    nearest, asked = exact._nearest, []

    def spy(base, rows, *rest):
        asked.append(rows is None)
        return nearest(base, rows, *rest)

    monkeypatch.setattr(exact, "_nearest", spy)
    rng = np.random.default_rng(0)
    base = rng.standard_normal((3000, 16)) * rng.uniform(1, 2, (3000, 1)) + 0.3
    exact_search(base, rng.standard_normal((20, 16)), 10, metric)
    assert asked == [False] * 20


def test_a_long_row_does_not_blur_short_ones():
    rng = np.random.default_rng(1)
    base = rng.integers(0, 50, (300, 3)).astype(np.float32)
    base[0] = 1e18
    query = np.ones((1, 3), np.float32)
    order = np.argsort(((base[1:].astype(np.int64) - 1) ** 2).sum(axis=1), kind="stable") + 1
    assert exact_search(base, query, 10, "l2")[1][0].tolist() == order[:10].tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
@pytest.mark.parametrize("side", [0, 1])
def test_what_float32_cannot_hold_is_refused(bad, side):
    arrays = [np.ones((5, 3)), np.ones((5, 3))]
    arrays[side][2, 1] = bad
    with pytest.raises(NonFiniteError):
        exact_search(*arrays, 1, "ip")


def test_inputs_are_untouched():
    base, queries = np.ones((4, 2)), np.ones((1, 2))
    exact_search(base, queries, 2, "cosine")
    assert (base == 1).all()
    assert (queries == 1).all()


def test_pairs_without_a_row_are_infinitely_far():
    ones = np.ones((1, 2), np.float32)
    assert pair_distances(ones, ones, np.array([[-1, 0]]), "l2").tolist() == [[np.inf, 0]]
