"""Queries that are tensors on a GPU, in place of which are arrays that say they are."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import vqindex as vq
from tests.kernels.gpu.fake import FakeDevice
from tests.kernels.gpu.simulated import Simulated
from vqindex.errors import BackendError, DtypeError, ShapeError
from vqindex.indexes.device.index import DeviceIndex

D, STREAM = 24, 41


class Tensor:
    """What is used of a torch tensor, over an array."""

    is_quantized, layout = False, "strided"

    def __init__(self, array, device="cuda", index=0):
        self.array, self.device = array, SimpleNamespace(type=device, index=index)
        self.copied = False

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    dtype = property(lambda self: self.array.dtype)
    is_cuda = property(lambda self: self.device.type == "cuda")

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        return Tensor(self.array[key])

    def is_complex(self):
        return self.array.dtype.kind == "c"

    def detach(self):
        return self

    def reshape(self, *shape):
        return Tensor(self.array.reshape(*shape))

    def to(self, dtype):
        return Tensor(self.array.astype(dtype, copy=False))

    def contiguous(self):
        return Tensor(np.ascontiguousarray(self.array))

    def data_ptr(self):
        return self.array.ctypes.data

    def clamp(self, max):
        return Tensor(np.minimum(self.array, np.float32(max)))

    def __rsub__(self, other):
        return Tensor(np.float32(other) - self.array)

    def cpu(self):
        copied.append(self.array.shape)
        return SimpleNamespace(numpy=lambda: self.array)


copied = []


@pytest.fixture(autouse=True)
def torch(monkeypatch):
    """In the place of torch, a module of what is used of it."""
    allocated = []

    def empty(shape, dtype, device):
        assert device == "cuda:0"
        raw = np.full(int(np.prod(shape)) * np.dtype(dtype).itemsize + 256, 0xA5, np.uint8)
        start = -raw.ctypes.data % 256
        size = len(raw) - 256
        allocated.append(Tensor(raw[start : start + size].view(dtype).reshape(shape)))
        return allocated[-1]

    class OutOfMemoryError(RuntimeError): ...

    stream = SimpleNamespace(cuda_stream=STREAM)
    cuda = SimpleNamespace(
        current_stream=lambda number: stream, OutOfMemoryError=OutOfMemoryError,
        mem_get_info=lambda number: (3_000_000, 9_000_000),
        memory_reserved=lambda number: 5_000_000, memory_allocated=lambda number: 1_000_000,
    )  # fmt: skip
    module = SimpleNamespace(
        Tensor=Tensor, strided="strided", float32=np.dtype(np.float32), int64=np.dtype(np.int64),
        uint8=np.dtype(np.uint8), empty=empty, cuda=cuda, allocated=allocated,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "torch", module)
    copied.clear()
    return module


class Unchecked(FakeDevice):
    """Its memory is torch's as well."""

    def check(self, address, nbytes): ...


class Made(Simulated):
    """`vq_query` copies what the CPU makes of the queries."""

    def __init__(self, index):
        super().__init__()
        self.index = index

    def vq_query(self, launch, macros, queries, dim, metric, center, signs, mixes, rounds, run, p,
                 stored, entries, row_bytes, half, gamma, padded, alpha):  # fmt: skip
        from tests.kernels.gpu.simulated import array

        nq = launch.grid[0]
        made = self.index._rows.codec.operands(array(queries, np.float32, nq, dim).copy())
        array(entries, np.int8, nq, row_bytes)[:] = made.entries[:nq]
        array(half, np.float32, padded)[:nq] = made.half[0, :nq]
        array(gamma, np.float32, padded)[:nq] = made.gamma[0, :nq]
        array(alpha, np.float32, nq)[:] = made.alpha


def pair(spec="EDEN4"):
    index = vq.index_factory(spec, metric="l2")
    index.fit(np.random.default_rng(0).standard_normal((300, D)))
    index.add(np.random.default_rng(1).standard_normal((200, D)))
    return index, DeviceIndex(index, Unchecked(Made(index)))


