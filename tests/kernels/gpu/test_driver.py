"""Where there is no GPU: an error that says what to do, at once, and whatever is asked first."""

import ctypes
import subprocess
import sys

import pytest

import vqindex as vq
from vqindex.errors import BackendError
from vqindex.kernels.gpu import driver


class Library:
    """NVIDIA's driver, as ctypes shows it, with `count` GPUs."""

    def __init__(self, count=2, starts=0):
        self.count, self.starts = count, starts

    def cuInit(self, flags):
        return self.starts

    def cuDeviceGetCount(self, out):
        out._obj.value = self.count
        return 0

    def cuDeviceGet(self, out, number):
        out._obj.value = number
        return 0

    def cuDeviceGetName(self, out, size, number):
        out.value = f"GPU {number.value}".encode()

    def cuDeviceTotalMem_v2(self, out, number):
        out._obj.value = 80 << 30

    def cuDeviceGetAttribute(self, out, which, number):
        out._obj.value = {75: 9, 76: number.value}[which]


@pytest.fixture
def library(monkeypatch):
    """A function that puts a library, or an OSError, in the place of the driver's."""
    driver._probe.cache_clear()

    def put(found):
        def load(name):
            assert name == driver._LIBRARY
            if isinstance(found, OSError):
                raise found
            return found

        monkeypatch.setattr(ctypes, "CDLL", load)

    yield put
    driver._probe.cache_clear()


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (OSError("no such file"), "libcuda.so.1|nvcuda.dll, which NVIDIA's driver brings"),
        (Library(starts=100), r"does not start \(cuInit gives error 100\)"),
        (Library(count=0), "finds no GPU"),
    ],
)
def test_no_gpu(library, found, reason):
    library(found)
    assert driver.devices() == ()
    for _ in range(2):
        with pytest.raises(BackendError, match=reason) as raised:
            driver.device()
        assert "Search on the CPU with the index as it is" in str(raised.value)
    assert vq.show_config()["gpu"] is None


def test_what_gpus_there_are(library):
    library(Library())
    assert driver.devices() == (
        driver.Gpu("GPU 0", "sm_90", 80 << 30), driver.Gpu("GPU 1", "sm_91", 80 << 30),
    )  # fmt: skip
    shown = vq.show_config()["gpu"]
    assert shown[1] == {"name": "GPU 1", "arch": "sm_91", "memory_bytes": 80 << 30}
    with pytest.raises(BackendError, match='no device "cuda:2": the last is "cuda:1"'):
        driver.device(2)


def test_a_gpu_without_cuda_core(library, monkeypatch):
    library(Library())
    for name in ("cuda", "cuda.bindings", "cuda.core"):
        monkeypatch.setitem(sys.modules, name, None)
    driver._opened.cache_clear()
    with pytest.raises(BackendError, match=r'needs cuda-core: pip install "vqindex\[cuda\]"'):
        driver.device()


def test_asking_does_not_hang():
    """Parts of cuda-core wait for ever where there is no driver; none of them is reached."""
    if driver.devices():
        pytest.skip("there is a GPU")
    code = """
import numpy as np, vqindex as vq
index = vq.index_factory("SQ8")
index.add(np.eye(3))
for _ in range(3):
    try:
        index.to("cuda")
    except vq.BackendError as error:
        assert "NVIDIA" in str(error)
    else:
        raise SystemExit("there is no GPU")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
