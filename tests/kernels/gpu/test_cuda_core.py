"""CudaDevice through cuda-core itself, over a driver of our own: contexts, memory, launches."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NVCC = shutil.which("nvcc")


@pytest.mark.slow
@pytest.mark.skipif(NVCC is None, reason="CUDA's header, cuda.h, comes with nvcc")
def test_searches_through_cuda_core(tmp_path):
    pytest.importorskip("cuda.core", reason="CUDA-CORE IS MISSING: nothing goes through it")
    subprocess.run(
        [NVCC, "-x", "c++", "-std=c++17", "-shared", "-cudart", "none", "-Xcompiler", "-fPIC",
         HERE / "driver.cpp", "-o", tmp_path / "libcuda.so.1"],
        check=True,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.kernels.gpu.through_cuda_core",
         "EDEN4", "EDEN1,Rerank(f16)"],
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}, capture_output=True, text=True,
        cwd=HERE.parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Host ")