def asked(nq, dtype=np.float32):
    return np.random.default_rng(2).standard_normal((nq, D)).astype(dtype)


@pytest.mark.parametrize("nq", [1, 3, 9])
def test_they_are_read_where_they_lie(nq, torch):
    index, copy = pair()
    q = asked(nq)
    result = copy.search(Tensor(q), 5)
    want = index.search(q, 5, stages="off")
    assert isinstance(result.ids, Tensor)
    np.testing.assert_array_equal(result.ids.array, want.ids)
    assert result.scores.array.tobytes() == want.scores.tobytes()
    assert result.distances.array.tobytes() == want.distances.tobytes()
    assert not copied
    made = copy._gpu.launches[0][0]
    assert made.kernel == "vq_query"
    assert made.arguments[0] == q.ctypes.data
    assert {stream for _, stream in copy._gpu.launches} == {STREAM}
    assert copy.nbytes["work"] == 0  # it is torch's


def test_one_query():
    index, copy = pair()
    result = copy.search(Tensor(asked(1)[0]), 5)
    assert result.ids.array.tolist() == index.search(asked(1)[0], 5, stages="off").ids.tolist()


def test_nothing_is_uploaded_or_waited_for(monkeypatch):
    _, copy = pair()
    waits = copy._gpu.waits
    sizes = []
    monkeypatch.setattr(
        copy._gpu, "upload", lambda address, array, stream: sizes.append(len(array))
    )
    copy.search(Tensor(asked(9)), 5)
    assert sum(sizes) == 0
    assert copy._gpu.waits == waits


@pytest.mark.parametrize("spec", ["LVQ4", "IVF4,EDEN2", "PQ4x4"])
def test_queries_of_other_codecs_are_made_ready_on_the_cpu(spec):
    index, copy = pair(spec)
    result = copy.search(Tensor(asked(3)), 5)
    np.testing.assert_array_equal(result.ids.array, index.search(asked(3), 5, stages="off").ids)
    assert copied == [(3, D)]


def test_other_types_and_layouts_are_copied():
    index, copy = pair()
    want = index.search(asked(3), 5, stages="off").ids
    for q in (asked(3).astype(np.float64), np.asfortranarray(asked(3))):
        np.testing.assert_array_equal(copy.search(Tensor(q), 5).ids.array, want)


def test_filters():
    index, copy = pair()
    q, wanted = asked(9), np.arange(0, 200, 3)
    result = copy.search(Tensor(q), 5, wanted)
    np.testing.assert_array_equal(result.ids.array, index.search(q, 5, wanted, stages="off").ids)


def test_memory_that_is_not_there(torch, monkeypatch):
    _, copy = pair()

    def empty(shape, dtype, device):
        if dtype == torch.uint8:
            raise torch.cuda.OutOfMemoryError
        return Tensor(np.empty(shape, dtype))

    monkeypatch.setattr(torch, "empty", empty)
    (job,) = copy._jobs.of_address(0, 9, 5, 5, None)
    with pytest.raises(BackendError, match=r"empty_cache\(\)") as raised:
        copy.search(Tensor(asked(9)), 5)
    assert f"needs {job.nbytes / 1e6:,.1f} MB" in str(raised.value)
    assert "on cuda:0, where 3.0 MB are free and torch keeps 4.0 MB" in str(raised.value)


def test_what_is_refused():
    _, copy = pair()
    with pytest.raises(BackendError, match=r"on cuda:0, as this index is.*q.to\('cuda:0'\)"):
        copy.search(Tensor(asked(2), index=1))
    with pytest.raises(BackendError, match="got a tensor on"):
        copy.search(Tensor(asked(2), device="mps"))
    with pytest.raises(DtypeError, match="real numbers"):
        copy.search(Tensor(asked(2).astype(np.complex64)))
    with pytest.raises(ShapeError, match=r"\(nq, 24\) or \(24\), got \(2, 25\)|\(nq, 24\)"):
        copy.search(Tensor(np.zeros((2, 25), np.float32)))
