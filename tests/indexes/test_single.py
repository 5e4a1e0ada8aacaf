"""One query, answered by one kernel, beside the same query among others."""

import threading

import numpy as np
import pytest

import vqindex as vq
from vqindex.errors import NonFiniteError
from vqindex.indexes.single import Desk

F32 = np.float32
SPECS = [
    "PQ8x4", "OPQ10x4", "PQ5x8(scale=unbiased)", "IVF16,PQ10x4", "RQ3x4",
    "PQ8x4(weighting=queries)",
    "EDEN1", "EDEN4", "None,IVF16,EDEN2", "Haar,TQ3", "RaBitQ4", "EDEN2,Rerank(f16)",
    "EDEN1,Rerank(EDEN8)", "IVF16,EDEN4", "IVF16,F32", "IVF16,SQ8", "IVF16,EDEN2,Rerank(f32)",
    "SAQ0.5", "SAQ3", "SAQ7", "Hadamard,SAQ2", "IVF16,SAQ1", "IVF16,SAQ4,Rerank(SAQ6)",
    "IVF16,VQ2", "PCA,IVF16,RaBitQ1,Rerank(SQ8)",
]  # fmt: skip
OTHERS = ["EDEN2+QJL", "SAQ3+QJL", "LVQ4", "Coarse8,EDEN2", "IVF16,NUQ2"]


def rows(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d), F32) + rng.standard_normal(d, F32)


@pytest.fixture
def answered(monkeypatch):
    """Whether each query that reached a desk was answered there."""
    found, answer = [], Desk.answer

    def told(self, *arguments):
        seen = answer(self, *arguments)
        found.append(seen is not None)
        return seen

    monkeypatch.setattr(Desk, "answer", told)
    return found


def made(spec, metric, d=80):
    index = vq.index_factory(spec, metric=metric, seed=3)
    index.fit(rows(1500, d), rows(200, d, 4))
    index.add(rows(1100, d, 1), ids=np.random.default_rng(5).permutation(5000)[:1100])
    if "IVF" in spec:
        index.configure(nprobe=3)
    return index


def alone(index, q, k, **settings):
    found = [index.search(one, k, **settings) for one in q]
    return np.stack([f.ids for f in found]), np.stack([f.scores for f in found]), found


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_query_alone_has_the_answers_that_it_has_among_others(spec, metric, answered):
    index, q = made(spec, metric), rows(9, 80, 2)
    for k, settings in [(1, {}), (10, {"eps0": 1.0}), (700, {})]:
        many = index.search(q, k, **settings)
        ids, scores, found = alone(index, q, k, **settings)
        np.testing.assert_array_equal(ids, many.ids)
        np.testing.assert_array_equal(scores, many.scores)
        for name in ("lists", "bounded", "scored"):
            if name in many.stats and settings:
                assert sum(f.stats[name] for f in found) > 0
    assert answered == [True] * 27


@pytest.mark.parametrize("spec", OTHERS)
def test_codecs_whose_queries_take_more_than_one_step_are_searched_as_ever(spec, answered):
    index, q = made(spec, "l2"), rows(5, 80, 2)
    many = index.search(q, 7)
    ids, scores, _ = alone(index, q, 7)
    np.testing.assert_array_equal(ids, many.ids)
    np.testing.assert_array_equal(scores, many.scores)
    assert not answered


@pytest.mark.parametrize("d", [1, 3, 16, 20, 63, 64, 65, 112, 200])
@pytest.mark.parametrize("spec", ["EDEN3", "IVF4,EDEN4,Rerank(f16)", "Haar,IVF4,TQ2"])
def test_dimensions_of_every_shape(spec, d):
    index, q = made(spec, "l2", d), rows(4, d, 2)
    ids, scores, _ = alone(index, q, 5)
    many = index.search(q, 5)
    np.testing.assert_array_equal(ids, many.ids)
    np.testing.assert_array_equal(scores, many.scores)


@pytest.mark.parametrize("factor", [0, 1e-30, 1e-18, 1e17])
def test_norms_that_float32_cannot_square(factor, answered):
    index, q = made("IVF16,EDEN4", "cosine"), rows(3, 80, 2) * F32(factor)
    many = index.search(q, 5)
    ids, scores, _ = alone(index, q, 5)
    np.testing.assert_array_equal(ids, many.ids)
    np.testing.assert_array_equal(scores, many.scores)
    assert answered == [False] * 3


def test_a_query_too_long_is_refused():
    for metric in ("ip", "l2"):
        index = made("EDEN4", metric)
        with pytest.raises(NonFiniteError, match="norms up to"):
            index.search(rows(1, 80)[0] * F32(1e19))


def test_rows_that_come_and_go_are_seen(answered):
    index, q = made("IVF16,EDEN4", "ip"), rows(1, 80, 2)[0]
    first = index.search(q, 1)
    index.remove(first.ids)
    assert index.search(q, 1).ids != first.ids
    index.add(q[None] * 3, ids=[77777])
    assert index.search(q, 1).ids == [77777]
    assert all(answered)


def test_one_index_asked_by_threads_at_once():
    index, q = made("IVF16,EDEN4,Rerank(f16)", "l2"), rows(40, 80, 2)
    want, failed = index.search(q, 5), []

    def ask(which):
        for i in [*which] * 20:
            failed.extend(index.search(q[i], 5).ids != want.ids[i])

    threads = [threading.Thread(target=ask, args=(range(t, 40, 4),)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 40 * 20 * 5
    assert not any(failed)


def test_fewer_rows_than_wanted_pad():
    index = vq.index_factory("EDEN4", metric="ip")
    index.fit(rows(2000, 8))
    index.add(rows(3, 8))
    found = index.search(rows(1, 8)[0], 5)
    assert (found.ids[3:] == -1).all()
    assert np.isneginf(found.scores[3:]).all()
