"""The folder that a report is: page, CSV, pictures."""

import csv
import io
import logging

import pytest

from tests.evaluate.report.some import HOSTILE, contest, failed, point
from vqindex.evaluate import Latency, report
from vqindex.evaluate.report import picture

# Those of ann-benchmarks' plotting/metrics.py, and what its data_export.py puts before them.
THEIRS = [
    "algorithm", "parameters", "count", "k-nn", "qps", "p50", "p95", "p99", "p999", "build",
    "indexsize", "queriessize", "dataset",
]  # fmt: skip


def test_the_folder_has_a_page_a_table_and_a_picture_of_each_set_and_threads(tmp_path):
    paths = report.write(contest(), tmp_path / "new" / "folder", "a title")
    assert [path.name for path in paths] == [
        "report.html",
        "report.csv",
        "report-wordnet-minilm-384-angular-1threads.png",
        "report-wordnet-minilm-384-angular-2threads.png",
        "report-photo-sift-128-euclidean-1threads.png",
        "report-photo-sift-128-euclidean-2threads.png",
    ]
    assert "<title>a title</title>" in paths[0].read_text("utf-8")
    for path in paths[2:]:
        assert path.read_bytes().startswith(b"\x89PNG\r\n")


def test_without_points_there_is_nothing_to_report(tmp_path):
    with pytest.raises(ValueError, match="at least one operating point"):
        report.write([], tmp_path / "folder")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_rest_is_written_and_the_log_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        paths = report.write([point()], tmp_path)
    assert [path.name for path in paths] == ["report.html", "report.csv"]
    assert 'pip install "vqindex[plot]"' in caplog.text


def test_what_failed_alone_is_reported_without_figures(tmp_path):
    page, table = report.write([failed()], tmp_path)
    assert "MemoryError: too large" in page.read_text("utf-8")
    assert table.read_text("utf-8") == ""


def test_the_csv_has_ann_benchmarks_columns_and_units():
    chosen = point(parameters={"nprobe": 8}, n=1024, bytes_per_row=100)
    text = report.csv_text([failed(), chosen])
    (row,) = csv.DictReader(io.StringIO(text))
    assert list(row)[: len(THEIRS)] == THEIRS
    assert row["algorithm"] == "vqindex"
    assert row["parameters"] == 'EDEN4 {"nprobe": 8}'
    assert (row["count"], row["k-nn"], row["recall"]) == ("10", "0.96", "0.95")
    assert (row["qps"], row["qps_median"]) == ("1100.0", "1000.0")
    assert (row["p50"], row["p999"]) == ("1.0", "3.0")
    assert float(row["indexsize"]) == 100
    assert float(row["queriessize"]) == pytest.approx(100 / 1100)


def test_what_few_queries_do_not_tell_is_left_empty(tmp_path):
    few = point(latency=Latency(p50=0.001, p95=0.001, p99=0.0015, p999=None))
    (row,) = csv.DictReader(io.StringIO(report.csv_text([few])))
    assert (row["p99"], row["p999"]) == ("1.5", "")
    assert '"p999":null' in report.page([few], "few")


def test_the_csv_gives_hostile_text_back():
    names = {"system": HOSTILE, "spec": "a,b\n\"c'", "command": HOSTILE}
    (row,) = csv.DictReader(io.StringIO(report.csv_text([point(**names)]), newline=""))
    assert (row["algorithm"], row["spec"], row["command"]) == tuple(names.values())


def test_the_picture_joins_the_best_of_each_kind():
    points = [p for p in contest() if p.failed is None and p.dataset.startswith("photo")]
    figure = picture.draw([p for p in points if p.threads == 1])
    single, batch, memory = figure.axes
    assert single.get_title() == "one query a call"
    assert batch.get_title() == "1,000 queries a call"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["vqindex EDEN4", "vqindex IVF,EDEN2"]
    assert "FAISS IVF,PQ192x4fs,RFlat" in labels
    line = next(line for line in single.lines if line.get_label() == "vqindex IVF,EDEN4")
    wanted = [
        (p.recall["10"], p.qps.median)
        for p in points
        if (p.spec, p.threads, p.batch) == ("IVF1024,EDEN4", 1, 1)
    ]
    assert [tuple(pair) for pair in line.get_xydata()] == sorted(wanted)
    sizes = {line.get_label(): line.get_ydata().tolist() for line in memory.lines}
    assert sizes["vqindex EDEN4"] == [pytest.approx(206 / 3)]


def test_names_of_sets_are_safe_file_names_and_labels(tmp_path):
    hostile = {"dataset": "../a/$b_{c$ <x>", "spec": "$x^{", "system": "_hidden"}
    *_, path = report.write([point(**hostile)], tmp_path)
    assert path.parent == tmp_path
    assert path.name == "report--a--b_-c---x--1threads.png"
