from dataclasses import replace

import numpy as np
import pytest

from benchmarks import __main__, machine, relevant, retrieval
from vqindex import datasets


@pytest.fixture(scope="module")
def record():
    return retrieval.run(datasets.load("sample"), only=["F16", "EDEN1"])


def test_exact_search_loses_nothing_and_a_bit_a_dimension_does(record):
    exact, half, bit, reranked = record["rows"]
    indexes = [row["index"] for row in record["rows"]]
    assert indexes == ["exact", "F16", "EDEN1", "EDEN1,Rerank(f16)"]
    assert bit["recall"] < reranked["recall"] <= half["recall"] < exact["recall"]
    assert record["settings"] == {"k": 10, "seed": 0, "questions": 58}
    assert (exact["bytes_per_row"], exact["recall"]) == (1536, 1)
    for name in retrieval.FIGURES:
        assert (exact[f"{name}_lost"], exact[f"{name}_error"]) == (0, 0)
        assert half[name] == pytest.approx(exact[name], abs=0.01)
        assert bit[f"{name}_lost"] == pytest.approx(exact[name] - bit[name])
        assert bit[f"{name}_error"] > 0


def test_figures_are_those_of_the_first_relevant_entry(record):
    """By the plainest code, of exact search."""
    near = datasets.load("sample").neighbors[:, :10].tolist()
    ranks = [
        min((near[i].index(row) + 1 for row in rows if row in near[i]), default=np.inf)
        for i, rows in enumerate(relevant.judged()["sample"])
        if rows
    ]
    exact = record["rows"][0]
    assert exact["reciprocal_rank"] == pytest.approx(np.mean([1 / rank for rank in ranks]))
    assert exact["hit_rate"] == np.mean([rank <= 10 for rank in ranks])


def test_the_table(record):
    about, heading, _, exact, *_ = retrieval.report(record).splitlines()
    assert about == "58 questions whose entry is among the documents"
    assert heading.split() == [
        "index", "bytes/row", "R@10", "hits@10", "MRR@10", "lost", "+-", "nDCG@10", "lost", "+-",
    ]  # fmt: skip
    assert exact.split()[:3] == ["exact", "1,536", "1.0000"]


def test_a_set_without_judged_rows_is_refused():
    other = replace(datasets.load("sample"), name="sample-rows300")
    with pytest.raises(ValueError, match=r"known of .*sample; not of sample-rows300"):
        retrieval.run(other)


def test_it_is_a_command_and_takes_the_sets_that_are_there(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("VQINDEX_DATA", str(tmp_path))
    assert retrieval.default_names() == ["sample"]
    (tmp_path / f"{relevant.LARGE}.hdf5").touch()
    (tmp_path / "other.hdf5").touch()
    assert retrieval.default_names() == [relevant.LARGE]
    monkeypatch.setattr(machine, "pin", lambda *_: None)
    __main__.main(["retrieval", "sample", "--queries", "100", "--only", "F16"])
    assert "\nF16 " in capsys.readouterr().out
