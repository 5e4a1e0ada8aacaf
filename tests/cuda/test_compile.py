"""Every kernel compiles, for every architecture and with all macros a loader can ask for."""

import io
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cuda.emulated import CUDA
from vqindex.kernels.gpu import sources
from vqindex.kernels.gpu.compile import compiled

ARCHS = ("80", "90", "90a", "100", "120")
KEEPS = [{"VQ_KEEP": keep} for keep in (16, 64, 256, 1024)]
ONE = [{"VQ_QUERIES": q, "VQ_KIND": kind} for q in (8, 32, 64, 96) for kind in (1, 2, 4, 5, 8)]
MANY = [{"VQ_QUERIES": q, "VQ_KIND": 0} for q in (8, 32, 64)]
MACROS = {"batch.cu": [*ONE, *MANY]}
MACROS |= dict.fromkeys(("scalar.cu", "sign.cu", "topk.cu", "table.cu", "decoded.cu"), KEEPS)
# Registers and static shared memory of any kernel of a file: as many blocks run at once as its
# bounds say, and a block has no more than 48 KB.
BUDGETS = {"batch.cu": (255, 1024), "decoded.cu": (128, 25 * 1024), "sign.cu": (160, 41 * 1024),
           "rerank.cu": (128, 0), "hadamard.cu": (96, 0), "query.cu": (96, 1024),
           "encode.cu": (96, 1024)}  # fmt: skip
BUDGET = 64, 41 * 1024
FILES = sorted(path.name for path in CUDA.glob("*.cu"))

NVCC = shutil.which("nvcc")
needs_nvcc = pytest.mark.skipif(NVCC is None, reason="NVCC IS MISSING: no CUDA file is compiled")


def nvcc(file, arch, macros, folder):
    """What ptxas says of a file."""
    gencode = f"arch=compute_{arch},code=sm_{arch}"
    out = folder / f"{file}-{arch}-{'-'.join(map(str, macros.values()))}.cubin"
    done = subprocess.run(
        [NVCC, "-cubin", "-gencode", gencode, "-std=c++17", "-Werror", "all-warnings", "-Xptxas",
         "-v,-warn-spills", *(f"-D{k}={v}" for k, v in macros.items()), "-o", out, CUDA / file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{file} {arch} {macros}:\n{done.stderr}"
    return done.stderr


def resources(log):
    """(spilled bytes, stack bytes, registers, shared bytes) of each kernel."""
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes", log)
    used = re.findall(r"Used (\d+) registers(.*)", log)
    assert len(frames) == len(used) > 0, log
    for (stack, stores, loads), (registers, rest) in zip(frames, used, strict=True):
        shared = re.search(r"(\d+) bytes smem", rest)
        yield int(stores) + int(loads), int(stack), int(registers), int(shared[1]) if shared else 0


def check_resources(file, log):
    registers, shared = BUDGETS.get(file, BUDGET)
    for spilled, stack, used, static in resources(log):
        assert (spilled, stack) == (0, 0), log
        assert used <= registers, log
        assert static <= shared, log


def test_only_sources_lie_there():
    """A Python file would shadow NVIDIA's package, which is called cuda as well."""
    assert {path.suffix for path in CUDA.iterdir()} <= {".cu", ".cuh", ".md", ".sh"}


def test_no_file_includes_more_than_ours():
    for path in CUDA.glob("*.cu*"):
        for name in re.findall(r"#\s*include\s*(.*)", path.read_text()):
            assert (CUDA / name.strip('"')).exists(), f"{path.name} includes {name}"


@needs_nvcc
@pytest.mark.parametrize("file", FILES)
def test_default_macros_compile_without_spills(file, tmp_path):
    check_resources(file, nvcc(file, "90", {}, tmp_path))


@pytest.mark.slow
@needs_nvcc
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("file", FILES)
def test_all_macros_compile_for_all_architectures(file, arch, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        logs = pool.map(lambda m: nvcc(file, arch, m, tmp_path), MACROS.get(file, [{}]))
        for log in logs:
            check_resources(file, log)


def shipped(file, arch, macros):
    """What NVRTC says through cuda-core: the way that users' kernels go."""
    pytest.importorskip(
        "cuda.core", reason="CUDA-CORE IS MISSING: kernels are not compiled by NVRTC"
    )
    stem, log = file.removesuffix(".cu"), io.StringIO()
    assert compiled(stem, sources.text(stem), tuple(macros.items()), f"sm_{arch}", log)
    return log.getvalue()


@pytest.mark.parametrize("file", FILES)
def test_nvrtc_compiles_default_macros(file):
    log = shipped(file, "90", {})
    assert "warning" not in log
    check_resources(file, log)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["80", "90", "100", "120"])
@pytest.mark.parametrize("file", FILES)
def test_nvrtc_compiles_all_macros(file, arch):
    for macros in MACROS.get(file, [{}]):
        log = shipped(file, arch, macros)
        assert "warning" not in log, log
        check_resources(file, log)
