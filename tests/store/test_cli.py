"""`vqindex store`, from files and from standard input."""

import io
import json
import sys

import pytest

from vqindex import cli
from vqindex.store import VectorStore

DOCUMENTS = [
    {"id": "a", "text": "one", "metadata": {"year": 1999}, "vector": [1, 0]},
    {"id": "b", "text": "zwei \u00e4\U0001f600", "vector": [0.1, 1.5]},
    {"id": "c", "metadata": {"year": 2001, "big": 10**30}},
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "documents.jsonl", DOCUMENTS)
    return tmp_path


def lines(path, several):
    path.write_text("".join(json.dumps(one) + "\n" for one in several) + "\n", encoding="utf-8")


def run(capsys, *arguments):
    try:
        code = cli.main(["store", *map(str, arguments)])
    except SystemExit as ended:
        code = ended.code
    return (code, *capsys.readouterr())


def parsed(capsys, *arguments):
    code, out, err = run(capsys, *arguments, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    return json.loads(out, parse_constant=pytest.fail)


def test_from_beginning_to_end(folder, capsys):
    assert parsed(capsys, "create", "s", "--metric", "l2", "--originals", "f16")["metric"] == "l2"
    assert run(capsys, "create", "s")[0] == 2
    found = parsed(capsys, "add", "s", "documents.jsonl", "--batch", 2)
    assert found == {"written": 3, "documents": 3}
    lines(folder / "queries.jsonl", [{"vector": [1, 0.1]}, {"vector": [0, 1]}])
    hits = parsed(capsys, "search", "s", "queries.jsonl", "-k", 1)["hits"]
    assert [(hit["query"], hit["id"]) for hit in hits] == [(1, "a"), (2, "b")]
    code, out, _ = run(capsys, "search", "s", "queries.jsonl")
    assert code == 0
    assert [json.loads(line)["id"] for line in out.splitlines()] == ["a", "b", "b", "a"]
    where = '{"field": "meta.year", "op": ">", "value": 0}'
    assert len(parsed(capsys, "search", "s", "queries.jsonl", "--where", where)["hits"]) == 2
    assert len(parsed(capsys, "search", "s", "queries.jsonl", "--threshold", -1.1)["hits"]) == 2
    info = parsed(capsys, "info", "s")
    assert (info["documents"], info["vectors"], info["originals"]) == (3, 2, "f16")
    assert parsed(capsys, "verify", "s")["ok"] is True
    assert parsed(capsys, "delete", "s", "a", "zz") == {"deleted": 1, "documents": 2}
    assert parsed(capsys, "delete", "s", "--where", where) == {"deleted": 1, "documents": 1}
    with VectorStore("s") as store:
        assert store.get("b")[0].text == DOCUMENTS[1]["text"]


def test_from_standard_input(folder, capsys, monkeypatch):
    run(capsys, "create", "s")

    def given(several):
        text = "".join(json.dumps(one) + "\n" for one in several)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    given(DOCUMENTS)
    assert parsed(capsys, "add", "s")["written"] == 3
    given(DOCUMENTS)
    code, _, err = run(capsys, "add", "s")
    assert (code, "'a' is in the store already" in err) == (1, True)
    given(DOCUMENTS)
    assert parsed(capsys, "add", "s", "--upsert") == {"written": 3, "documents": 3}
    given([{"text": "aaa"}])
    embed = ["--embed", "tests.store.test_cli:embed"]
    assert parsed(capsys, "search", "s", *embed)["hits"][0]["id"] == "b"
    given([{"id": "d", "text": "aaa"}])
    parsed(capsys, "add", "s", *embed)
    given([{"text": "aaa"}])
    assert parsed(capsys, "search", "s", *embed, "-k", 1)["hits"][0]["id"] == "d"


def embed(texts):
    return [[0.0, float(len(text))] for text in texts]


@pytest.mark.parametrize(("line", "message"), [
    ("{", "line 2 is not JSON"), ("[]", "line 2: a document"), ('{"id": "x", "y": 1}', "line 2"),
    ('{"id": 3}', "ids[1]"), ('{"id": "x", "vector": [1, 2, 3]}', "vectors"),
    ('{"id": "x", "vector": [1, NaN]}', "finite"), ('{"id": "x", "metadata": [1]}', "metadata[1]"),
])  # fmt: skip
def test_what_is_no_document(folder, capsys, line, message):
    run(capsys, "create", "s")
    (folder / "bad.jsonl").write_text('{"id": "ok", "vector": [1, 2]}\n' + line + "\n")
    code, out, err = run(capsys, "add", "s", "bad.jsonl")
    assert (code, out) == (1, "")
    assert message in err
    assert "stored before this failed: 0" in err
    assert parsed(capsys, "info", "s")["documents"] == 0
    assert run(capsys, "add", "s", "bad.jsonl", "--batch", 1)[0] == 1
    assert parsed(capsys, "info", "s")["documents"] == 1


def test_what_was_stored_before_bad_input_is_told(folder, capsys):
    run(capsys, "create", "s")
    several = [{"id": f"d{i}"} for i in range(10)]
    lines(folder / "bad.jsonl", [*several, {"id": 3}])
    code, out, err = run(capsys, "add", "s", "bad.jsonl", "--batch", 4)
    assert (code, out) == (1, "")
    assert "stored before this failed: 8 documents, those of lines 1 to 8, and none after" in err
    assert parsed(capsys, "info", "s")["documents"] == 8


def test_wrong_usage(folder, capsys):
    for command in ("add", "search", "info", "verify", "delete"):
        arguments = ["documents.jsonl"] if command in ("add", "search") else []
        arguments = ["x"] if command == "delete" else arguments
        code, _, err = run(capsys, command, "gone", *arguments)
        assert (code, "no store" in err) == (1, True)
    assert not (folder / "gone").exists()
    run(capsys, "create", "s")
    for wrong in (["add", "s", "documents.jsonl", "--batch", "0"], ["delete", "s"], ["zz"],
                  ["search", "s", "documents.jsonl", "--where", "{"],
                  ["delete", "s", "--where", "{}"], ["create", "t", "--spec", "EDEN99"],
                  ["add", "s", "documents.jsonl", "--embed", "nowhere:f"]):  # fmt: skip
        assert run(capsys, *wrong)[0] == 2, wrong


def test_progress_is_shown(folder, capsys):
    run(capsys, "create", "s")
    code, out, err = run(capsys, "add", "s", "documents.jsonl", "--progress")
    assert code == 0
    assert "written: 3" in out
    assert "add [####" in err
