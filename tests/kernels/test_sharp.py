"""Queries among thousands of near rows: few of them are scored, and none is missed."""

import numpy as np
import pytest

import vqindex as vq

DIM, NEAR, FAR = 32, 6000, 3000


def rows(spread, seed=0):
    """Many about one point, and others far away."""
    rng = np.random.default_rng(seed)
    x = 60 * rng.standard_normal((NEAR + FAR, DIM))
    x[:NEAR] = 1 + spread * rng.standard_normal((NEAR, DIM))
    return x[rng.permutation(len(x))].astype(np.float32)


def found(spec, x, q, ids=None, **settings):
    index = vq.index_factory(spec, metric="l2")
    index.fit(x)
    index.add(x, ids=ids)
    on, off = index.search(q, 10, threads=1, **settings), index.search(q, 10, stages="off")
    if settings.get("filter") is None:
        assert (on.ids == off.ids).all()
        assert on.scores.tobytes() == off.scores.tobytes()
    return on


@pytest.mark.parametrize("nq", [1, 40])
@pytest.mark.parametrize("spread", [0.0, 4.0])
@pytest.mark.parametrize("spec", ["PQ16x4", "PQ32x4(center=no)"])
def test_few_of_many_near_rows_are_scored(spec, spread, nq):
    """Of those coded alike one; of others those whose bounds, in finer steps, reach the best."""
    x = rows(spread)
    q = 1 + spread * np.random.default_rng(1).standard_normal((nq, DIM)).astype(np.float32)
    scored = found(spec, x, q).stats["scored"] / nq
    assert scored < NEAR / 2


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_ids_part_rows_coded_alike(spread):
    x = rows(spread)
    ids = np.random.default_rng(2).permutation(10 * len(x))[: len(x)]
    q = np.ones((20, DIM), np.float32)
    found("PQ16x4", x, q, ids)
    allowed = np.random.default_rng(3).random(len(x)) < 0.5
    index = vq.index_factory("PQ16x4", metric="l2").fit(x)
    index.add(x, ids=ids)
    part = vq.index_factory("PQ16x4", metric="l2").fit(x)
    part.add(x[allowed], ids=ids[allowed])
    for some in (q[:1], q):
        one, other = index.search(some, 10, filter=allowed), part.search(some, 10)
        assert (one.ids == other.ids).all()
        assert one.scores.tobytes() == other.scores.tobytes()
