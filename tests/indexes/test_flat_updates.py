"""Adding, replacing and removing rows by id."""

import tracemalloc

import numpy as np
import pytest

import vqindex as vq

MOST = 2**63 - 1
CODECS = ["F32", "F16", "SQ8", "EDEN1", "EDEN4", "TQprod3", "QJL", "EDEN4,Keep(f32)"]


def state(index):
    """The bytes of the file that `save` would write."""
    return index.__reduce__()[1][1]


def vectors(n, d=9, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def filled(spec="F32", n=100, **options):
    index = vq.index_factory(spec, **options)
    index.add(vectors(n))
    return index


def test_ids_are_consecutive_unless_given():
    index = vq.index_factory("F32")
    x = vectors(3)
    given = [index.add(x), index.add(x, ids=[10, 7, 100]), index.add(x), index.add(x[:0])]
    assert [ids.tolist() for ids in given] == [[0, 1, 2], [10, 7, 100], [101, 102, 103], []]
    assert all(ids.dtype == np.int64 for ids in given)
    assert index.ids.tolist() == [0, 1, 2, 10, 7, 100, 101, 102, 103]
    assert index.ids.dtype == np.int64


@pytest.mark.parametrize("kind", [list, tuple, np.int32, np.uint64, ">i8", np.uint8])
def test_ids_of_any_integer_kind(kind):
    ids = [3, 0, 200]
    index = vq.index_factory("F32")
    given = kind(ids) if kind in (list, tuple) else np.array(ids, kind)
    assert index.add(vectors(3), ids=given).tolist() == ids
    assert 200 in index
    assert index.remove(given[:2]) == 2


def test_what_is_in_an_index():
    index = vq.index_factory("F32")
    assert 0 not in index
    index.add(vectors(3), ids=[0, 5, MOST])
    for there in (0, 5, MOST, np.int64(5), np.uint8(5)):
        assert there in index
    for other in (1, -1, MOST + 1, -(2**70), 5.0, "5", None, True, False, (5,)):
        assert other not in index


@pytest.mark.parametrize("first", [[0, 1], [4, 2]])
def test_ids_that_are_there_already_are_refused(first):
    index = filled(n=0)
    index.add(vectors(2), ids=first)
    before = state(index)
    with pytest.raises(vq.IdError, match=f"id {first[1]} is already in the index; use upsert"):
        index.add(vectors(3), ids=[90, first[1], 91])
    assert state(index) == before


def test_the_largest_id_leaves_none_to_give():
    index = filled(n=2)
    index.add(vectors(1), ids=[MOST])
    before = state(index)
    with pytest.raises(vq.IdError, match=r"1 new ids .* must be below 2\*\*63: pass ids yourself"):
        index.add(vectors(1))
    assert state(index) == before
    index.remove([MOST])
    with pytest.raises(vq.IdError):
        index.add(vectors(1))
    index.add(vectors(1), ids=[2])


def test_the_index_keeps_no_hold_of_what_it_was_given():
    x, ids = vectors(50), np.arange(50)[::-1].copy()
    index = vq.index_factory("F32", metric="l2")
    given = index.add(x, ids=ids)
    want = x.copy()
    x[:] = 0
    ids[:] = 0
    given[:] = 0
    index.ids[:] = 0
    assert index.ids.tolist() == list(range(49, -1, -1))
    np.testing.assert_array_equal(index.reconstruct(np.arange(49, -1, -1)), want)


@pytest.mark.parametrize("spec", CODECS)
def test_upserts_are_like_removing_and_adding(spec):
    x, y = vectors(1500), vectors(900, seed=1)
    index, other = (vq.index_factory(spec, metric="l2") for _ in range(2))
    for each in (index, other):
        each.add(x)
    ids = np.random.default_rng(2).permutation(np.arange(1200, 2100))
    assert index.upsert(y, ids).tolist() == ids.tolist()
    assert other.remove(ids) == 300
    other.add(y, ids)
    assert len(index) == 2100
    assert index.ids[:1500].tolist() == list(range(1500))  # replaced rows keep their places
    np.testing.assert_array_equal(index.reconstruct(ids), other.reconstruct(ids))
    got, want = index.search(y[:20], k=30), other.search(y[:20], k=30)
    np.testing.assert_array_equal(got.ids, want.ids)
    np.testing.assert_array_equal(got.distances, want.distances)


def test_upserts_of_old_rows_only_and_of_new_rows_only():
    index = vq.index_factory("F32", metric="l2")
    index.upsert(vectors(3), [4, 5, 6])
    index.upsert(vectors(3, seed=1), [6, 5, 4])
    index.upsert(vectors(0), [])
    np.testing.assert_array_equal(index.reconstruct([6, 5, 4]), vectors(3, seed=1))
    assert index.add(vectors(1)).tolist() == [7]


@pytest.mark.parametrize("spec", CODECS)
@pytest.mark.parametrize("n", [1, 33, 1100, 4100])
def test_rows_that_stay_answer_as_before(spec, n):
    rng = np.random.default_rng(n)
    index = filled(spec, n, metric="ip")
    q = vectors(10, seed=1)
    for share in (0.05, 0.5, 1.0):
        ids = index.ids
        gone = rng.permutation(ids)[: int(np.ceil(share * len(ids)))]
        everything = index.search(q, k=n)
        asked = np.concatenate([gone, gone[:3], [-1, n, MOST]])
        assert index.remove(asked) == len(gone)
        assert len(index) == len(ids) - len(gone)
        assert set(index.ids.tolist()) == set(ids.tolist()) - set(gone.tolist())
        after = index.search(q, k=n)
        for i in range(len(q)):
            stays = ~np.isin(everything.ids[i], [*gone, -1])
            assert after.counts[i] == stays.sum()
            np.testing.assert_array_equal(after.ids[i][: stays.sum()], everything.ids[i][stays])
            np.testing.assert_array_equal(
                after.scores[i][: stays.sum()], everything.scores[i][stays]
            )
        assert index.remove(gone) == 0
    assert len(index) == 0
    assert index.nbytes["codes"] == 0


def test_ids_given_automatically_are_never_given_twice():
    index = filled(n=10)
    index.remove([8, 9, 3])
    assert index.add(vectors(2)).tolist() == [10, 11]
    index.remove(index.ids)
    assert len(index) == 0
    assert index.add(vectors(1)).tolist() == [12]


def test_removed_ids_may_be_added_again():
    index = filled(n=10, metric="l2")
    index.remove([3, 9])
    x = vectors(2, seed=1)
    index.add(x, ids=[9, 3])
    np.testing.assert_array_equal(index.reconstruct([9, 3]), x)
    assert index.search(x[1], k=1).ids.tolist() == [3]


def test_the_order_of_removed_ids_does_not_matter():
    states = []
    for order in ([5, 70, 99, 0], [99, 0, 5, 70, 5], {0, 5, 70, 99}):
        index = filled()
        assert index.remove(sorted(order) if isinstance(order, set) else order) == 4
        states.append(state(index))
    assert states[0] == states[1] == states[2]


def test_one_id_may_be_removed_by_itself():
    index = filled(n=3)
    assert index.remove(1) == 1
    assert index.ids.tolist() == [0, 2]


def test_what_was_removed_leaves_no_trace():
    """The same rows in the same places are the same bytes, whatever was there before."""
    index, plain = filled(n=0), filled(n=0)
    for n in (4000, 100, 40):
        index.add(vectors(n, seed=1), ids=np.arange(10_000, 10_000 + n))
        index.remove(np.arange(10_000, 10_000 + n))
        for each in (index, plain):
            each.add(vectors(n // 3), ids=np.arange(n, n + n // 3))
    plain.add(vectors(1), ids=[13_999])
    plain.remove([13_999])
    assert state(index) == state(plain)


def test_memory_is_given_back():
    tracemalloc.start()
    try:
        n, d = 10 * 4096, 64
        index = vq.index_factory("F32")
        index.add(vectors(n, d))
        full, row = tracemalloc.get_traced_memory()[0], index.bytes_per_row
        assert index.nbytes["codes"] == n * row
        index.remove(np.arange(100, n))
        assert index.nbytes["codes"] == 128 * row  # whole blocks of 32
        freed = full - tracemalloc.get_traced_memory()[0]
        assert freed >= 8 * 4096 * row  # whole slabs of 4,096
        index.remove(np.arange(100))
        assert index.nbytes["codes"] == index.nbytes["id_map"] == 0
    finally:
        tracemalloc.stop()


def test_the_map_of_ids_shrinks_too():
    index = filled(n=0)
    index.add(vectors(20_000), ids=np.random.default_rng(0).permutation(20_000) * 3)
    full = index.nbytes["id_map"]
    index.remove(index.ids[10:])
    assert 0 < index.nbytes["id_map"] <= 2048 < full
