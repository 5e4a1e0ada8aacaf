"""What is timed on a GPU is checked, too: here by the kernels themselves, compiled for the host."""

import shutil

import pytest

from benchmarks import gpu_check, gpu_work
from tests.kernels.gpu import emulated
from tests.kernels.gpu.fake import FakeDevice
from vqindex.indexes.device import tensors

torch = pytest.importorskip("torch", reason="torch decodes the codes that are timed")
pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ compiles the kernels")
N, D, K = 500, 72, 10


class Unchecked(FakeDevice):
    """Its memory is torch's as well."""

    def check(self, address, nbytes): ...


@pytest.fixture(autouse=True)
def on_the_host(monkeypatch):
    monkeypatch.setattr(gpu_work, "ON", "cpu")
    monkeypatch.setattr(tensors, "stream", lambda number: 0)


@pytest.mark.parametrize(("bits", "nq"), [(1, 1), (2, 1), (4, 1), (4, 9), (8, 9)])
def test_searches_that_are_right(bits, nq):
    work = gpu_work.Work(torch, Unchecked(emulated.run), N, D, bits)
    search = work.search(nq, K)
    search.go()
    assert work.checked(search) == {}


def test_other_kernels_of_signs():
    device = Unchecked(emulated.run)
    work = gpu_work.Work(torch, device, N, D, 1)
    search = work.search(1, K, {})
    search.go()
    assert "vq_scan_scalar" in device.kernels()
    assert work.checked(search) == {}


def test_kernels_that_do_nothing():
    work = gpu_work.Work(torch, Unchecked(), N, D, 4)
    search = work.search(9, K)
    search.go()
    assert work.checked(search)["error"] == "these are not the scores of the best rows"
    coder = gpu_work.Coder(torch, 100, D, 4)
    assert coder.checked()["error"] == "codes are not those of the CPU"


def test_what_may_be_wrong():
    every = torch.tensor([[5.0, 1.0], [4.0, 2.0], [3.0, 3.0], [3.0, 4.0]])
    shown, found = torch.tensor([[5.0, 4.0, 3.0]]), torch.tensor([[0, 1, 3]])

    def wrong(shown, found):
        return gpu_check.wrong(torch, every[:, :1], shown, found)

    assert wrong(shown, found) == wrong(shown, torch.tensor([[0, 1, 2]])) == ""
    assert "scores of the best" in wrong(shown - 1, found)
    assert "scores of the best" in wrong(torch.tensor([[4.0, 3.0, 3.0]]), torch.tensor([[1, 2, 3]]))
    assert "no rows" in wrong(shown, torch.tensor([[0, 1, 4]]))
    assert "no rows" in wrong(shown, torch.tensor([[0, 1, -1]]))
    assert "other scores" in wrong(shown, torch.tensor([[1, 0, 2]]))
    twice = torch.tensor([[3.0, 3.0]])
    assert "twice" in gpu_check.wrong(torch, every[2:, :1], twice, torch.tensor([[1, 1]]))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_rows_that_are_coded(bits):
    coder = gpu_work.Coder(torch, 100, D, bits)
    Unchecked(emulated.run).launch(coder.launch, 0)
    assert coder.checked() == {}
    coder._scale[95] += 1
    assert coder.checked()["error"] == "scales are not those of the CPU"
    coder._codes[2, 0, 31, 0] ^= 1
    assert coder.checked()["error"] == "codes are not those of the CPU"
