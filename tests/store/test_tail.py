"""The exact tail against sums in float64, and what a search makes of it."""

import numpy as np
import pytest

from tests.store.brute import check, scores
from vqindex.store import VectorStore, mirror
from vqindex.store.tail import Tail

METRICS = ["cosine", "l2", "ip"]


def vectors(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_come_and_go(metric):
    rng, tail, there = np.random.default_rng(1), Tail(metric), {}
    for step in range(30):
        new = rng.choice(500, rng.integers(1, 40), replace=False)
        tail.remove(new)
        x = vectors(len(new), 5, step) * np.float32(rng.choice([1e-20, 1, 1e10]))
        tail.add(new, x)
        there |= dict(zip(new.tolist(), x, strict=True))
        old = rng.choice(500, 20)
        assert tail.remove(old) == len({*old.tolist()} & there.keys())
        there = {row: one for row, one in there.items() if row not in old}
        assert sorted(tail.rows.tolist()) == sorted(there)
        queries = vectors(2, 5, 100 + step)
        mask = rng.random(len(tail)) < 0.5 if step % 2 else None
        allowed = tail.rows if mask is None else tail.rows[mask]
        for query, rows, found in zip(queries, *tail.nearest(queries, 6, mask), strict=True):
            exact = scores(query, [there[row] for row in allowed.tolist()], metric)
            best = np.sort(exact)[::-1][:6]
            size = 1e-5 * np.abs(exact).max(initial=0)
            np.testing.assert_allclose(found, best, rtol=1e-5, atol=size)
            assert len({*rows.tolist()}) == len(best)
            assert {*rows.tolist()} <= {*allowed.tolist()}


def test_ties_go_to_the_lower_row():
    tail = Tail("cosine")
    tail.add(np.array([5, 3, 9, 1, 7, 2]), np.ones((6, 2), np.float32))
    assert tail.nearest(np.ones((1, 2), np.float32), 2, None)[0].tolist() == [[1, 2]]


def test_nothing():
    tail = Tail("l2")
    assert tail.nearest(np.ones((3, 2), np.float32), 5, None)[0].shape == (3, 0)
    tail.add(np.arange(2), np.ones((2, 2), np.float32))
    nobody = np.zeros(2, np.bool_)
    assert tail.nearest(np.ones((3, 2), np.float32), 5, nobody)[0].shape == (3, 0)


@pytest.mark.parametrize("far", [0, 1e4, 1e7])
def test_far_from_the_origin(far):
    """Groups far from each other as well, in which a difference of squares would lose all."""
    x = vectors(600, 16) + np.float32(far) * (np.arange(600) % 3 - 1)[:, None]
    x = x.astype(np.float32)
    with VectorStore(metric="l2") as store:
        store.add([f"d{i}" for i in range(600)], x)
        there = {f"d{i}": row for i, row in enumerate(x)}
        for i in range(0, 60, 7):
            query = x[i] + vectors(1, 16, i)[0]
            check(store.search(query, 10), query, there, "l2", 10)


@pytest.mark.parametrize("metric", METRICS)
def test_every_row_of_the_tail_has_its_place(metric, monkeypatch):
    """However much better the codes say that theirs are."""
    for name, value in (("WAITING", 64), ("TAIL", 64)):
        monkeypatch.setattr(mirror, name, value)
    with VectorStore(metric=metric, spec="TQ1") as store:
        x = vectors(1000, 24)
        store.add([f"d{i}" for i in range(1000)], x)
        tail = {f"d{row}" for row in store._keeper.mirror.tail.rows.tolist()}
        assert 10 < len(tail) < 65
        original = type(store._keeper.mirror.codes).search

        def flattered(*args, **settings):
            found = original(*args, **settings)
            found.scores.flags.writeable = True
            found.scores[:] += 1e6
            return found

        monkeypatch.setattr(type(store._keeper.mirror.codes), "search", flattered)
        for query in vectors(50, 24, 3):
            every = scores(query, x, metric)
            best = {f"d{i}" for i in np.argsort(-every)[:10]}
            assert best & tail <= {hit.document.id for hit in store.search(query, 10)}


def test_what_is_written_is_not_read_again(tmp_path, monkeypatch):
    def refused(*args):
        raise AssertionError("read again")

    for path in (":memory:", tmp_path):
        with VectorStore(path) as store:
            x = vectors(90, 4).astype(np.float64)
            x[1] += 1e-12  # kept in float64
            monkeypatch.setattr(mirror, "read", refused)
            store.add([f"d{i}" for i in range(60)], x[:60])
            store.upsert([f"d{i}" for i in range(30, 90)], [*x[30:89], None])
            there = {f"d{i}": row for i, row in enumerate(x[:89])}
            check(store.search(x[3], 9), x[3], there, "cosine", 9)
            monkeypatch.undo()
            store.verify()
