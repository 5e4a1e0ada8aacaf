"""Rows within a radius, part by part; test_flat_range has what users see."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.indexes import within as module
from vqindex.indexes.within import within

D = 9


def vectors(n, seed=0):
    return np.random.default_rng([seed, n]).standard_normal((n, D)).astype(np.float32)


def rows_of(n, metric="l2", spec="EDEN4(center=no)"):
    """Rows whose ids are out of order, some of them equal."""
    index = vq.index_factory(spec, metric=metric)
    x = vectors(n)
    x[n // 2 :] = x[: n - n // 2]
    index.add(x, ids=np.random.default_rng(n).permutation(n))
    return index._rows, index.search(vectors(3, 1), k=n, stages="off")


def pairs(found):
    return [(d.tobytes(), i.tolist()) for d, i in found]


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("n", [1, 32, 33, 200])
def test_the_nearest_come_first_and_of_equals_the_lower_id(n, metric):
    rows, full = rows_of(n, metric)
    for rank in (0, n // 3, n - 1):
        radius = full.distances[0, rank]
        found = within(rows, vectors(3, 1), radius, None, metric)
        for i, (distances, ids) in enumerate(found):
            near = full.distances[i] <= radius
            order = np.lexsort((full.ids[i, near], full.distances[i, near]))
            assert distances.dtype == np.float32
            assert ids.dtype == np.int64
            assert (distances == full.distances[i, near][order]).all()
            assert (ids == full.ids[i, near][order]).all()


@pytest.mark.parametrize("blocks", [1, 3, 7])
def test_how_many_blocks_are_scored_at_a_time_changes_nothing(blocks, monkeypatch):
    rows, full = rows_of(200)
    allowed = np.arange(200) % 3 > 0
    for filters in (None, allowed, [None, ~allowed, allowed]):
        want = within(rows, vectors(3, 1), full.distances[0, 99], filters, "l2")
        with monkeypatch.context() as patch:
            patch.setattr(module, "BLOCKS", blocks)
            found = within(rows, vectors(3, 1), full.distances[0, 99], filters, "l2")
        assert pairs(found) == pairs(want)


def test_filters_are_masks_of_rows_of_all_queries_or_of_each():
    rows, _ = rows_of(100)
    even, none = rows.id_column % 2 == 0, np.zeros(100, bool)
    everywhere = np.float32(np.inf)
    for _, ids in within(rows, vectors(3, 1), everywhere, even, "l2"):
        assert sorted(ids) == list(range(0, 100, 2))
    each = within(rows, vectors(3, 1), everywhere, [None, ~even, none], "l2")
    counts = [list(range(100)), list(range(1, 100, 2)), []]
    assert [sorted(ids) for _, ids in each] == counts


def test_nothing_is_found_where_there_is_nothing():
    rows, _ = rows_of(40)
    index = vq.index_factory("F32", metric="l2")
    index.add(vectors(3))
    index.remove([0, 1, 2])
    for found in (
        within(None, vectors(2), np.float32(9), None, "l2"),
        within(index._rows, vectors(2), np.float32(9), None, "l2"),
        within(rows, vectors(2), np.float32(-1e9), None, "l2"),
    ):
        assert [(len(d), len(i)) for d, i in found] == [(0, 0)] * 2
    assert within(rows, vectors(0), np.float32(9), None, "l2") == []
