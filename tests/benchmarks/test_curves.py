from dataclasses import asdict

import pytest

from benchmarks import curves, results
from vqindex.evaluate import Curve, Rate, Spot

RATE = Rate(120.0, 100.0, 0.2)
CURVE = Curve("FAISS", "IVF8,Flat", 100, 0.5, (Spot({"nprobe": 1}, 0.9, RATE, RATE),))
RECORD = {
    "command": "ivf",
    "settings": {"k": 10, "threads": 1, "lists": [8, 16]},
    "dataset": {"name": "words", "n": 1000, "d": 384, "metric": "cosine", "nq": 20},
    "curves": [asdict(CURVE)],
}


@pytest.mark.parametrize(("threads", "name"), [(1, "ivf-words.png"), (4, "ivf-words-4threads.png")])
def test_a_file_for_each_number_of_threads(threads, name, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    settings = RECORD["settings"] | {"threads": threads}
    (path,) = curves.save(RECORD | {"settings": settings})
    assert path == tmp_path / name
    assert path.read_bytes().startswith(b"\x89PNG\r\n")


def test_without_matplotlib_there_is_no_picture(monkeypatch, capsys):
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    assert curves.save(RECORD) == []
    assert 'pip install "vqindex[plot]"' in capsys.readouterr().err
