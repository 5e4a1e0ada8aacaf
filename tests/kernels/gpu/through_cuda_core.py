"""Searches through cuda-core with driver.cpp for a driver: run by test_cuda_core.py."""

import ctypes
import json
import sys

import numpy as np
import pytest

import vqindex as vq
from tests.kernels.gpu import emulated
from vqindex.kernels.gpu import driver
from vqindex.kernels.gpu.topk import answer

_POINTERS = ctypes.POINTER(ctypes.c_void_p)
LAUNCHER = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, *[ctypes.c_uint] * 4, _POINTERS
)


@LAUNCHER
def launched(code, kernel, x, y, threads, shared, given):
    stem, macros = json.loads(code)
    library = emulated.library(stem, tuple(map(tuple, macros)))
    return library.vq_run(kernel, x, y, threads, ctypes.c_size_t(shared), given)


def main():
    ctypes.CDLL("libcuda.so.1").set_launcher(launched)
    driver.cubin = lambda stem, macros, arch: json.dumps([stem, macros]).encode() + b"\0"
    rng = np.random.default_rng(0)
    rows, queries = (rng.standard_normal((n, 40)).astype(np.float32) for n in (2000, 33))
    for spec in sys.argv[1:]:
        index = vq.index_factory(spec, metric="l2")
        index.add(rows)
        copy = index.to("cuda")
        for nq in (1, 33):
            got, want = copy.search(queries[:nq], 5), index.search(queries[:nq], 5, stages="off")
            np.testing.assert_array_equal(got.ids, want.ids)
            assert got.scores.tobytes() == want.scores.tobytes()
    gpu = driver.device()
    failing = answer(16, 1, 5, 16, 16, 16, 16, 16)._replace(kernel="vq_nothing")
    for stream in (0, gpu.stream):
        with pytest.raises(vq.BackendError, match=r"^Host: vq_nothing of topk.cu failed: ERROR"):
            gpu.launch(failing, stream)
    print(gpu.name, gpu.free_bytes())


main()
