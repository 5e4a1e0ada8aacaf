"""What becomes of lists: how even they are, how well new rows fit, and laying them in order."""

import numpy as np
import pytest

import vqindex as vq
from tests.indexes.listed import NLIST, SPECS, D, fitted, same, state, vectors


@pytest.mark.parametrize("spec", SPECS)
def test_compacting_changes_nothing_but_the_order(spec):
    index, q = fitted(spec), vectors(20, seed=3)
    for i in range(30):
        index.add(vectors(400, seed=i), np.arange(400 * i, 400 * i + 400))  # more than a slab
        index.remove(np.arange(400 * i, 400 * i + 200, 3))
    before, found = state(index), [index.search(q, 30, nprobe=p) for p in (1, 3, NLIST)]
    rows, near = index.reconstruct(np.sort(index.ids)), index.range_search(q, 1.0)
    index.compact()
    after = state(index)
    assert after != before
    assert len(after) == len(before)
    lists = index._rows.lists
    assert (np.diff(lists.owners) >= 0).all()
    for number in range(NLIST):
        chain = lists.chain(number)
        assert (np.diff(chain) == -1).all()
        assert lists.masks[chain[1:]].tolist() == [2**32 - 1] * (len(chain) - 1)
    for p, want in zip((1, 3, NLIST), found, strict=True):
        same(index.search(q, 30, nprobe=p), want)
    np.testing.assert_array_equal(index.reconstruct(np.sort(index.ids)), rows)
    for got, want in zip(index.range_search(q, 1.0), near, strict=True):
        np.testing.assert_array_equal(got, want)
    index.compact()
    assert state(index) == after
    index.remove(index.ids)
    index.compact()
    assert len(index) == 0


def test_what_cannot_be_compacted_yet_is_let_be():
    index = vq.index_factory(f"IVF{NLIST},F32", metric="l2")
    index.compact()
    assert index.imbalance is None
    index.add(vectors(50))
    before = state(index)
    index.compact()
    assert state(index) == before
    assert index.imbalance is None
    assert fitted().imbalance is None


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("spec", ["F32", "EDEN1"])
def test_drift(spec, metric):
    """By its definition, for rows added in any parts; what is added later counts the same."""
    index, parts = fitted(spec, metric), fitted(spec, metric)
    assert index.drift() == 1
    centroids, codec = index._rows.model.centroids, index._rows.codec

    def squares(x):
        x = codec.centred(x)
        away = x - centroids.origins(centroids.assign(x)).astype(np.float64)
        return (away**2).sum(axis=1)

    assert centroids.spread == pytest.approx(squares(vectors(400, seed=7)).mean(), rel=1e-6)
    x = vectors(3000, seed=1)
    index.add(x)
    for a, b in ((0, 1), (1, 1200), (1200, 3000)):
        parts.add(x[a:b], threads=2)
    assert (
        index.drift()
        == parts.drift()
        == pytest.approx(squares(x).mean() / centroids.spread, rel=1e-5)
    )
    assert 0.9 < index.drift() < 1.2
    other = -3 * vectors(3000, seed=2)
    index.upsert(other, np.arange(2000, 5000))
    index.remove(np.arange(4000))
    index.compact()
    every = np.concatenate([x, other])
    assert index.drift() == pytest.approx(squares(every).mean() / centroids.spread, rel=1e-5)
    assert index.drift() > 1.5


def test_rows_that_lists_were_fitted_to_are_no_drift():
    index = vq.index_factory(f"IVF{NLIST},F32", metric="l2")
    index.add(vectors(32 * NLIST))
    assert index.is_fitted
    assert index.drift() == 1
    index.add(5 * vectors(10))
    assert index.drift() > 2
    index.add(np.full((1, D), 1e15, np.float32))
    assert 1024 / 11 <= index.drift() < 1100


def test_drift_from_a_sample_without_spread():
    index = vq.index_factory("IVF2,F32", metric="l2").fit(np.ones((50, D)))
    index.add(np.ones((30, D)))
    assert index.drift() in (1, 1024)
    index.add(np.zeros((30, D)))
    assert index.drift() > 100


def test_imbalance():
    index = vq.index_factory("IVF2,F32", metric="l2")
    index.fit(np.array([[0.0]] * 60 + [[9.0]] * 60, np.float32))
    index.add(np.array([[0.0]] * 90 + [[9.0]] * 90, np.float32))
    assert index.imbalance == 1
    index.add(np.array([[0.0]] * 180, np.float32))
    assert index.imbalance == pytest.approx(2 * (270**2 + 90**2) / 360**2)
    index.remove(np.arange(90, 180))
    assert index.imbalance == 2


def test_lists_take_coarse_codes():
    named = vq.index_factory("IVF6,Coarse4,EDEN4", metric="l2")
    index = vq.IVFIndex(6, metric="l2", coarse=vq.Coarse((4,)))
    assert index.spec == named.spec
    for each in (index, named):
        each.add(vectors(1500))
    assert state(index) == state(named)
