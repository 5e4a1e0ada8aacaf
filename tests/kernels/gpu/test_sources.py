"""The CUDA sources, as one text each."""

import pytest

from vqindex.errors import BackendError
from vqindex.kernels.gpu import sources

STEMS = [path.stem for path in sorted(sources.folder().glob("*.cu"))]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "folder", lambda: tmp_path)
    sources.text.cache_clear()
    yield tmp_path
    sources.text.cache_clear()


def test_headers_are_pasted_in_once(folder):
    (folder / "a.cu").write_text('// a\n#include "b.cuh"\n#include "c.cuh"\nint a;\n')
    (folder / "b.cuh").write_text('#include "c.cuh"\nint b;\n')
    (folder / "c.cuh").write_text("int c;\n")
    assert sources.text("a") == "// a\nint c;\nint b;\nint a;\n"


def test_headers_of_the_compiler_are_left(folder):
    (folder / "a.cu").write_text("#include <cstdint>\n")
    assert sources.text("a") == "#include <cstdint>\n"


@pytest.mark.parametrize("stem", STEMS)
def test_a_source_is_whole(stem):
    text = sources.text(stem)
    assert "#include" not in text
    assert 'extern "C"' in text


def test_sources_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "__file__", str(tmp_path / "a" / "b" / "c" / "d.py"))
    with pytest.raises(BackendError, match="reinstall vqindex"):
        sources.folder()
