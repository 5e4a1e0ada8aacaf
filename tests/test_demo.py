"""The demo on a small set of its own; on the sample in the slow tier."""

import sys

import h5py
import pytest

from vqindex import demo
from vqindex.datasets import synthetic


@pytest.fixture
def small(tmp_path, monkeypatch):
    """1,500 rows in 12 dimensions as an ann-benchmarks file; compiling is tested elsewhere."""
    monkeypatch.setattr(demo, "warmup", lambda: 0.0)
    data = synthetic(1500, 12, 20, "cosine", k=100)
    path = tmp_path / "small.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["distance"] = "angular"
        file["train"], file["test"] = data.base, data.queries
        file["neighbors"], file["distances"] = data.neighbors, data.distances
    return path


OURS = ["EDEN4", "EDEN2", "EDEN1", "TQ4", "TQprod4", "QJL48", "QJL12"]
THEIRS = ["Flat", "PQ12x4fs", "PQ6x4fs", "RR12,RaBitQfs4", "RR12,RaBitQfs2", "RR12,RaBitQfs1"]


def test_everything_is_measured(small, tmp_path, capsys):
    picture = tmp_path / "out" / "small.png"
    found = demo.run(str(small), picture=picture, rounds=1)
    assert capsys.readouterr() == ("", "")
    systems = [(m.library, m.name) for m in found.measurements]
    assert systems == [("vqindex", n) for n in OURS] + [("FAISS", n) for n in THEIRS]
    by_name = {m.name: m for m in found.measurements}
    assert by_name["Flat"].recall[10] == 1
    assert by_name["EDEN4"].recall[10] > by_name["EDEN2"].recall[10] > by_name["EDEN1"].recall[10]
    assert found.picture == picture
    assert picture.stat().st_size > 10_000
    assert found.skipped == []
    text = str(found)
    assert text.startswith("small: 1,500 x 12, cosine, 20 queries; ")
    assert "| FAISS   | RR12,RaBitQfs1 |" in text
    assert f"Picture: {picture}" in text


def test_what_is_missing_is_named(small, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("faiss", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    picture = tmp_path / "small.png"
    found = demo.run(str(small), picture=picture, rounds=1)
    assert [m.name for m in found.measurements] == OURS
    assert found.picture is None
    assert not picture.exists()
    text = str(found)
    assert 'Skipped: the comparison with FAISS: FAISS is missing: pip install "vqindex[' in text
    assert 'Skipped: the picture: matplotlib is missing: pip install "vqindex[plot]"' in text


def test_steps_are_told_on_stderr(small, monkeypatch, capsys):
    monkeypatch.setattr(demo, "systems", lambda d: (["EDEN1"], []))
    demo.run(str(small), picture=None, rounds=2, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "build vqindex EDEN1\nmeasure, round 1 of 2\nmeasure, round 2 of 2\n" in err


def test_odd_dimensions_have_no_halves():
    assert "PQ7x4fs" in demo.systems(7)[1]
    assert "PQ3x4fs" not in demo.systems(7)[1]


@pytest.mark.slow
def test_the_sample():
    """Recall on real embeddings beside FAISS of the same bits, within sampling error.

    500 queries of 10: the recall of a query spreads by less than 0.2, so a mean by 0.009; three
    times that.
    """
    by_name = {m.name: m for m in demo.run(picture=None, rounds=1).measurements}
    for bits in (4, 2, 1):
        ours, theirs = by_name[f"EDEN{bits}"], by_name[f"RR384,RaBitQfs{bits}"]
        assert ours.recall[10] > theirs.recall[10] - 0.027
    assert by_name["EDEN4"].recall[10] > by_name["TQprod4"].recall[10]
    assert by_name["QJL1536"].recall[10] > by_name["QJL384"].recall[10] + 0.1
