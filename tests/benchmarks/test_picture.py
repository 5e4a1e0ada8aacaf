import itertools

import pytest

from benchmarks import picture, results


def row(library, index, spec, size, recall):
    return {
        "library": library, "index": index, "spec": spec, "bytes_per_row": size,
        "bits": 8 * size / 384, "recall": recall,
    }  # fmt: skip


ROWS = [
    row("vqindex", "EDEN2", "EDEN2", 102, 0.84),
    row("vqindex", "EDEN4", "EDEN4", 198, 0.95),
    row("vqindex", "F16", "F16", 768, 1.0),
    row("vqindex", "TCQ2", "TCQ2", 100, None),
    row("FAISS", "PQ{d}x4fs", "PQ384x4fs", 192, 0.93),
    row("turbovec", "4", "4", 196, 0.945),
]
SET = {"dataset": {"name": "words", "n": 1000, "d": 384, "metric": "cosine"}, "rows": ROWS}


@pytest.mark.parametrize(
    ("spec", "family"),
    [
        ("EDEN4", "EDEN"),
        ("EDEN2.5", "EDEN"),
        ("Haar,EDEN2(center=no)", "Haar,EDEN(center=no)"),
        ("PQ{d/4}x8", "PQx8"),
        ("OPQ{d/8},PQ{d/8}x4fs", "OPQ,PQx4fs"),
        ("LVQ4x8", "LVQx8"),
        ("RR,RaBitQfs4", "RR,RaBitQfs"),
        ("TQ1+QJL(projection=gaussian)", "TQ+QJL(projection=gaussian)"),
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
    marks = picture.marks_of([ROWS[0], ROWS[1], *ROWS[4:]])
    assert picture.front(marks) == [(102, 0.84), (192, 0.93), (196, 0.945), (198, 0.95)]
    worse = [picture.marks_of([each | {"recall": 0.1}])[0] for each in ROWS[1:]]
    assert {y for _, y in picture.front([marks[0], *worse])} == {0.1, 0.84}


def test_the_picture_shows_what_was_measured_of_few_bits():
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


def test_without_matplotlib_there_is_no_picture(monkeypatch, capsys):
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    assert picture.save({"sets": [SET]}) == []
    assert 'pip install "vqindex[plot]"' in capsys.readouterr().err
