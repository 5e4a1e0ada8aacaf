"""The ways to the best rows: which is taken, what bounds leave out, and how work is shared."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vqindex as vq
from vqindex.codes import Blocks
from vqindex.indexes.settings import Settings

STAGED = ["EDEN2", "EDEN4", "EDEN8", "TQ4", "EDEN4(scale=biased)", "TQprod4", "TQ3+QJL200"]
D = 70


def vectors(n, d=D, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def same(got, want):
    np.testing.assert_array_equal(got.ids, want.ids)
    np.testing.assert_array_equal(got.scores, want.scores)


@given(st.integers(0, 200), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_masks_have_a_bit_for_each_row_that_may_be_found(n, share, seed):
    allowed = np.random.default_rng(seed).random(n) < share
    for rows in (np.ones(n, bool), allowed):
        numbers, masks = Blocks.of(rows)
        assert numbers.dtype == np.int64
        assert masks.dtype == np.uint32
        assert masks.all()
        found = np.zeros(-(-n // 32) * 32, bool)
        for block, mask in zip(numbers, masks, strict=True):
            found[32 * block :][:32] = mask >> np.arange(32, dtype=np.uint32) & np.uint32(1)
        assert (np.flatnonzero(found) == np.flatnonzero(rows)).all()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"stages": "of"}, ValueError, 'stages must be "on" or "off", got \'of\''),
        ({"stages": True}, ValueError, 'stages must be "on" or "off", got True'),
        ({"bits": 0}, ValueError, "bits must be an integer >= 1, got 0"),
        ({"bits": True}, TypeError, "bits must be an integer >= 1, got True"),
        ({"bits": 2.0}, TypeError, "bits must be an integer >= 1, got 2.0"),
        ({"eps0": "3"}, TypeError, "eps0 must be a number, got '3'"),
        ({"eps0": True}, TypeError, "eps0 must be a number, got True"),
        ({"eps0": None}, TypeError, "eps0 must be a number, got None"),
        ({"eps0": -1}, ValueError, "eps0 must be finite and not negative, got -1"),
        ({"eps0": np.nan}, ValueError, "eps0 must be finite and not negative, got nan"),
        ({"eps0": np.inf}, ValueError, 'got inf; stages="off" is without'),
    ],
)
def test_settings_are_checked(settings, error, message):
    index = vq.index_factory("EDEN4")
    index.add(vectors(3))
    before = index.settings
    for refused in (Settings, index.configure):
        with pytest.raises(error, match=message):
            refused(**settings)
    with pytest.raises(error, match=message):
        index.search(vectors(1), **settings)
    assert index.settings == before


def test_settings_of_a_search_and_of_the_index():
    index = vq.index_factory("TQ4", metric="ip")
    index.add(vectors(3000))
    default = {"eps0": 3.5, "stages": "on", "bits": None}
    assert index.settings == default
    full, staged = index.search(vectors(1), stages="off"), index.search(vectors(1))
    assert index.settings == default
    assert full.stats["scored"] == 3000 > staged.stats["scored"]
    index.configure(stages="off")
    assert index.search(vectors(1)).stats == full.stats
    assert index.search(vectors(1), stages="on").stats == staged.stats
    index.configure(eps0=np.float32(2))
    assert index.settings == {"eps0": 2.0, "stages": "off", "bits": None}
    assert type(index.settings["eps0"]) is float
    with pytest.raises(TypeError, match="unknown search setting 'nprobe'; this index has eps0, st"):
        index.configure(nprobe=3)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("spec", STAGED)
def test_wide_bounds_leave_nothing_out(spec, metric):
    index = vq.index_factory(spec, metric=metric)
    index.add(vectors(2000))
    scored = []
    for q in vectors(20, seed=1):
        full = index.search(q, stages="off")
        same(index.search(q, eps0=1000), full)
        scored.append([index.search(q, eps0=eps0).stats["scored"] for eps0 in (0, 1, 3, 1000)])
        assert scored[-1] == sorted(scored[-1])
    assert np.mean(scored, axis=0)[2] < 2000


@pytest.mark.parametrize("k", [1, 30, 299, 300, 301, 5000])
@pytest.mark.parametrize("spec", ["EDEN1", "EDEN4", "TQprod4", "QJL"])
def test_any_k_on_every_way(spec, k):
    index = vq.index_factory(spec, metric="l2").fit(vectors(300))
    index.add(vectors(300))
    q = vectors(9, seed=1)
    batch = index.search(q, k)
    for i in range(9):
        for one in (index.search(q[i], k, eps0=1000), index.search(q[i], k, stages="off")):
            np.testing.assert_array_equal(one.ids, batch.ids[i])
            np.testing.assert_array_equal(one.scores, batch.scores[i])


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("spec", ["TQ4", "EDEN2(center=no)", "EDEN1(center=no)", "QJL"])
def test_rows_of_zeros_are_not_lost(spec, metric):
    """Their bound is their score, the best there is if all others point away."""
    x = vectors(1000) + 4
    x[[7, 500]] = 0
    index = vq.index_factory(spec, metric=metric)
    index.add(x)
    for q in (-np.ones((1, D)), -np.ones((9, D))):
        assert (index.search(q, k=2).ids == [7, 500]).all()


@pytest.mark.parametrize("eps0", [1e18, 1e38, 1e300])
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_the_widest_bounds_do_not_overflow(metric, eps0):
    x, q = vectors(1000) * np.float32(1e15), vectors(3, seed=1) * np.float32(1e15)
    x[[7, 500]] = 0
    index = vq.index_factory("TQ4", metric=metric)
    index.add(x)
    same(index.search(q, k=1000, eps0=eps0), index.search(q, k=1000, stages="off"))


@pytest.mark.parametrize("spec", ["EDEN1", "EDEN4", "QJL"])
def test_bounds_hold_for_vectors_far_from_random(spec):
    """One large entry, few distinct values, or all rows on a line."""
    rng = np.random.default_rng(0)
    spikes = np.eye(D, dtype=np.float32)[rng.integers(0, D, 1100)] * rng.choice([-1, 1], (1100, 1))
    corners = rng.choice([-1, 1], (1100, D))
    line = rng.standard_normal((1100, 1)) * np.ones(D)
    for x in (spikes, corners, line):
        index = vq.index_factory(spec, metric="l2")
        index.add(x)
        for q in x[:20]:
            same(index.search(q, k=5, eps0=20), index.search(q, k=5, stages="off"))


def test_filters_decide_whether_rows_or_blocks_are_read():
    """Listed rows are scored one by one, and counted, when one in sixteen or fewer may pass."""
    index = vq.index_factory("F32", metric="ip")
    index.add(vectors(1600))
    q = vectors(9, seed=1)
    for count in (1, 100, 101, 1600):
        allowed = np.random.default_rng(2).permutation(1600)[:count]
        result = index.search(q, 1700, allowed)
        assert result.stats == {"rows": 1600, "scored": 9 * count}
        assert (result.counts == count).all()
        assert (np.sort(result.ids[:, :count], axis=1) == np.sort(allowed)).all()


@pytest.mark.parametrize(("spec", "signs"), [("EDEN4", 1), ("Haar,TQ4", 1), ("None,EDEN4", 0)])
def test_signs_bound_only_what_is_rotated(spec, signs):
    x = np.random.default_rng(0).lognormal(0, 2, (3000, 64)).astype(np.float32)
    index = vq.index_factory(spec, metric="ip")
    index.add(x)
    assert index._rows.codec.scorer.signs == signs
    for q in x[:20]:
        staged, full = index.search(q), index.search(q, stages="off")
        assert (staged.ids == full.ids).all()
        assert (staged.stats["scored"] < full.stats["scored"]) == (signs > 0)


@pytest.mark.parametrize("nq", [1, 7, 8, 40])
@pytest.mark.parametrize("count", [0, 1, 5, 46, 47, 300])
def test_few_rows_that_pass_a_filter_are_all_found(nq, count):
    index = vq.index_factory("EDEN4", metric="ip")
    index.add(vectors(3000))
    allowed = np.random.default_rng(count).permutation(3000)[:count]
    result = index.search(vectors(nq, seed=1), 300, allowed)
    assert (result.counts == count).all()
    assert (np.sort(result.ids[:, :count], axis=1) == np.sort(allowed)).all()
