"""Adapters find what is there, and leave the world as it was."""

import sys

import faiss
import numpy as np
import pytest

from vqindex.datasets import synthetic
from vqindex.evaluate import Faiss, Ours, recall
from vqindex.threads import default_threads

METRICS = ("l2", "ip", "cosine")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("kind", "spec"), [(Ours, "F32"), (Faiss, "Flat")])
def test_exact_indexes_find_every_neighbor(kind, spec, metric):
    data = synthetic(300, 12, 20, metric, k=10)
    base = data.base * np.linspace(0.5, 2, 300, dtype=np.float32)[:, None]
    if metric != "cosine":  # where alone a row's length changes nothing
        base = data.base
    system, before = kind(spec, metric), base.copy()
    system.add(base)
    assert recall(system.search(data.queries, 10), data.neighbors, 10) == 1
    np.testing.assert_array_equal(base, before)


def test_bytes_per_row():
    data = synthetic(200, 16, 1, "cosine", k=1)
    sizes = {}
    for system in (Ours("F32", "cosine"), Faiss("Flat", "cosine"), Faiss("PQ8x4fs", "cosine")):
        system.add(data.base)
        sizes[system.name] = system.bytes_per_row
    assert sizes == {"F32": 16 * 4 + 8, "Flat": 16 * 4, "PQ8x4fs": 4}


@pytest.mark.parametrize(
    ("system", "size"),
    [
        (Ours("IVF4,EDEN4,Rerank(f16)", "l2"), None),
        (Faiss("IVF4,PQ8x4fs,Refine(SQfp16)", "l2"), 4 + 8 + 32),
        (Faiss("IVF4,PQ8x4fs,RFlat", "l2"), 4 + 8 + 64),
        (Faiss("IVF4,Flat", "l2"), 64 + 8),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_lists_and_candidates_are_chosen(system, size):
    data = synthetic(600, 16, 30, "l2")
    system.fit(data.base)
    system.add(data.base)
    assert size in (None, system.bytes_per_row)
    found = {}
    for nprobe in (1, 4):
        for oversample in (1, 8) if "R" in system.name else (None,):
            finer = {} if oversample is None else {"oversample": oversample}
            system.configure(nprobe=nprobe, **finer)
            ids = system.search(data.queries, 10)
            found[nprobe, oversample] = recall(ids, data.neighbors, 10)
    everything = found.pop((4, 8 if "R" in system.name else None))
    assert everything > 0.98
    assert max(found.values()) < 0.95


@pytest.mark.parametrize(("kind", "spec"), [(Ours, "EDEN4"), (Faiss, "PQ8x8")])
def test_fitted_before_rows_are_added_in_parts(kind, spec):
    data = synthetic(2500, 16, 20, "cosine")
    whole, parts = kind(spec, "cosine"), kind(spec, "cosine")
    whole.fit(data.base)
    whole.add(data.base)
    parts.fit(data.base)
    parts.add(data.base[:1000])
    parts.add(data.base[1000:])
    found = parts.search(data.queries, 10)
    np.testing.assert_array_equal(found, whole.search(data.queries, 10))
    assert recall(found, data.neighbors, 10) > 0.4


def test_a_zero_row_stays_finite():
    data = synthetic(50, 4, 1, "cosine", k=1)
    base = data.base.copy()
    base[7] = 0
    system = Faiss("Flat", "cosine")
    system.add(base)
    assert 7 in system.search(data.queries, 50)


def test_threads_are_restored():
    before = faiss.omp_get_max_threads()
    system = Faiss("Flat", "l2")
    with pytest.raises(KeyboardInterrupt), system.threads(before + 1):  # noqa: PT012
        assert faiss.omp_get_max_threads() == before + 1
        raise KeyboardInterrupt
    assert faiss.omp_get_max_threads() == before


def test_ours_use_the_threads_they_are_given(monkeypatch):
    used = []
    system = Ours("F32", "l2")
    data = synthetic(20, 4, 2, "l2", k=1)
    kind = type(system._index)
    for name in ("add", "search"):
        real = getattr(kind, name)

        def spy(self, *args, threads, real=real, **rest):
            used.append(threads)
            return real(self, *args, threads=threads, **rest)

        monkeypatch.setattr(kind, name, spy)
    with system.threads(3):
        system.add(data.base)
    system.search(data.queries, 1)
    assert used == [3, 1]


def test_without_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r'pip install "vqindex\[faiss\]"'):
        Faiss("Flat", "l2")


def test_ours_fits_with_its_threads(monkeypatch):
    seen = []
    system = Ours("PQ4x4", "l2")
    monkeypatch.setattr(system.index, "fit", lambda x: seen.append(default_threads()))
    with system.threads(7):
        system.fit(np.zeros((100, 8), np.float32))
    assert seen == [7]


def test_faiss_builds_as_its_name_says():
    system = Faiss("HNSW8(efConstruction=77)", "l2")
    system.fit(np.eye(8, dtype=np.float32))
    assert faiss.downcast_index(system._index).hnsw.efConstruction == 77
    with pytest.raises(ValueError, match="efSomething=3 is none of"):
        Faiss("HNSW8(efSomething=3)", "l2").fit(np.eye(8, dtype=np.float32))
    sums = Faiss("LSQ2x2_Nqint8(train_iters=3,encode_ils_iters=2)", "l2")
    sums.fit(np.eye(8, dtype=np.float32))
    assert (sums._index.lsq.train_iters, sums._index.lsq.encode_ils_iters) == (3, 2)
