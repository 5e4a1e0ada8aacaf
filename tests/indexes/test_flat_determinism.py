"""Nothing but the rows, the queries and the settings decides the codes and the results."""

import pickle

import numpy as np
import pytest

import vqindex as vq
from vqindex.datasets import load
from vqindex.indexes.scan import QUERIES

METRICS = ("l2", "ip", "cosine")
SPECS = [
    "F32", "F16", "SQ8", "EDEN1", "EDEN4", "EDEN8", "EDEN3(scale=biased)", "TQ2", "TQ4(center=yes)",
    "TQprod3", "TQprod3,Keep(f32)", "QJL", "QJL50(projection=gaussian)", "EDEN2+QJL40",
    "Haar,EDEN4", "None,EDEN2", "EDEN4,Keep(f16)",
]  # fmt: skip
REAL = [
    "F32", "SQ8", "EDEN1", "EDEN2", "EDEN4", "EDEN8", "TQ4", "QJL", "TQprod3", "EDEN4+QJL64",
    "EDEN2+QJL30",
]  # fmt: skip
D = 37


def state(index):
    """The bytes of the file that `save` would write."""
    return index.__reduce__()[1][1]


def vectors(n, d=D, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) + rng.standard_normal(d)).astype(np.float32)


def same(got, want):
    np.testing.assert_array_equal(got.ids, want.ids)
    np.testing.assert_array_equal(got.scores, want.scores)
    np.testing.assert_array_equal(got.distances, want.distances)


def split(x, sizes):
    return np.split(x, np.cumsum(sizes)[:-1])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", SPECS)
def test_how_rows_are_split_among_calls_and_threads_changes_nothing(spec, metric):
    x = vectors(4200)
    whole, parts = (vq.index_factory(spec, metric=metric) for _ in range(2))
    whole.add(x, threads=1)
    for i, part in enumerate(split(x, [1, 1000, 22, 1, 1, 31, 2000, 1144])):
        parts.add(part, threads=1 + i % 3)
    assert state(parts) == state(whole)


@pytest.mark.parametrize("spec", SPECS)
def test_nor_do_removals_in_between(spec):
    x = vectors(5000)
    gone, late = np.arange(100, 400, 3), np.array([0, 7, 1023, 1024, 2500, 4999])
    indexes = [vq.index_factory(spec, metric="l2") for _ in range(2)]
    for index, sizes in zip(indexes, ([700, 4300], [1, 699, 423, 1, 1, 3875]), strict=True):
        for part in split(x, sizes):
            index.add(part)
            if len(index) == 700:
                index.remove(gone)  # so that the 1,024th row comes later
        index.remove(late)
    assert state(indexes[0]) == state(indexes[1])


@pytest.mark.parametrize("spec", SPECS)
def test_saving_and_loading_in_between_changes_nothing(tmp_path, spec):
    x = vectors(3000)
    whole, parts = (vq.index_factory(spec, metric="ip", seed=3) for _ in range(2))
    whole.add(x)
    whole.remove([5, 2000])
    for part in split(x, [0, 500, 1500, 1000]):
        parts.add(part)
        parts.save(tmp_path / "x.vqi")
        parts = vq.load(tmp_path / "x.vqi")
        parts = pickle.loads(pickle.dumps(parts))
    parts.remove([5, 2000])
    assert state(parts) == state(whole)
    same(parts.search(x[:9]), whole.search(x[:9]))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", SPECS)
def test_how_queries_are_split_changes_nothing(spec, metric):
    index = vq.index_factory(spec, metric=metric)
    index.add(vectors(2500))
    q = vectors(150, seed=1)
    batch = index.search(q, k=12, stages="off")
    for threads in (1, 2, 3):
        same(index.search(q, k=12, stages="off", threads=threads), batch)
        same(index.search(q, k=12, threads=threads), batch)  # too few dimensions for bounds
    at = 0
    for part in split(q, [1, 2, 7, 8, 9, 63, 60]):
        got = index.search(part, k=12, stages="off", threads=2)
        want = slice(at, at + len(part))
        np.testing.assert_array_equal(got.ids, batch.ids[want])
        np.testing.assert_array_equal(got.scores, batch.scores[want])
        at += len(part)
    for i in range(20):
        got = index.search(q[i], k=12, stages="off")
        np.testing.assert_array_equal(got.ids, batch.ids[i])
        np.testing.assert_array_equal(got.scores, batch.scores[i])


@pytest.mark.parametrize("spec", ["F32", "EDEN1", "EDEN4", "TQprod3", "QJL"])
def test_many_queries_are_taken_a_part_at_a_time(spec):
    index = vq.index_factory(spec, metric="ip")
    index.add(vectors(1100))
    q = vectors(QUERIES + 1, seed=1)
    for stages in ("on", "off"):
        whole = index.search(q, k=3, stages=stages)
        for part in (slice(QUERIES - 90, None), slice(QUERIES, None)):
            same(index.search(q[part], k=3, stages=stages), vq.SearchResult(*(
                getattr(whole, name)[part] for name in ("distances", "ids", "scores")
            )))  # fmt: skip


@pytest.mark.parametrize("spec", ["F32", "SQ8", "EDEN1", "EDEN4", "TQprod2"])
def test_threads_share_the_blocks_of_a_large_index(spec):
    index = vq.index_factory(spec, metric="l2")
    index.add(vectors(40_000, d=6))  # more blocks than one query keeps to itself
    q = vectors(20, d=6, seed=1)
    for part in (q, q[0], q[:3]):
        one = index.search(part, k=25, threads=1)
        for threads in (2, 3, 7):
            same(index.search(part, k=25, threads=threads), one)


@pytest.mark.parametrize("spec", ["EDEN4", "Haar,TQ3", "QJL", "TQprod3"])
def test_the_seed_decides_what_is_random(spec):
    x = vectors(1100)
    states = []
    for seed in (0, 0, 1):
        index = vq.index_factory(spec, seed=seed)
        index.add(x)
        states.append(state(index))
    assert states[0] == states[1]
    assert states[0] != states[2]


def test_order_of_rows_decides_only_what_is_learned():
    """With the centre given, the k nearest are the same whichever row comes first."""
    x, order = vectors(1500), np.random.default_rng(1).permutation(1500)
    forward, shuffled = (vq.index_factory("EDEN4").fit(x) for _ in range(2))
    forward.add(x)
    shuffled.add(x[order], ids=order)
    same(shuffled.search(x[:20]), forward.search(x[:20]))


@pytest.fixture(scope="module")
def sample():
    data = load("sample")
    return np.asarray(data.base, np.float32), np.asarray(data.queries, np.float32)


@pytest.mark.parametrize("spec", REAL)
def test_one_query_finds_on_real_data_what_a_batch_finds(sample, spec):
    """Bit for bit. Bounds fail for fewer than 1 neighbour in 10,000 by design: of 5,000 neighbours
    0.5 are then lost on average, and more than 4 once in 6,000 times.
    """
    x, q = sample
    index = vq.index_factory(spec)
    index.add(x)
    batch = index.search(q, k=10)
    for i, query in enumerate(q[:100]):
        one = index.search(query, k=10)
        np.testing.assert_array_equal(one.ids, batch.ids[i])
        np.testing.assert_array_equal(one.scores, batch.scores[i])
    every = index.search(q, k=10, stages="off")
    lost = sum(len(set(a) - set(b)) for a, b in zip(every.ids, batch.ids, strict=True))
    assert lost <= 4
