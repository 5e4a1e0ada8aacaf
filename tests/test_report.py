"""The table lines up, and in the picture no name touches another."""

import itertools
import sys

import numpy as np
import pytest

from vqindex import report
from vqindex.evaluate import Curve, Measurement, Rate, Spot


def measured(library, name, size, recall, qps):
    recalls = {1: recall - 0.01, 10: recall, 100: min(recall + 0.01, 1.0)}
    return Measurement(
        library, name, size, 0.25, recalls, recalls,
        Rate(1.1 * qps, qps, 0.125), Rate(0.6 * qps, 0.5 * qps, 0.02),
    )  # fmt: skip


TWO = [
    measured("vqindex", "EDEN4", 206, 0.95, 17000),
    measured("FAISS", "RR384,RaBitQfs4", 1212, 0.94, 810),
]


def crowd(seed):
    """Thirteen systems, as many as the demo has, closer together than any real ones."""
    rng = np.random.default_rng(seed)
    sizes, recalls = rng.integers(180, 230, 12), rng.uniform(0.92, 0.95, 12)
    rates = rng.uniform(8e3, 1.2e4, 12)
    names = ["EDEN4", "TQprod4", "QJL1536", "PQ384x4fs", "RR384,RaBitQfs4", "TQ4"] * 2
    libraries = ["vqindex", "FAISS"] * 6
    found = [measured(*row) for row in zip(libraries, names, sizes, recalls, rates, strict=True)]
    return [*found, measured("FAISS", "Flat", 1536, 1.0, 2e3)]


def test_table():
    lines = report.table(TWO).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["library", "index", "bytes/row", "recall@1", "recall@10", "recall@100",
                        "batch QPS", "single QPS", "build s"]  # fmt: skip
    assert [set(cell) for cell in cells[1]] == [{"-"}] * 2 + [{"-", ":"}] * 7
    assert cells[2] == ["vqindex", "EDEN4", "206", "0.9400", "0.9500", "0.9600",
                        "17,000 (12%)", "8,500 (2%)", "0.25"]  # fmt: skip
    assert cells[3][:3] == ["FAISS", "RR384,RaBitQfs4", "1,212"]


@pytest.mark.parametrize("seed", range(3))
def test_no_label_touches_another_or_leaves_its_panel(seed):
    from matplotlib.text import Text

    figure = report.draw(crowd(seed), "a crowd")
    for axes in figure.axes:
        labels = [text for text in axes.texts if text.get_text()]
        assert len(labels) == 13
        boxes = [Text.get_window_extent(label) for label in labels]  # without its line
        for one, other in itertools.combinations(boxes, 2):
            assert not one.overlaps(other)
        for box in boxes:
            assert axes.bbox.x0 < box.x0 < box.x1 < axes.bbox.x1
            assert axes.bbox.y0 < box.y0 < box.y1 < axes.bbox.y1
            points = np.concatenate([
                axes.transData.transform(drawn.get_offsets()) for drawn in axes.collections
            ])  # fmt: skip
            assert not any(box.contains(*point) for point in points)


def test_the_picture_shows_what_was_measured():
    figure = report.draw(TWO, "two systems")
    memory, speed = figure.axes
    assert figure.get_suptitle() == "two systems"
    assert "bytes per row" in memory.get_xlabel()
    assert "recall@10" in memory.get_ylabel()
    assert "queries per second" in speed.get_xlabel()
    assert [t.get_text() for t in memory.get_legend().get_texts()] == ["vqindex", "FAISS"]
    assert [c.get_offsets().tolist() for c in memory.collections] == [[[206, 0.95]], [[1212, 0.94]]]
    assert [c.get_offsets().tolist() for c in speed.collections] == [[[17000, 0.95]], [[810, 0.94]]]


def test_the_file(tmp_path):
    path = tmp_path / "new folder" / "picture"
    report.plot(TWO, "two systems", path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n")


def curve(library, name, *spots):
    """(recall, QPS of a batch) each; one by one it is half as fast."""
    rates = [(found, Rate(qps, qps, 0.0), Rate(qps / 2, qps / 2, 0.0)) for found, qps in spots]
    return Curve(library, name, 1206, 0.25, tuple(Spot({"nprobe": 1}, *each) for each in rates))


CURVES = [
    curve("vqindex", "IVF8,EDEN4", (0.85, 4000), (0.95, 2000), (0.94, 1000)),
    curve("vqindex", "IVF16,EDEN4", (0.9, 3000), (0.99, 50)),
    curve("FAISS", "IVF8,Flat", (0.93, 900)),
]


def test_a_table_of_curves():
    lines = report.curve_table(CURVES).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][3:6] == ["single QPS at 0.9", "single QPS at 0.95", "single QPS at 0.99"]
    assert cells[2] == ["vqindex", "IVF8,EDEN4", "1,206", "1,414", "1,000", "-",
                        "2,828", "2,000", "-", "0.25"]  # fmt: skip
    assert cells[4][3:9] == ["450", "-", "-", "900", "-", "-"]


def test_the_curves_show_the_best_of_each_kind():
    figure = report.draw_curves(CURVES, "two kinds")
    single, batch = figure.axes
    points = [line.get_xydata().tolist() for line in batch.lines]
    assert points == [[[0.85, 4000], [0.9, 3000], [0.95, 2000], [0.99, 50]], [[0.93, 900]]]
    halves = [[[x, y / 2] for x, y in each] for each in points]
    assert [line.get_xydata().tolist() for line in single.lines] == halves
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["IVF,EDEN4", "FAISS IVF,Flat"]
    assert "recall@10" in single.get_xlabel()


def test_the_file_of_curves(tmp_path):
    path = tmp_path / "new folder" / "curves.png"
    report.plot_curves(CURVES, "two kinds", path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n")


def test_without_matplotlib(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "vqindex\[plot\]"'):
        report.plot(TWO, "two systems", tmp_path / "picture.png")
    with pytest.raises(ImportError, match=r'pip install "vqindex\[plot\]"'):
        report.plot_curves(CURVES, "two kinds", tmp_path / "picture.png")
    assert not list(tmp_path.iterdir())
