"""Indexes on a GPU whose kernels are those of cuda/, compiled for the host: the CPU's own bits."""

import shutil

import numpy as np
import pytest

import vqindex as vq
from tests.kernels.gpu import emulated
from tests.kernels.gpu.fake import FakeDevice
from vqindex.indexes.device import search
from vqindex.indexes.device.index import DeviceIndex

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ compiles the kernels")

SPECS = [
    "EDEN4", "EDEN2", "EDEN1", "SQ8", "TQprod3", "LVQ4x4", "PQ9x8", "PQ8x4", "F16", "F32",
    "Coarse4,EDEN2", "EDEN4,Rerank(f16)", "EDEN1,Rerank(f32)", "TCQ2", "TCQ1.5(window=9)",
    "VQ4(words=64)", "NUQ4", "NUQ8",
]  # fmt: skip
D = 72


def vectors(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


def pair(spec, metric="l2", n=500):
    """An index whose rows lie in no order of their ids, and its copy."""
    index = vq.index_factory(spec, metric=metric)
    index.fit(vectors(300, seed=2))
    index.add(vectors(n), ids=np.random.default_rng(1).permutation(3 * n)[:n])
    index.remove(index.ids[3:200:7])
    return index, DeviceIndex(index, FakeDevice(emulated.run))


def check(index, copy, q, k=10, filter=None, **settings):
    want = index.search(q, k, filter, stages="off", **settings)
    got = copy.search(q, k, filter, **settings)
    np.testing.assert_array_equal(got.ids, want.ids)
    assert got.scores.tobytes() == want.scores.tobytes()


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("spec", SPECS)
def test_flat(spec, metric):
    index, copy = pair(spec, metric)
    check(index, copy, vectors(1, seed=3)[0])
    check(index, copy, vectors(9, seed=3))
    check(index, copy, vectors(9, seed=3), filter=index.ids % 3 == 0)


def test_outliers_of_more_dimensions_than_a_byte_counts():
    rows, asked = (np.random.default_rng(n).standard_normal((n, 300)) for n in (300, 3))
    index = vq.index_factory("NUQ4", metric="ip")
    index.fit(rows).add(rows)
    check(index, DeviceIndex(index, FakeDevice(emulated.run)), asked.astype(np.float32))


def test_lists():
    index, copy = pair("IVF4,EDEN4,Rerank(f16)")
    for q in (vectors(1, seed=3), vectors(9, seed=3)):
        check(index, copy, q, nprobe=2)
        check(index, copy, q, nprobe=4)


def test_waves_whose_buffers_are_too_small(monkeypatch):
    monkeypatch.setattr(search, "CAPACITY", 64)
    monkeypatch.setattr(search, "ROOM", 1)
    monkeypatch.setattr(search, "SPARE", 1)
    rows = np.linspace(3, 0.1, 400, dtype=np.float32)[:, None] + 0.01 * vectors(400)
    index = vq.index_factory("SQ8", metric="l2")
    index.add(rows)
    copy = DeviceIndex(index, FakeDevice(emulated.run))
    check(index, copy, vectors(9, seed=1) * 0.1, 10)
    assert copy._gpu.kernels().count("vq_batch") == 2


def test_many_neighbours():
    index, copy = pair("EDEN4")
    check(index, copy, vectors(2, seed=3), 300)
    check(index, copy, vectors(8, seed=3), 300)


def test_queries_on_the_gpu_whose_rows_are_scored_again():
    index, copy = pair("EDEN4,Rerank(f16)")
    q, k = vectors(9, seed=3), 7
    scores, ids = np.empty((9, k), np.float32), np.empty((9, k), np.int64)
    jobs = copy._jobs
    for job in jobs.of_address(q.ctypes.data, len(q), k, jobs.rows(k, 3.0), None):
        memory = copy._gpu.allocate(job.nbytes)
        job.queue(memory.address, scores.ctypes.data, ids.ctypes.data, 0)
    want = index.search(q, k, stages="off", oversample=3.0)
    np.testing.assert_array_equal(ids, want.ids)
    assert scores.tobytes() == want.scores.tobytes()


def test_fewer_rows_than_are_scored_again():
    index, copy = pair("EDEN2,Rerank(f32)", n=50)
    check(index, copy, vectors(3, seed=3), 40)
    check(index, copy, vectors(3, seed=3), 3, filter=index.ids < 20, oversample=9)
