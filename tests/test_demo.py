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
OUR_LISTS = ["IVF32,EDEN4", "IVF32,EDEN4,Rerank(f16)", "IVF32,EDEN2,Rerank(f16)"]
LISTS = ["IVF128,EDEN4", "IVF128,EDEN4,Rerank(f16)"]  # of the sample
WITH_LISTS = [("vqindex", name) for name in OUR_LISTS] + [
    ("FAISS", name) for name in ("IVF32,Flat", "IVF32,PQ6x4fs,Refine(SQfp16)")
]


def systems(points):
    return list(dict.fromkeys((point.system, point.spec) for point in points))


def test_everything_is_measured(small, tmp_path, capsys):
    picture = tmp_path / "out" / "small.png"
    found = demo.run(str(small), picture=picture, rounds=1)
    assert capsys.readouterr() == ("", "")
    assert systems(found.flat) == [*(("vqindex", n) for n in OURS), *(("FAISS", n) for n in THEIRS)]
    assert [point.batch for point in found.flat] == [1, 20] * len(OURS + THEIRS)
    by_name = {point.spec: point.recall["10"] for point in found.flat}
    assert by_name["Flat"] == 1
    assert by_name["EDEN4"] > by_name["EDEN2"] > by_name["EDEN1"]
    assert found.pictures == [picture, picture.with_name("small-lists.png")]
    assert all(path.stat().st_size > 10_000 for path in found.pictures)
    assert systems(found.lists) == WITH_LISTS
    assert max(p.recall["10"] for p in found.lists if p.spec == OUR_LISTS[1]) > 0.95
    assert found.skipped == []
    text = str(found)
    assert text.startswith("small: 1,500 x 12, cosine, 20 queries; ")
    assert "| FAISS   | RR12,RaBitQfs1 |" in text
    assert "| vqindex | IVF32,EDEN4 " in text
    assert f"Picture: {picture}" in text


def test_what_is_missing_is_named(small, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("faiss", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    picture = tmp_path / "small.png"
    found = demo.run(str(small), picture=picture, rounds=1)
    assert systems(found.flat + found.lists) == [("vqindex", name) for name in OURS + OUR_LISTS]
    assert found.pictures == []
    assert not picture.exists()
    text = str(found)
    assert 'Skipped: the comparison with FAISS: FAISS is missing: pip install "vqindex[' in text
    assert 'Skipped: the pictures: matplotlib is missing: pip install "vqindex[plot]"' in text


def test_what_fails_is_named_and_holds_up_no_other(small, monkeypatch):
    monkeypatch.setattr(demo, "systems", lambda d: (["EDEN1"], ["PQ5x4fs"]))
    monkeypatch.setattr(demo, "ladders", lambda *_: ({}, {"IVF2000,Flat": [{"nprobe": 1}]}))
    found = demo.run(str(small), picture=None, rounds=1)
    assert systems(found.flat + found.lists) == [("vqindex", "EDEN1")]
    assert [reason.partition(": RuntimeError: ")[0] for reason in found.skipped] == [
        "FAISS PQ5x4fs", "FAISS IVF2000,Flat",
    ]  # fmt: skip


def test_steps_are_told_on_stderr(small, monkeypatch, capsys):
    monkeypatch.setattr(demo, "systems", lambda d: (["EDEN1"], []))
    monkeypatch.setattr(demo, "ladders", lambda *_: ({}, {}))
    demo.run(str(small), picture=None, rounds=2, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "build vqindex EDEN1\n" in err
    assert "measure [########################] 4/4" in err


def test_odd_dimensions_have_no_halves():
    assert "PQ7x4fs" in demo.systems(7)[1]
    assert "PQ3x4fs" not in demo.systems(7)[1]
    assert not any("PQ" in spec for spec in demo.ladders(100, 7)[1])


@pytest.mark.slow
def test_the_sample():
    """Recall on real embeddings beside FAISS of the same bits, within sampling error.

    500 queries of 10: the recall of a query spreads by less than 0.2, so a mean by 0.009; three
    times that.
    """
    found = demo.run(picture=None, rounds=1)
    by_name = {point.spec: point.recall["10"] for point in found.flat}
    for bits in (4, 2, 1):
        assert by_name[f"EDEN{bits}"] > by_name[f"RR384,RaBitQfs{bits}"] - 0.027
    assert by_name["EDEN4"] > by_name["TQprod4"]
    assert by_name["QJL1536"] > by_name["QJL384"] + 0.1
    most = {spec: max(p.recall["10"] for p in found.lists if p.spec == spec) for spec in LISTS}
    assert most[LISTS[1]] > 0.99 > 0.96 > most[LISTS[0]]
