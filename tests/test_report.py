"""The table lines up, and in the picture no name touches another."""

import itertools
import sys

import numpy as np
import pytest

from tests.evaluate.report.some import point
from vqindex import report
from vqindex.evaluate import Speed


def speed(qps, spread=0.0):
    """Of rounds whose middle half lies this far apart."""
    low, high = qps * (1 - spread / 2), qps * (1 + spread / 2)
    return Speed(best=1.1 * qps, median=qps, low=low, high=high, rounds=5)


def measured(library, name, size, recall, qps):
    """Points of single queries and of a batch."""
    recalls = {"1": recall - 0.01, "10": recall, "100": min(recall + 0.01, 1.0)}
    same = {"system": library, "spec": name, "bytes_per_row": size, "recall": recalls}
    return [
        point(**same, batch=1, qps=speed(0.5 * qps, 0.02)),
        point(**same, batch=1000, qps=speed(qps, 0.125)),
    ]


TWO = [
    *measured("vqindex", "EDEN4", 206, 0.95, 17000),
    *measured("FAISS", "RR384,RaBitQfs4", 1212, 0.94, 810),
]


def crowd(seed):
    """Thirteen systems, as many as the demo has, closer together than any real ones."""
    rng = np.random.default_rng(seed)
    sizes, recalls = rng.integers(180, 230, 12), rng.uniform(0.92, 0.95, 12)
    rates = rng.uniform(8e3, 1.2e4, 12)
    names = ["EDEN4", "TQprod4", "QJL1536", "PQ384x4fs", "RR384,RaBitQfs4", "TQ4"]
    names += [f"{name}'" for name in names]
    libraries = ["vqindex", "FAISS"] * 6
    rows = zip(libraries, names, sizes, recalls, rates, strict=True)
    found = itertools.chain.from_iterable(measured(*row) for row in rows)
    return [*found, *measured("FAISS", "Flat", 1536, 1.0, 2e3)]


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


def curve(library, name, *spots):
    """(recall, QPS of a batch) each; one by one it is half as fast."""
    same = {"system": library, "spec": name, "bytes_per_row": 1206}
    return [
        point(**same, recall={"10": found}, parameters={"nprobe": i}, batch=batch, qps=speed(rate))
        for i, (found, qps) in enumerate(spots)
        for batch, rate in ((1, qps / 2), (500, qps))
    ]


CURVES = [
    *curve("vqindex", "IVF8,EDEN4", (0.85, 4000), (0.95, 2000), (0.94, 1000)),
    *curve("vqindex", "IVF16,EDEN4", (0.9, 3000), (0.99, 50)),
    *curve("FAISS", "IVF8,Flat", (0.93, 900)),
]


def test_a_table_of_curves():
    lines = report.curve_table(CURVES).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][3:6] == ["single QPS at 0.9", "single QPS at 0.95", "single QPS at 0.99"]
    assert cells[2] == ["vqindex", "IVF8,EDEN4", "1,206", "1,414", "1,000", "-",
                        "2,828", "2,000", "-", "0.25"]  # fmt: skip
    assert cells[4][3:9] == ["450", "-", "-", "900", "-", "-"]


def test_without_matplotlib(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "vqindex\[plot\]"'):
        report.draw(TWO, "two systems")
