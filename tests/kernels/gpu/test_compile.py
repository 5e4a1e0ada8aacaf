"""Machine code on disk: by what it is named, and what happens where there is no compiler."""

import sys

import pytest

from vqindex.errors import BackendError
from vqindex.kernels.gpu import compile as compile_
from vqindex.kernels.gpu import sources

MACROS = (("VQ_KEEP", 16),)


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A compiler that counts, and a folder of its own."""
    asked = []

    def compiled(stem, source, macros, arch):
        asked.append((stem, macros, arch))
        return f"{source} {macros} {arch}".encode()

    monkeypatch.setattr(compile_, "nvrtc_version", lambda: (13, 0))
    monkeypatch.setattr(compile_, "compiled", compiled)
    monkeypatch.setattr(compile_, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(sources, "text", lambda stem: f"text of {stem}")
    return asked


def test_a_kernel_is_compiled_once(compiler, tmp_path):
    first = compile_.cubin("topk", MACROS, "sm_90")
    assert compile_.cubin("topk", MACROS, "sm_90") == first
    assert compiler == [("topk", MACROS, "sm_90")]
    (kept,) = (tmp_path / "gpu").iterdir()
    assert kept.name.startswith("topk-")
    assert kept.suffix == ".cubin"


def test_what_code_depends_on_is_in_its_name(compiler, monkeypatch):
    ways = {compile_.key("a", MACROS, "sm_90", (13, 0))}
    ways |= {compile_.key("b", MACROS, "sm_90", (13, 0))}
    ways |= {compile_.key("a", (("VQ_KEEP", 64),), "sm_90", (13, 0))}
    ways |= {compile_.key("a", MACROS, "sm_80", (13, 0))}
    ways |= {compile_.key("a", MACROS, "sm_90", (13, 1))}
    assert len(ways) == 5
    compile_.cubin("topk", MACROS, "sm_90")
    monkeypatch.setattr(compile_, "nvrtc_version", lambda: (12, 9))
    compile_.cubin("topk", MACROS, "sm_90")
    assert len(compiler) == 2


def test_where_nothing_can_be_written(compiler, monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(compile_, "cache_dir", lambda: tmp_path / "file")
    for _ in range(2):
        assert compile_.cubin("topk", MACROS, "sm_90").startswith(b"text of topk")
    assert len(compiler) == 2


def test_without_cuda_core(monkeypatch):
    for name in ("cuda", "cuda.bindings", "cuda.core"):
        monkeypatch.setitem(sys.modules, name, None)
    compile_.nvrtc_version.cache_clear()
    with pytest.raises(BackendError, match=r'pip install "vqindex\[cuda\]"'):
        compile_.nvrtc_version()
    compile_.nvrtc_version.cache_clear()


def test_what_the_compiler_says_is_passed_on():
    pytest.importorskip("cuda.core", reason="cuda-core compiles kernels for a GPU")
    with pytest.raises(BackendError, match=r"cannot compile wrong.cu A=1 for sm_90(.|\n)*nonsense"):
        compile_.compiled("wrong", "int x = nonsense;", (("A", 1),), "sm_90")


def test_machine_code_without_a_gpu():
    pytest.importorskip("cuda.core", reason="cuda-core compiles kernels for a GPU")
    source = 'extern "C" __global__ void f(float* x) { *x = N; }'
    code = compile_.compiled("f", source, (("N", 3),), "sm_90")
    assert code.startswith(b"\x7fELF")
    assert compile_.compiled("f", source.replace("N", "3"), (), "sm_90").startswith(b"\x7fELF")
