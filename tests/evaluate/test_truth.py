"""Exact neighbours by id, whoever keeps the rows."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.datasets import synthetic
from vqindex.evaluate import truth

IDS = 7 * np.random.default_rng(1).permutation(300)  # in no order


def made(spec, data):
    index = vq.index_factory(spec, metric=data.metric)
    index.add(data.base, IDS)
    return index


@pytest.mark.parametrize("spec", ["F32", "EDEN2,Keep(f32)", "IVF8,EDEN2,Rerank(f32)", "EDEN2"])
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_truth_is_that_of_the_dataset(spec, metric, monkeypatch):
    monkeypatch.setattr(truth, "CHUNK", 16 * 70)  # 70 rows at a time
    data = synthetic(300, 16, 20, metric, k=12)
    index = made(spec, data)
    base = None if truth.keeps_originals(index) else data.base[np.argsort(IDS)]
    assert (base is None) == (spec != "EDEN2")
    found = truth.neighbors(index, data.queries, 12, base)
    assert (found == IDS[data.neighbors]).all()


def test_removed_rows_are_no_neighbours():
    data = synthetic(300, 16, 20, "l2", k=12)
    index = made("EDEN2,Keep(f32)", data)
    index.remove(IDS[data.neighbors[:, 0]])
    found = truth.neighbors(index, data.queries, 12)
    assert not np.isin(found, IDS[data.neighbors[:, 0]]).any()


def test_equal_rows_come_by_id_and_missing_ones_are_padded(monkeypatch):
    monkeypatch.setattr(truth, "CHUNK", 2 * 4)
    index = vq.index_factory("F32", metric="l2")
    index.add(np.ones((5, 4)), [9, 3, 7, 1, 5])
    found = truth.neighbors(index, np.ones((1, 4), np.float32), 7)
    assert found.tolist() == [[1, 3, 5, 7, 9, -1, -1]]


@pytest.mark.parametrize("spec", ["EDEN2", "EDEN2,Keep(f16)", "F32,Keep(f16)", "EDEN2,Rerank(f16)"])
def test_without_originals_there_is_no_truth(spec):
    data = synthetic(300, 16, 3, "l2", k=2)
    index = made(spec, data)
    with pytest.raises(ValueError, match=r"keeps no exact rows .* pass base=.* or truth="):
        truth.neighbors(index, data.queries, 2)
    with pytest.raises(vq.ShapeError, match="must have the 300 rows of the index, got 299"):
        truth.neighbors(index, data.queries, 2, data.base[1:])
    with pytest.raises(vq.ShapeError, match=r"base must have shape \(n, 16\)"):
        truth.neighbors(index, data.queries, 2, data.base[:, 1:])
