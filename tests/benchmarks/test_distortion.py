import json

import pytest

from benchmarks import distortion
from benchmarks.distortion import Code, Gain
from benchmarks.fidelity import Sizes
from benchmarks.points import Settings
from benchmarks.systems import for_dimension
from benchmarks.theory import EXPECTED
from vqindex import index_factory
from vqindex.datasets import synthetic
from vqindex.quantizers import QUANTIZERS

SIZES = Sizes(dim=256, sample=2048, rows=256, seeds=12, queries=16, pairs=16, rho=0.5)
FEW = Sizes(dim=64, sample=1024, rows=16, seeds=2, queries=2, pairs=2, rho=0.5)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("EDEN1", ("EDEN", 1)),
        ("Haar,EDEN4", ("EDEN", 4)),
        ("TQ1", ("TQ", 1)),
        ("TQ4", ("TQ", 4)),
        ("SQ8", ("SQ", 8)),
        ("QJL", ("sketch", 1)),
        ("TQprod2", ("sketch", 2)),
        ("TQ1+QJL(projection=gaussian)", ("Gaussian sketch", 2)),
    ],
)
def test_what_is_measured_is_what_theory_expects(spec, expected):
    row = distortion.row_of(Code(spec, expected=expected), SIZES)
    names = [name for name in distortion.FIGURES if f"{name}_expected" in row]
    assert names == list(EXPECTED[expected[0]])
    for name in names:
        # Theory leaves out terms of relative size O(1 / d), and the centre that EDEN learns.
        slack = 4 * row[f"{name}_se"] + 4 / SIZES.dim * abs(row[f"{name}_expected"])
        assert abs(row[name] - row[f"{name}_expected"]) < slack, (name, row)


def test_theory_tells_estimators_apart():
    biased = distortion.row_of(Code("TQ1"), SIZES)
    assert biased["bias"] < -0.1
    assert 4 * biased["bias_se"] < 0.1


def test_a_row_has_its_bound_and_its_ratio():
    row = distortion.row_of(Code("TQ{d/32}", reported={"error": 0.5}), FEW)
    assert (row["index"], row["bits"]) == ("TQ{d/32}", 2 + 48 / 64)
    assert row["bound"] == 4.0 ** -row["bits"]
    assert row["error_ratio"] == row["error"] / 0.5


def test_every_case_can_be_measured():
    cases = distortion.read_cases()
    assert {sizes.dim for sizes in cases.sizes.values()} == {768}
    for code in cases.codes:
        assert code.sizes in cases.sizes
        assert code.expected is None or code.expected[0] in EXPECTED
        assert set(code.reported) <= set(distortion.FIGURES)
        for d in (768, 384, 128):
            for metric in code.metrics or ("l2", "ip", "cosine"):
                index_factory(for_dimension(code.spec, d), metric=metric)


def test_what_is_added_is_measured_with_and_without():
    cases = distortion.read_cases()
    specs = [code.spec for code in cases.codes]
    assert all(gain.without in specs and gain.added in specs for gain in cases.gains)
    assert len(set(specs)) == len(specs)


def test_every_code_has_a_bias():
    assert all(sizes.seeds >= 2 for sizes in distortion.read_cases().sizes.values())


def test_every_code_of_the_library_is_a_case():
    specs = [code.spec.split(",")[-1] for code in distortion.read_cases().codes]
    for name in [*(name for kind in QUANTIZERS for name in kind.names), "QJL", "TQprod"]:
        own = [spec for spec in specs if spec.rstrip("0123456789") == name]
        assert any(spec.startswith(name) for spec in own or specs), f"distortion.toml lacks {name}"


def test_some_cases():
    cases = distortion.read_cases(["EDEN7", "RaBitQfs2", "turbo"])
    assert [code.spec for code in cases.codes] == ["EDEN7"]
    assert [peer.label for peer in cases.peers] == [
        "FAISS RR,RaBitQfs2", "turbovec 2", "turbovec 4",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"only must name parts of vqindex EDEN1, .* got 'EDEN9'"):
        distortion.read_cases(["EDEN9"])


def test_without_slow_cases():
    every, quick = distortion.read_cases(), distortion.read_cases(skip_slow=True)
    assert {code.sizes for code in every.codes} == {"usual", "learned", "slow", "least"}
    assert {code.sizes for code in quick.codes} == {"usual", "learned"}
    assert {peer.slow for peer in every.peers} == {False, True}
    assert {peer.slow for peer in quick.peers} == {False}


@pytest.fixture
def record(monkeypatch, capsys):
    cases = distortion.Cases(
        {"usual": FEW},
        Settings(k=10, fit=1024, patience=1000.0),
        [Code("EDEN2", reported={"error": 0.117}), Code("F32")],
        [],
        [Gain("bits", "EDEN2", "F32"), Gain("more", "EDEN2", "EDEN4")],
    )
    monkeypatch.setattr(distortion, "warmup", lambda: None)
    monkeypatch.setattr(distortion, "read_cases", lambda only, skip_slow: cases)
    return distortion.run([synthetic(1500, 64, 20, "cosine")], seed=3)


def test_a_record(record, capsys):
    assert [row["index"] for row in record["rows"]] == ["EDEN2", "F32"]
    (found,) = record["sets"]
    assert found["dataset"]["n"] == 1500
    assert [row["recall"] for row in found["rows"]][1] == 1
    assert record["settings"] == {
        "k": 10, "fit": 1024, "patience": 1000.0, "seed": 3, "level": None,
    }  # fmt: skip
    assert record["sizes"]["usual"]["dim"] == 64
    assert json.loads(json.dumps(record)) == record


def test_a_report(record):
    codes, gains, on_a_set = distortion.report(record).split("\n\n")
    heading, columns, _, first, second = codes.splitlines()
    assert heading == "Vectors at random, 64 dimensions"
    assert columns.split()[:5] == ["index", "bits", "codes", "model", "error"]
    assert columns.endswith("R@10 synthetic")
    assert first.split()[:3] == ["EDEN2", "2.750", "2.000"]
    assert second.split()[0] == "F32"
    assert second.endswith("1.000")
    title, columns, _, first, _ = on_a_set.splitlines()
    assert title.endswith("1,500 x 64, cosine")
    assert columns.split()[:6] == ["library", "index", "bytes/row", "bits", "model", "R@10"]
    assert first.split()[:4] == ["vqindex", "EDEN2", "22", "2.750"]
    heading, columns, _, line = gains.splitlines()  # EDEN4 is not measured
    assert heading == "What is added, one by one"
    assert line.split()[:3] == ["bits", "EDEN2", "F32"]
    assert line.split()[4:7] == ["0.000", "22", "256"]


def test_a_report_of_what_was_stopped(record):
    (found,) = record["sets"]
    found["rows"][0] |= {"recall": None, "rows_per_s": 3.0}
    text = distortion.report(record).split("\n\n")[-1]
    assert "(500 s)" in text.splitlines()[3]


def test_records_of_old_have_reports(record):
    del record["gains"]
    for row in [*record["rows"], *record["sets"][0]["rows"]]:
        del row["model"]
    assert len(distortion.report(record).split("\n\n")) == 2
