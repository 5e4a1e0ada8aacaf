"""README's tables are those that results/ gives."""

import pytest

from benchmarks import __main__, best, readme
from tests.evaluate.report.some import contest
from vqindex.evaluate import append_points


def test_readme_has_the_tables_of_the_committed_results(capsys):
    assert readme.check() == 0, capsys.readouterr().out


def test_every_table_stands_in_readme_once():
    names = [found[2] for found in readme._MARKED.finditer(readme.README.read_text("utf-8"))]
    assert sorted(names) == sorted(readme.TABLES)


@pytest.fixture
def other(monkeypatch, tmp_path):
    """A README of one table, with results of its own."""
    path = tmp_path / "README.md"
    path.write_text("before\n<!-- table: contest -->\nold\n<!-- /table -->\nafter\n", "utf-8")
    monkeypatch.setattr(readme, "README", path)
    monkeypatch.setattr(readme, "RUN", tmp_path / "results" / "run.jsonl")
    return path


def test_without_figures_there_is_no_table(other):
    assert readme.write() == 0
    assert other.read_text("utf-8") == "before\n<!-- table: contest -->\n<!-- /table -->\nafter\n"


@pytest.mark.parametrize("text", [None, "no table"])
def test_a_file_of_points_without_its_table_is_told(other, capsys, text):
    readme.write()
    other.write_text(text or other.read_text("utf-8"), "utf-8")
    assert readme.check() == 0
    append_points(readme.RUN, contest() if text else [])
    assert readme.check() == 1
    assert "the table contest is empty or missing" in capsys.readouterr().out


def test_drift_is_told_and_mended(other, capsys):
    append_points(readme.RUN, contest())
    with pytest.raises(SystemExit, match="1"):
        __main__.main(["readme", "--check"])
    assert "the table contest is not that of results/" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        __main__.main(["readme"])
    text = other.read_text("utf-8")
    assert text.startswith("before\n<!-- table: contest -->\nEach library's best")
    assert "(results/run-photo-sift-128-euclidean.png)" in text
    assert readme.check() == 0
    append_points(readme.RUN, [contest()[-1]])  # measured anew, and the same
    assert readme.check() == 0


def test_a_picture_of_other_points_is_drawn_anew(other, capsys):
    append_points(readme.RUN, contest()[:60])
    readme.write()
    assert best.draw(readme.RUN) == []
    append_points(readme.RUN, contest()[60:])
    assert [points[0].dataset for points in best.stale(readme.RUN)] == [
        "wordnet-minilm-384-angular", "photo-sift-128-euclidean",
    ]  # fmt: skip
    assert readme.check() == 1
    assert "the picture of photo-sift-128-euclidean" in capsys.readouterr().out


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match=r"must be one of contest, .* got 'other'"):
        readme.filled("<!-- table: other -->\n<!-- /table -->")
