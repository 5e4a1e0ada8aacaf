"""All kernels that a search can ask for, compiled ahead of it."""

import json

from vqindex.errors import BackendError
from vqindex.kernels.gpu import batch, sources, warm
from vqindex.kernels.gpu.records import Asked, Where
from vqindex.kernels.gpu.scans import KERNELS, Selection, scan

ASKED = Asked(1, 16, 64, 0, 0, 0, 0)


def test_every_kernel_is_there_once():
    every = list(warm.every())
    assert len(set(every)) == len(every)
    for k in (1, 16, 17, 64, 65, 1024):
        for stem in KERNELS:
            assert scan(stem, 0, (0, 1), ASKED, Where(1), Selection(k, 1, 0, 0))[:2] in every
    for kinds in ([0], [1], [2], [4], [8], [9], [4, 1]):
        for nq in (1, 8, 30, 64, 97, 10_000):
            cut = batch.shape(nq, kinds, [4] * len(kinds), 227 * 1024)
            assert ("batch", cut.macros) in every
    sources_ = {path.stem for path in sources.folder().glob("*.cu")}
    assert sources_ - {stem for stem, _ in every} == {"hadamard"}  # no binding asks for it


def test_what_does_not_compile_is_told(monkeypatch, capsys):
    def cubin(stem, macros, arch):
        if stem == "query":
            raise BackendError("query.cu is wrong")

    monkeypatch.setattr(warm, "cubin", cubin)
    found = [warm._compile(*each, "sm_90") for each in warm.every()]
    assert [wrong for wrong in found if wrong] == ["query.cu is wrong"]
    monkeypatch.setattr(warm, "warm", lambda arch: [f"{arch} is wrong"])
    monkeypatch.setattr("sys.argv", ["warm", "sm_80"])
    assert warm.main() == 1
    assert json.loads(capsys.readouterr().out)["wrong"] == ["sm_80 is wrong"]
