"""Indexes on a GPU of this machine's memory, whose kernels are simulated in NumPy."""

import threading

import numpy as np
import pytest

import vqindex as vq
from tests.kernels.gpu.fake import FakeDevice
from tests.kernels.gpu.simulated import Simulated
from vqindex.errors import BackendError, ReadOnlyError, ShapeError
from vqindex.indexes.device import search
from vqindex.indexes.device.index import DeviceIndex
from vqindex.kernels.gpu import driver

METRICS = ("l2", "ip", "cosine")
SPECS = [
    *(f"EDEN{bits}" for bits in range(1, 9)), "EDEN2.5", "TQprod3", "QJL64", "RaBitQ4", "SQ8",
    "LVQ4", "LVQ4x4", "SAQ3", "PQ8x4", "PQ9x8", "Coarse4,EDEN2", "TCQ2", "PVQ2", "Polar", "OCT3",
    "VQ4", "Ternary", "NUQ4", "F32", "F16", "Hadamard(block=16),EDEN4",
]  # fmt: skip
D = 40


def vectors(n, d=D, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def filled(spec, n=700, metric="l2", d=D):
    """An index whose rows lie in no order of their ids."""
    index = vq.index_factory(spec, metric=metric)
    index.fit(vectors(400, d, seed=2))
    index.add(vectors(n, d), ids=np.random.default_rng(1).permutation(3 * n)[:n])
    index.remove(index.ids[3 : n // 2 : 7])
    return index


def on_gpu(index, **about):
    return DeviceIndex(index, FakeDevice(Simulated(), **about))


def check(copy, index, q, k=10, filter=None, **settings):
    """The same bits as on the CPU."""
    want = index.search(q, k, filter, stages="off", **settings)
    got = copy.search(q, k, filter, **settings)
    np.testing.assert_array_equal(got.ids, want.ids)
    assert got.scores.tobytes() == want.scores.tobytes()
    assert got.distances.tobytes() == want.distances.tobytes()


@pytest.fixture
def small_waves(monkeypatch):
    """Waves of few blocks, so that a few rows make several of them."""
    monkeypatch.setattr(search, "CAPACITY", 64)
    monkeypatch.setattr(search, "ROOM", 1)
    monkeypatch.setattr(search, "SPARE", 1)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", SPECS)
def test_answers_are_those_of_the_cpu(spec, metric):
    index, q = filled(spec, metric=metric), vectors(9, seed=3)
    copy = on_gpu(index)
    check(copy, index, q[0])
    check(copy, index, q[:3])
    check(copy, index, q)
    check(copy, index, q, filter=np.random.default_rng(4).random(len(index)) < 0.4)


@pytest.mark.parametrize("k", [1, 16, 17, 100, 1024])
def test_any_k(k):
    index = filled("EDEN2")
    copy = on_gpu(index)
    for nq in (1, 9):
        check(copy, index, vectors(nq, seed=5), k)


@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 4095, 4096, 4097])
def test_any_number_of_rows(n):
    index = vq.index_factory("SQ8", metric="ip")
    index.add(vectors(n, 5))
    copy = on_gpu(index)
    assert len(copy) == n
    check(copy, index, vectors(1, 5, seed=1), 3)
    check(copy, index, vectors(8, 5, seed=1), 3)


@pytest.mark.parametrize("d", [1, 15, 64, 65, 129])
def test_any_dimension(d):
    for spec in ("EDEN4", "EDEN1", "SQ8", "F16"):
        index = filled(spec, 100, d=d)
        check(on_gpu(index), index, vectors(10, d, seed=1), 5)


@pytest.mark.usefixtures("small_waves")
@pytest.mark.parametrize("metric", METRICS)
def test_many_waves_and_buffers_that_are_too_small(metric):
    """Rows that grow nearer from first to last leave more candidates than expected."""
    rows = np.linspace(3, 0.1, 900, dtype=np.float32)[:, None] * np.ones((1, D), np.float32)
    index = vq.index_factory("SQ8", metric=metric)
    index.add(rows + 0.01 * vectors(900))
    copy = on_gpu(index)
    check(copy, index, vectors(12, seed=1) * 0.1, 20)
    kernels = copy._gpu.kernels()
    assert kernels.count("vq_batch") > 2
    assert kernels.count("vq_scan_scalar") == kernels.count("vq_batch") - 1


def test_equal_scores_go_to_the_lower_id():
    index = vq.index_factory("SQ8", metric="l2")
    ids = np.random.default_rng(0).permutation(300)
    index.add(np.ones((300, 4)), ids=ids)
    for q in (np.ones(4), np.ones((9, 4))):
        found = on_gpu(index).search(q, 20).ids
        assert (found == np.arange(20)).all()


@pytest.mark.parametrize(
    "wanted", [[], [5], np.arange(0, 2000, 3), lambda ids: ids % 5 == 1, lambda ids: ids < 0]
)
def test_filters(wanted):
    index = filled("EDEN4")
    copy = on_gpu(index)
    for q in (vectors(1, seed=1)[0], vectors(9, seed=1)):
        check(copy, index, q, 7, wanted)


def test_a_filter_for_each_query():
    index, q = filled("EDEN4"), vectors(4, seed=1)
    filters = [None, [3, 6, 9], lambda ids: ids > 1000, np.arange(len(index)) % 2 == 0]
    check(on_gpu(index), index, q, 5, filters)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", ["IVF9,EDEN4", "IVF9,EDEN1", "IVF9,SQ8", "IVF9,PQ8x4", "IVF9,F32"])
def test_lists(spec, metric):
    index, q = filled(spec, 900, metric), vectors(10, seed=3)
    copy = on_gpu(index)
    assert copy.settings == {"nprobe": 32}
    for nprobe in (1, 3, 9):
        check(copy, index, q, nprobe=nprobe)
        check(copy, index, q[0], nprobe=nprobe)
        check(copy, index, q, filter=index.ids % 3 == 0, nprobe=nprobe)
        check(copy, index, q, filter=index.ids % 100 == 0, nprobe=nprobe)  # fewer than k in a list
    copy.configure(nprobe=2)
    assert copy.settings == {"nprobe": 2}
    np.testing.assert_array_equal(copy.search(q).ids, index.search(q, nprobe=2, stages="off").ids)


def test_lists_after_changes():
    index = filled("IVF9,EDEN2", 900)
    index.add(vectors(100, seed=7))
    index.remove(index.ids[::3])
    check(on_gpu(index), index, vectors(9, seed=8), nprobe=2)


def test_first_bits_of_codes():
    index, q = filled("EDEN4(nested=yes)"), vectors(9, seed=1)
    index.configure(bits=2)
    copy = on_gpu(index)
    check(copy, index, q)
    assert copy.nbytes["codes"] < on_gpu(filled("EDEN4(nested=yes)")).nbytes["codes"]


def test_rows_that_wait_to_be_coded():
    index = vq.index_factory("EDEN4")
    index.add(vectors(50))
    assert not index.is_fitted
    check(on_gpu(index), index, vectors(9, seed=1))


def test_no_queries():
    copy = on_gpu(filled("EDEN4"))
    result = copy.search(np.empty((0, D)), 3)
    assert result.ids.shape == result.scores.shape == (0, 3)


def test_a_copy_does_not_change():
    index, q = filled("EDEN4"), vectors(3, seed=1)
    copy, want = on_gpu(index), index.search(vectors(3, seed=1), stages="off")
    index.remove(index.ids[:300])
    index.add(vectors(50, seed=9))
    np.testing.assert_array_equal(copy.search(q).ids, want.ids)
    for change in (copy.add, copy.upsert, copy.remove, copy.fit):
        with pytest.raises(ReadOnlyError, match=r"change index.to\(\"cpu\"\)"):
            change(q)
    assert copy.to("cpu") is index


def test_what_it_is(monkeypatch):
    index = filled("EDEN4", metric="ip")
    copy = on_gpu(index, number=1)
    about = f"'EDEN4', metric='ip', n={len(index)}, dim=40, device='cuda:1'"
    assert repr(copy) == f"DeviceIndex({about})"
    assert (copy.device, copy.dim, copy.metric, copy.spec) == ("cuda:1", 40, "ip", "EDEN4")
    np.testing.assert_array_equal(copy.ids, index.ids)
    assert copy.to("cuda:1") is copy
    gpus = {0: FakeDevice(Simulated()), 1: FakeDevice(Simulated(), number=1)}
    monkeypatch.setattr(driver, "device", gpus.__getitem__)
    assert copy.to("cuda").device == index.to("cuda:0").device == "cuda:0"
    assert index.to("cpu") is index


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cuda:a", None, 0])
def test_devices_that_are_none(device):
    with pytest.raises(BackendError, match='device must be "cpu", "cuda" or'):
        filled("SQ8").to(device)


def test_what_cannot_go_to_a_gpu():
    with pytest.raises(BackendError, match="needs rows before"):
        on_gpu(vq.index_factory("EDEN4"))
    with pytest.raises(BackendError, match=r"not as EDEN1,Rerank\(EDEN8\) has them"):
        on_gpu(filled("EDEN1,Rerank(EDEN8)"))
    index = filled("EDEN4")
    index.configure(bits=1, oversample=4)
    with pytest.raises(BackendError, match="scored again by float32 or float16, not as EDEN4 has"):
        on_gpu(index)
    with pytest.raises(BackendError, match="knows rows in several lists"):
        on_gpu(filled("IVF4(spill=1),EDEN4,Rerank(f16)"))


def test_rows_that_are_scored_again():
    index = filled("EDEN1,Rerank(f16)")
    copy = on_gpu(index)
    assert copy.settings == {"oversample": None}
    assert copy.nbytes["codes"] > on_gpu(filled("EDEN1")).nbytes["codes"] + 2 * index.dim * len(
        index
    )
    many = on_gpu(filled("EDEN1,Rerank(f16)", 3000))
    with pytest.raises(BackendError, match="oversample is at most 1,024, got 2,000"):
        many.search(vectors(1), 10, oversample=200)


def test_arguments_of_searches():
    copy = on_gpu(filled("EDEN4"))
    with pytest.raises(BackendError, match="k is at most 1,024"):
        copy.search(vectors(1), 1025)
    with pytest.raises(TypeError, match="'eps0'; on a GPU this index has none"):
        copy.search(vectors(1), eps0=2.0)
    with pytest.raises(ShapeError, match=r"\(nq, 40\)"):
        copy.search(np.zeros((2, 41)))


def test_memory_is_asked_for_before_it_is_taken():
    index = filled("EDEN4")
    need = on_gpu(index).nbytes["codes"]
    small = FakeDevice(Simulated(), free=need - 1)
    with pytest.raises(BackendError, match=r"rows needs 0\.\d MB of memory on cuda:0 \(fake\)"):
        DeviceIndex(index, small)
    assert not small.taken
    enough = FakeDevice(Simulated(), free=need)
    copy = DeviceIndex(index, enough)
    with pytest.raises(BackendError, match="a search needs"):
        copy.search(vectors(1))


def test_memory_is_what_codes_need_and_is_given_back():
    index = filled("EDEN4", 5000, d=128)
    device = FakeDevice(Simulated())
    copy, other = DeviceIndex(index, device), DeviceIndex(filled("EDEN1"), device)
    rows = -(-len(index) // 32) * 32
    own = rows * (64 + 4 + 4) + 8 * len(index) + rows // 32 * 8  # codes, scale, bias, rank; id
    assert own <= copy.nbytes["codes"] <= own + rows * 4 + 4096
    check(copy, index, vectors(9, 128, seed=1))
    sizes = copy.nbytes
    assert sizes.pop("total") == sum(sizes.values())
    free = device.free_bytes()
    del copy
    assert device.free_bytes() >= free + sum(sizes.values())
    other.search(vectors(1))
    del other
    assert not device.taken


def test_many_threads_may_search():
    index, q = filled("EDEN4"), vectors(24, seed=1)
    copy, want, found = on_gpu(index), index.search(vectors(24, seed=1), stages="off").ids, {}

    def ask(i):
        found[i] = copy.search(q[3 * i : 3 * i + 3]).ids

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(np.concatenate([found[i] for i in range(8)]), want)


def test_progress_is_told():
    told = []
    copy = on_gpu(filled("EDEN4"))
    copy.search(vectors(9), progress=lambda *counts: told.append(counts))
    assert told == [(9, 9)]
