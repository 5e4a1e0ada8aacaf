import json
import re

import pytest

from benchmarks import ivf
from vqindex import index_factory
from vqindex.datasets import synthetic
from vqindex.evaluate import Curve, Rate, Spot


def curve(library, name, *spots):
    """(recall, QPS of a batch) each; one by one it is half as fast."""
    rates = [(found, Rate(qps, qps, 0.0), Rate(qps / 2, qps / 2, 0.0)) for found, qps in spots]
    return Curve(library, name, 100, 0.5, tuple(Spot({"nprobe": 1}, *each) for each in rates))


CURVES = [
    curve("vqindex", "IVF8,EDEN4", (0.9, 500.0), (0.95, 200)),
    curve("vqindex", "IVF16,EDEN4", (0.97, 100)),
    curve("FAISS", "IVF8,Flat", (0.9, 100), (0.99, 50)),
    curve("FAISS", "IVF8,PQ4x4fs", (0.9, 1000)),
]


@pytest.mark.parametrize("d", [128, 384])
def test_cases_fit_the_dimension(d):
    cases, nprobes = ivf.read_cases(d, [256, 512])
    assert ivf.Case("FAISS", f"IVF256,PQ{d // 2}x4fs,RFlat", 256, (2, 4, 8, 16)) in cases
    assert ivf.Case("rabitqlib", "IVF512,RaBitQ5", 512, (None,)) in cases
    assert nprobes == sorted(set(nprobes))
    for case in cases:
        assert "{" not in case.spec
        if case.library == "vqindex":
            reranks = "oversample" in index_factory(case.spec).settings
            assert reranks == (case.oversamples != (None,))


def test_cases_of_some_names():
    cases, _ = ivf.read_cases(64, [8], ["EDEN4,Rerank", "RaBitQ5"])
    assert [case.label for case in cases] == [
        "vqindex IVF8,EDEN4,Rerank(f16)", "rabitqlib IVF8,RaBitQ5",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="got 'IVF9'"):
        ivf.read_cases(64, [8], ["IVF9"])


def test_lists_by_the_rows():
    assert ivf.default_lists(100_000) == [512, 1024]
    assert ivf.default_lists(1) == [2, 4]


def test_rates_are_those_of_the_best_number_of_lists():
    ours, flat, product = ivf.rows_of(CURVES)
    assert (ours["library"], ours["index"]) == ("vqindex", "IVF,EDEN4")
    assert ours["batch"] == [pytest.approx(x) if x else None for x in (500, 200, 100, None)]
    assert ours["single"][:3] == [pytest.approx(x) for x in (250, 100, 50)]
    assert flat["batch"][3] == pytest.approx(50)
    assert product["batch"] == [pytest.approx(1000), None, None, None]


def test_ratios_are_to_the_fastest_peer_at_the_same_recall():
    ours, flat, product = ivf.rows_of(CURVES)
    assert ours["batch_ratios"]["rabitqlib"] == [None] * 4
    assert ours["batch_ratios"]["FAISS"][0] == pytest.approx(0.5)
    assert product["batch_ratios"]["FAISS"] == [pytest.approx(1), None, None, None]
    assert flat["batch_ratios"]["FAISS"][3] == pytest.approx(1)


def test_a_table_for_each_way_of_asking():
    record = {"rows": ivf.rows_of(CURVES), "curves": [vars(each) for each in CURVES]}
    costs, single, batch = ivf.report(record).split("\n\n")
    assert re.split(" {2,}", costs.splitlines()[2]) == ["vqindex", "IVF8,EDEN4", "100", "0.5000"]
    for mode, text, rate in (("single", single, "250.0"), ("batch", batch, "500.0")):
        headings, _, first, *_ = (re.split(" {2,}", line.strip()) for line in text.splitlines())
        cells = dict(zip(headings[:4], first[:4], strict=True))
        assert cells[f"{mode} QPS at 0.90"] == rate
        assert cells["x FAISS"] == "0.5000"
        assert headings.count("x rabitqlib") == 4


def test_systems_are_measured_and_their_record_is_json(monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(ivf, "warmup", lambda: None)
    data = synthetic(1500, 16, 20, "l2")
    record = ivf.run(data, rounds=2, singles=3, lists=[8], only=["EDEN4", "RFlat"])
    assert [curve["name"] for curve in record["curves"]] == [
        "IVF8,EDEN4", "IVF8,EDEN4,Rerank(f16)", "IVF8,PQ8x4fs,RFlat",
        "IVF8,PQ16x4fs,RFlat",
    ]  # fmt: skip
    nprobes = {spot["settings"]["nprobe"] for c in record["curves"] for spot in c["spots"]}
    assert nprobes <= {1, 2, 3, 4, 6, 8}
    assert record["curves"][1]["spots"][-1]["recall"] > 0.95
    assert (record["settings"]["lists"], record["settings"]["threads"]) == ([8], 1)
    read = json.loads(json.dumps(record))
    assert ivf.report(read) == ivf.report(record)
    curves = ivf.curves_of(read)
    assert ivf.rows_of(curves) == record["rows"]
    assert isinstance(curves[0].spots[0].batch, Rate)


def test_a_peer_that_cannot_be_had_is_named(monkeypatch, capsys):
    monkeypatch.setattr(ivf, "warmup", lambda: None)
    asked = []
    monkeypatch.setattr(ivf, "measure_curves", lambda sweeps, *_, **__: asked.extend(sweeps) or [])
    data = synthetic(100, 16, 3, "l2")
    ivf.run(data, lists=[8], only=["RaBitQ5", "IVF8,EDEN4"], level="avx2")
    assert {sweep.system.library for sweep in asked} == {"vqindex"}
    assert "without rabitqlib IVF8,RaBitQ5: rabitqlib takes whatever" in capsys.readouterr().err
