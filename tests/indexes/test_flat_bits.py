"""Searches by the first bits of codes: as sure of their answers as any, and refused where none."""

import pickle
import threading

import numpy as np
import pytest

import vqindex as vq
from tests.indexes.test_flat_stages import check_parts, definition, same, vectors
from vqindex.kernels.reference.select import top_k_limited

SPECS = [("EDEN4", 4), ("EDEN4(nested=yes)", 4), ("EDEN2.5", 2), ("TQ3", 3), ("RaBitQ4", 4),
         ("LVQ8", 8), ("LVQ3x4", 3)]  # fmt: skip
specs = pytest.mark.parametrize(("spec", "most"), SPECS)


def filled(spec, n=2100, metric="l2", d=70):
    index = vq.index_factory(spec, metric=metric)
    index.add(vectors(n, d), ids=np.random.default_rng(1).permutation(2 * n)[:n])
    return index


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@specs
def test_one_query_or_many_find_the_same(spec, most, metric):
    index, q = filled(spec, metric=metric), vectors(100, seed=1)
    found = []
    for bits in (1, 2, most):
        for eps0 in (0.5, 3.5):
            whole = index.search(q, bits=bits, eps0=eps0)
            check_parts(index, q, whole, bits=bits, eps0=eps0)
        found.append(whole.scores.tobytes())
    assert len(set(found)) == len({1, 2, most})
    same(index.search(q, bits=None), index.search(q))


@specs
def test_found_are_the_best_by_the_smaller_of_score_and_bound(spec, most):
    index, q = filled(spec, 1100), vectors(4, seed=1)
    model = index._rows.model
    for bits in range(1, most + 1):
        index._rows.model = model.at(bits)
        scores, bounds, alpha = definition(index, q, 3.5)
        index._rows.model = model
        scorer = model.codec.at(bits).scorer
        if not scorer.signs:
            bounds = np.full_like(scores, np.inf)
        assert ((bounds < scores).mean() < 0.002) if scorer.error else (bounds >= scores).all()
        want = top_k_limited(scores, bounds, index.ids, 10)
        got = index.search(q, bits=bits)
        np.testing.assert_array_equal(got.ids, want[1])
        np.testing.assert_array_equal(got.scores, want[0] + alpha)


def test_more_bits_find_more():
    x, q = vectors(3000), vectors(60, seed=1)
    exact = vq.index_factory("F32", metric="l2")
    exact.add(x)
    truth = exact.search(q).ids.tolist()
    for spec in ("EDEN4", "EDEN4(nested=yes)", "RaBitQ4", "LVQ4x4"):
        index = vq.index_factory(spec, metric="l2")
        index.add(x)
        found = [index.search(q, bits=bits).ids.tolist() for bits in (1, 2, 3, 4)]
        hits = [sum(len({*a} & {*b}) for a, b in zip(ids, truth, strict=True)) for ids in found]
        assert (np.diff(hits) > 0.3 * len(q)).all(), (spec, hits)


def test_after_rows_have_come_and_gone():
    """What a search made of the addresses is made anew, whatever bits it was for."""
    index, q, x, more = (
        filled(SPECS[1][0]),
        vectors(20, seed=1),
        vectors(2100),
        vectors(5000, seed=2),
    )
    ids, gone = index.ids, np.arange(2100) % 3 == 0
    for bits in (None, 1, 2):
        index.search(q[0], bits=bits)
    index.remove(ids[gone])
    index.upsert(more, np.arange(5000) + 9999)
    fresh = vq.index_factory(SPECS[1][0], metric="l2").fit(x[:1024])
    fresh.add(x[~gone], ids=ids[~gone])
    fresh.add(more, ids=np.arange(5000) + 9999)
    for bits in (2, 1, None, 3):
        same(index.search(q, bits=bits), fresh.search(q, bits=bits))


def test_bits_of_the_index_are_kept():
    index, q = filled("EDEN4"), vectors(30, seed=1)
    whole, two = index.search(q), index.search(q, bits=2)
    index.configure(bits=2)
    for other in (index, pickle.loads(pickle.dumps(index))):
        assert other.settings["bits"] == 2
        same(other.search(q), two)
        same(other.search(q, bits=None), whole)
        same(other.search(q, bits=4), whole)


def test_files_keep_bits(tmp_path):
    index, q = filled("EDEN4(nested=yes)"), vectors(30, seed=1)
    index.configure(bits=np.int64(3))
    index.save(tmp_path / "index")
    for mmap in (False, True):
        other = vq.load(tmp_path / "index", mmap=mmap)
        assert other.settings["bits"] == 3
        for bits in (None, 1, 2, 3):
            same(other.search(q, bits=bits), index.search(q, bits=bits))


def test_rows_that_wait_are_searched_exactly():
    index, x = vq.index_factory("EDEN4", metric="l2"), vectors(100)
    index.configure(bits=1)
    index.add(x)
    assert not index.is_fitted
    assert (index.search(x, k=1).ids.ravel() == np.arange(100)).all()


@pytest.mark.parametrize(
    ("spec", "bits", "message"),
    [("EDEN4", 5, "bits must be 1 to 4 of the codes of EDEN4"), ("F32", 1, "are read whole"),
     ("EDEN2+QJL", 1, "are read whole")],
)  # fmt: skip
def test_bits_that_are_not_there_are_refused(spec, bits, message):
    index = vq.index_factory(spec, metric="l2")
    for _ in range(2):
        before = index.settings
        with pytest.raises(vq.SpecError, match=message):
            index.configure(bits=bits)
        with pytest.raises(vq.SpecError, match=message):
            index.search(vectors(3), bits=bits)
        assert index.settings == before
        index.add(vectors(1100))


def test_threads_may_read_different_bits():
    index, q = filled("EDEN4"), vectors(12, seed=1)
    want = {bits: index.search(q, bits=bits, threads=1) for bits in (1, 2, 3, None)}
    wrong = []

    def ask(bits):
        for _ in range(60):
            found = index.search(q, bits=bits, threads=1)
            if found.scores.tobytes() != want[bits].scores.tobytes():
                wrong.append(bits)

    threads = [threading.Thread(target=ask, args=(bits,)) for bits in want]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
