import itertools

import pytest

from benchmarks import picture, results

ROWS = [
    {"library": "vqindex", "index": "EDEN2", "spec": "EDEN2", "bytes_per_row": 102, "recall": 0.84},
    {"library": "vqindex", "index": "EDEN4", "spec": "EDEN4", "bytes_per_row": 198, "recall": 0.95},
    {"library": "vqindex", "index": "TCQ2", "spec": "TCQ2", "bytes_per_row": 100, "recall": None},
    {"library": "FAISS", "index": "PQ{d}x4fs", "spec": "PQ384x4fs", "bytes_per_row": 192,
     "recall": 0.93},
    {"library": "turbovec", "index": "4", "spec": "4", "bytes_per_row": 196, "recall": 0.945},
]  # fmt: skip
SET = {"dataset": {"name": "words", "n": 1000, "d": 384, "metric": "cosine"}, "rows": ROWS}


@pytest.mark.parametrize(
    ("spec", "family"),
    [
        ("EDEN4", "EDEN"),
        ("EDEN2.5", "EDEN"),
        ("Haar,EDEN2(center=no)", "Haar,EDEN"),
        ("PQ{d/4}x8", "PQx8"),
        ("OPQ{d/8},PQ{d/8}x4fs", "OPQ,PQx4fs"),
        ("LVQ4x8", "LVQx8"),
        ("RR,RaBitQfs4", "RR,RaBitQfs"),
        ("TQ1+QJL(projection=gaussian)", "TQ+QJL"),
        ("4", ""),
    ],
)
def test_families(spec, family):
    assert picture.family(spec) == family


def test_families_look_different():
    rows = [ROWS[0] | {"index": f"{a}{b}4"} for a, b in itertools.product("ABCDEF", repeat=2)]
    marks = picture.marks_of(rows[:35])
    assert len({(mark.color, mark.marker) for mark in marks}) == 35


def test_the_front_is_the_best_of_each_size():
    marks = picture.marks_of([row for row in ROWS if row["recall"]])
    assert picture.front(marks) == [(102, 0.84), (192, 0.93), (196, 0.945), (198, 0.95)]
    worse = picture.marks_of([row | {"recall": 1 - row["bytes_per_row"] / 1000} for row in ROWS])
    assert {y for _, y in picture.front(worse)} == {0.9}


def test_the_picture_shows_what_was_measured():
    figure = picture.draw(SET, 10)
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.texts]
    assert names == ["EDEN2", "EDEN4", "FAISS PQ384x4fs", "turbovec 4"]
    groups = [text.get_text() for text in figure.legends[0].get_texts()]
    assert groups == ["best", "EDEN", "FAISS PQx4fs", "turbovec"]
    points = [drawn.get_offsets().tolist() for drawn in axes.collections]
    assert points == [[[102, 0.84], [198, 0.95]], [[192, 0.93]], [[196, 0.945]]]
    hollow = [len(drawn.get_facecolors()) == 0 for drawn in axes.collections]
    assert hollow == [False, True, True]
    assert "recall@10" in axes.get_ylabel()


def test_a_file_for_each_set(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    record = {"command": "distortion", "settings": {"k": 10}, "sets": [SET]}
    (path,) = picture.save(record)
    assert path == tmp_path / "distortion-words.png"
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
