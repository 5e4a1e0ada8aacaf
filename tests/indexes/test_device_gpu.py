"""Indexes on a real GPU: the CPU's own bits; skipped where there is none."""

import gc

import numpy as np
import pytest

import vqindex as vq
from vqindex.errors import BackendError
from vqindex.kernels.gpu import driver

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not driver.devices(), reason="there is no NVIDIA GPU"),
]

SPECS = [
    *(f"EDEN{bits}" for bits in range(1, 9)), "EDEN2.5", "TQprod3", "QJL200", "SQ8", "LVQ4x4",
    "SAQ3", "PQ8x4", "PQ9x8", "Coarse4,EDEN2", "TCQ2", "F32", "F16",
    "EDEN4,Rerank(f16)", "EDEN1,Rerank(f32)", "NUQ4", "Hadamard(block=64),EDEN4", "Haar,EDEN2",
]  # fmt: skip
SHAPES = [(1, 1, 1), (31, 3, 5), (33, 65, 16), (1055, 130, 17), (9999, 200, 100), (5000, 96, 1024)]


def vectors(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def filled(spec, n=3000, d=72, metric="l2"):
    index = vq.index_factory(spec, metric=metric)
    index.fit(vectors(400, d, seed=2))
    index.add(vectors(n, d), ids=np.random.default_rng(1).permutation(3 * n)[:n])
    index.remove(index.ids[3 : n // 2 : 7])
    return index


def same(got, want):
    np.testing.assert_array_equal(got.ids, want.ids)
    assert got.scores.tobytes() == want.scores.tobytes()


def check(copy, index, q, k=10, filter=None, **settings):
    same(copy.search(q, k, filter, **settings),
         index.search(q, k, filter, stages="off", **settings))  # fmt: skip


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="queries on a GPU are torch tensors")


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("spec", SPECS)
def test_codecs(spec, metric):
    index = filled(spec, metric=metric)
    copy = index.to("cuda")
    for nq in (1, 3, 8, 33, 97):
        check(copy, index, vectors(nq, 72, seed=3))
    check(copy, index, vectors(9, 72, seed=4), filter=index.ids % 3 == 0)


@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
@pytest.mark.parametrize("spec", ["EDEN4", "EDEN2", "EDEN1", "SQ8"])
def test_odd_shapes(spec, n, d, k):
    index = filled(spec, n, d)
    copy = index.to("cuda")
    for nq in (1, 7, 70):
        check(copy, index, vectors(nq, d, seed=5), k)


def test_more_rows_than_one_wave():
    index = filled("EDEN4", 60_000, 128, "cosine")
    copy = index.to("cuda")
    for nq, k in ((1, 100), (64, 10), (200, 100), (9, 1024)):
        check(copy, index, vectors(nq, 128, seed=6), k)


@pytest.mark.parametrize("spec", ["IVF30,EDEN4", "IVF30,EDEN2,Rerank(f16)"])
def test_lists(spec):
    index = filled(spec, 20_000)
    copy = index.to("cuda")
    for nprobe in (1, 5, 30):
        check(copy, index, vectors(20, 72, seed=7), nprobe=nprobe)
        check(copy, index, vectors(3, 72, seed=7), filter=index.ids % 9 == 0, nprobe=nprobe)


@pytest.mark.parametrize(
    "spec",
    ["EDEN4", "SQ8", "F16", "LVQ4", "IVF9,EDEN2", "PCA,EDEN4", "EDEN4,Rerank(f16)",
     "Hadamard(block=64),EDEN4", "Haar,EDEN2"],
)  # fmt: skip
def test_tensors(torch, spec):
    index = filled(spec)
    copy, q = index.to("cuda"), vectors(40, 72, seed=8)
    want = index.search(q, 7, stages="off")
    for dtype in (torch.float32, torch.float64):
        got = copy.search(torch.tensor(q, device="cuda", dtype=dtype), 7)
        assert got.ids.is_cuda
        assert got.scores.dtype == torch.float32
        np.testing.assert_array_equal(got.ids.cpu().numpy(), want.ids)
        assert got.scores.cpu().numpy().tobytes() == want.scores.tobytes()
        np.testing.assert_array_equal(got.distances.cpu().numpy(), want.distances)
    one = copy.search(torch.tensor(q[0], device="cuda"), 7)
    assert one.ids.tolist() == want.ids[0].tolist()
    parts = torch.tensor(np.repeat(q, 2, axis=1), device="cuda")[:, ::2]
    assert copy.search(parts, 7).ids.tolist() == want.ids.tolist()


def test_tensors_of_another_kind(torch):
    copy = filled("SQ8").to("cuda")
    with pytest.raises(vq.DtypeError, match="real numbers"):
        copy.search(torch.zeros(2, 72, dtype=torch.complex64, device="cuda"))
    with pytest.raises(vq.ShapeError, match=r"\(nq, 72\)"):
        copy.search(torch.zeros(2, 73, device="cuda"))


def test_two_streams(torch):
    """Queries that a stream is still writing, and answers that it reads at once."""
    index = filled("EDEN4", 20_000)
    copy = index.to("cuda")
    rows = [vectors(64, 72, seed=s) for s in range(8)]
    want = [index.search(q, 5, stages="off").ids for q in rows]
    streams, found = [torch.cuda.Stream(), torch.cuda.Stream()], []
    busy = torch.randn(4096, 4096, device="cuda")
    for i, q in enumerate(rows):
        with torch.cuda.stream(streams[i % 2]):
            for _ in range(5):
                busy @ busy
            late = torch.tensor(q, device="cuda") + torch.zeros(1, device="cuda")
            found.append(copy.search(late, 5).ids + 0)
    torch.cuda.synchronize()
    for got, ids in zip(found, want, strict=True):
        np.testing.assert_array_equal(got.cpu().numpy(), ids)


@pytest.mark.parametrize("nq", [1, 64])
def test_graphs(torch, nq):
    index = filled("EDEN4", 20_000)
    copy = index.to("cuda")
    asked = torch.zeros(nq, 72, device="cuda")
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        copy.search(asked, 5)  # kernels are loaded
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        result = copy.search(asked, 5)
    for seed in (1, 2):
        q = vectors(nq, 72, seed=seed)
        asked.copy_(torch.tensor(q))
        graph.replay()
        torch.cuda.synchronize()
        want = index.search(q, 5, stages="off")
        np.testing.assert_array_equal(result.ids.cpu().numpy(), want.ids)
        assert result.scores.cpu().numpy().tobytes() == want.scores.tobytes()


def test_what_is_not_finite_finds_nothing(torch):
    copy = filled("EDEN4").to("cuda")
    q = torch.ones(9, 72, device="cuda")
    q[2, 3] = torch.nan
    ids = copy.search(q, 3).ids.cpu().numpy()
    assert (ids[2] == -1).all()
    assert (np.delete(ids, 2, axis=0) >= 0).all()


def test_several_indexes_and_their_memory():
    device, index, q = driver.device(), filled("EDEN4", 40_000, 256), vectors(2, 256, seed=9)
    check(index.to("cuda"), index, q)  # kernels are loaded, and stay
    gc.collect()
    before = device.free_bytes()
    copies = [index.to("cuda") for _ in range(3)]
    taken = sum(copy.nbytes["codes"] for copy in copies)
    assert before - device.free_bytes() >= taken
    for copy in copies:
        check(copy, index, q)
    copies.clear()
    del copy
    gc.collect()
    assert before - device.free_bytes() < taken / 2


def test_a_device_that_is_not_there():
    with pytest.raises(BackendError, match="no device"):
        filled("SQ8").to(f"cuda:{len(driver.devices())}")
