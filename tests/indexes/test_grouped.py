"""Many queries on lists, list after list, beside the same queries one by one."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.indexes import probe
from vqindex.indexes.probe import Probe

SPECS = ["IVF16,EDEN4", "IVF16,EDEN2+QJL", "IVF16,SAQ3", "IVF16,F32", "IVF16,SQ8", "IVF16,LVQ4",
         "IVF16,EDEN1", "IVF16,EDEN3,Rerank(f16)", "IVF16,Coarse8,EDEN2", "IVF16,VQ2"]  # fmt: skip


def rows(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d), np.float32) + rng.standard_normal(d, np.float32)


def made(spec, metric, d=80):
    index = vq.index_factory(spec, metric=metric, seed=3)
    index.fit(rows(1500, d))
    index.add(rows(1100, d, 1), ids=np.random.default_rng(5).permutation(5000)[:1100])
    return index


@pytest.fixture
def together(monkeypatch):
    """Counts the queries that are asked together; signs never spare enough."""
    asked, way = [], Probe._together

    def told(self, asking, *arguments):
        asked.append(asking.nq)
        return way(self, asking, *arguments)

    monkeypatch.setattr(Probe, "_together", told)
    monkeypatch.setattr(probe, "PROBE", 16)
    init = Probe.__init__

    def dense(self, *arguments):
        init(self, *arguments)
        self._words = 1e9

    monkeypatch.setattr(Probe, "__init__", dense)
    return asked


def one_by_one(index, q, k, **settings):
    found = [index.search(one[None], k, **settings) for one in q]
    return np.concatenate([f.ids for f in found]), np.concatenate([f.scores for f in found]), found


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
@pytest.mark.parametrize("spec", SPECS)
def test_queries_together_find_what_each_finds_alone(spec, metric, together):
    index, q = made(spec, metric), rows(150, 80, 2)
    for k, nprobe, settings in [(1, 3, {}), (10, 5, {"eps0": 0.5}), (200, 2, {"stages": "off"})]:
        many = index.search(q, k, nprobe=nprobe, **settings)
        ids, scores, found = one_by_one(index, q, k, nprobe=nprobe, **settings)
        np.testing.assert_array_equal(ids, many.ids)
        assert scores.tobytes() == many.scores.tobytes()
        for name in ("lists", "bounded"):
            assert many.stats[name] == sum(f.stats[name] for f in found)
        whole = index.search(q, k, nprobe=nprobe, threads=2, **settings)
        assert whole.scores.tobytes() == many.scores.tobytes()
    assert sum(together) >= 3 * 134


@pytest.mark.parametrize("d", [1, 7, 16, 65, 130])
@pytest.mark.parametrize("spec", ["IVF16,EDEN4", "IVF16,F16", "IVF16,SQ8"])
def test_dimensions_of_every_shape(spec, d, together):
    index, q = made(spec, "l2", d), rows(77, d, 2)
    many = index.search(q, 5, nprobe=4)
    ids, scores, _ = one_by_one(index, q, 5, nprobe=4)
    np.testing.assert_array_equal(ids, many.ids)
    assert scores.tobytes() == many.scores.tobytes()
    assert together


def test_bounds_that_fail_too_often_have_a_query_asked_alone(together):
    """With no width at all, half of the bounds fail: more than are kept to spare."""
    index, q = made("IVF16,EDEN4", "ip"), rows(90, 80, 2)
    many = index.search(q, 40, nprobe=6, eps0=0)
    ids, scores, _ = one_by_one(index, q, 40, nprobe=6, eps0=0)
    np.testing.assert_array_equal(ids, many.ids)
    assert scores.tobytes() == many.scores.tobytes()
    assert together


def test_filters_hold_and_few_rows_have_more_lists_looked_into(together):
    index, q = made("IVF16,EDEN4", "cosine"), rows(90, 80, 2)
    allowed = np.random.default_rng(0).random(len(index)) < 0.6
    many = index.search(q, 30, filter=allowed, nprobe=3)
    ids, scores, _ = one_by_one(index, q, 30, filter=allowed, nprobe=3)
    np.testing.assert_array_equal(ids, many.ids)
    assert scores.tobytes() == many.scores.tobytes()
    assert np.isin(many.ids, index.ids[allowed]).all()
    most = index.search(q, 500, nprobe=3)
    assert (most.ids >= 0).all()
    ids, *_ = one_by_one(index, q, 500, nprobe=3)
    np.testing.assert_array_equal(ids, most.ids)
    assert len(together) >= 2
