import json
import re

import pytest

from benchmarks import search
from benchmarks.search import Case
from vqindex import index_factory
from vqindex.datasets import synthetic
from vqindex.evaluate import Measurement, Rate


@pytest.fixture
def dataset():
    return synthetic(1500, 32, 20, "cosine")


def measurement(library, name, batch, single):
    every = {1: 0.9, 10: 0.95, 100: 0.99}
    return Measurement(library, name, 100, 0.5, every, every, batch, single)


@pytest.mark.parametrize("d", [128, 384])
def test_cases_fit_the_dimension_and_have_their_peers(d):
    cases = search.read_cases(d)
    assert Case(2, ("RR,RaBitQfs2", f"PQ{d // 2}x4fs"), "vqindex", "EDEN2") in cases
    assert Case(4, ("RR,RaBitQfs4", f"PQ{d}x4fs"), "FAISS", f"PQ{d}x4fs") in cases
    for case in cases:
        assert "{" not in case.spec
        assert case.peers
        assert set(case.peers) <= {c.spec for c in cases if c.library == "FAISS"}
        if case.library == "vqindex":
            index_factory(case.spec)


def test_every_library_index_is_compared():
    ours = {case.spec for case in search.read_cases(384) if case.library == "vqindex"}
    wanted = "EDEN4 EDEN2 EDEN1 TQ4 TQ2 TQprod4 TQprod2 QJL SQ8 F16 F32"
    assert ours == set(wanted.split())


def test_cases_of_some_bits():
    assert {case.bits for case in search.read_cases(64, [1, 8])} == {1, 8}
    with pytest.raises(ValueError, match=r"bits must be among .* got \[3\]"):
        search.read_cases(64, [3, 4])


def test_cases_of_some_names():
    kept = [case.label for case in search.read_cases(64, [2, 4], ["EDEN4", "PQ64", "turbo"])]
    assert kept == [
        "vqindex EDEN4", "FAISS PQ64x4fs", "FAISS RR,EDEN4", "turbovec 4", "turbovec 2",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"vqindex F32, FAISS Flat; got 'EDEN'"):
        search.read_cases(64, [32], ["F32", "EDEN"])


def test_ratios_are_those_of_medians():
    cases = [Case(4, ("PQ",), "vqindex", "EDEN4"), Case(4, ("PQ",), "FAISS", "PQ")]
    ours = measurement("vqindex", "EDEN4", Rate(130, 100, 0.5), Rate(22, 20, 0.2))
    peer = measurement("FAISS", "PQ", Rate(60, 50, 0.4), Rate(40, 40, 0.0))
    first, second = search.rows_of(cases, [ours, peer])
    assert (first["batch_ratios"], first["single_ratios"]) == ({"PQ": 2}, {"PQ": 0.5})
    assert (first["batch_best"], first["batch_median"], first["batch_least"]) == (130, 100, 80)
    assert first["recall"] == 0.95
    assert (second["batch_ratios"], second["single_ratios"]) == ({"PQ": 1}, {"PQ": 1})


def test_a_table_for_each_size_with_a_column_for_each_peer():
    cases = [
        Case(4, ("R", "PQ"), "vqindex", "EDEN4"),
        Case(4, ("R", "PQ"), "FAISS", "PQ"),
        Case(32, ("Flat",), "FAISS", "Flat"),
    ]
    rates = [Rate(80, 80, 0.0), Rate(40, 40, 0.0), Rate(10, 10, 0.0)]
    measured = [measurement(c.library, c.spec, r, r) for c, r in zip(cases, rates, strict=True)]
    text = search.report({"rows": search.rows_of(cases, measured)})
    four, exact = (part.splitlines() for part in text.split("\n\n"))
    headings, first = (re.split(" {2,}", four[line].strip()) for line in (0, 2))
    cells = list(zip(headings, first, strict=True))
    assert [cell for name, cell in cells if name == "x R"] == ["-", "-"]
    assert [cell for name, cell in cells if name == "x PQ"] == ["2.000", "2.000"]
    assert exact[0].count("x Flat") == 2
    assert "PQ" not in exact[0]


def test_exact_indexes_are_exact(dataset, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(search, "warmup", lambda: None)
    record = search.run(dataset, rounds=2, singles=3, bits=[32])
    assert [(row["library"], row["index"]) for row in record["rows"]] == [
        ("vqindex", "F32"),
        ("FAISS", "Flat"),
    ]
    assert all(row["recall"] == 1 for row in record["rows"])
    assert all(row["batch_best"] >= row["batch_median"] > 0 for row in record["rows"])
    assert (record["settings"]["threads"], record["settings"]["level"]) == (1, None)
    assert json.loads(json.dumps(record)) == record
    assert len(search.report(record).splitlines()) == 4


def test_a_peer_that_does_not_measure_the_metric_is_named(monkeypatch, capsys):
    pytest.importorskip("faiss")
    monkeypatch.setattr(search, "warmup", lambda: None)
    monkeypatch.setattr(search, "measure", lambda systems, *_, **__: [])
    monkeypatch.setattr(search, "rows_of", lambda cases, _: cases)
    cases = search.run(synthetic(100, 16, 3, "l2"), bits=[4])["rows"]
    assert {case.library for case in cases} == {"vqindex", "FAISS"}
    assert "without turbovec 4: turbovec measures inner products" in capsys.readouterr().err


def test_turbovec_has_no_level(monkeypatch, capsys):
    pytest.importorskip("faiss")
    monkeypatch.setattr(search, "warmup", lambda: None)
    monkeypatch.setattr(search, "measure", lambda systems, *_, **__: [])
    monkeypatch.setattr(search, "rows_of", lambda cases, _: cases)
    cases = search.run(synthetic(100, 16, 3, "ip"), bits=[2], level="avx2")["rows"]
    assert {case.library for case in cases} == {"vqindex", "FAISS"}
    assert "without turbovec 2: turbovec takes whatever the CPU has" in capsys.readouterr().err


def test_every_library_gets_the_threads(dataset, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(search, "warmup", lambda: None)
    monkeypatch.setattr(search, "rows_of", lambda cases, _: [])
    asked = []
    monkeypatch.setattr(search, "measure", lambda *_, threads, **__: asked.append(threads))
    record = search.run(dataset, threads=2, bits=[32])
    assert (record["settings"]["threads"], asked) == (2, [2])
