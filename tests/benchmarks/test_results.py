import json

from benchmarks import results


def test_records_are_appended_a_line_each(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    records = [{"command": "search", "rows": [{"recall": 0.5}]}, {"command": "search", "rows": []}]
    paths = {results.save(record) for record in records}
    assert paths == {tmp_path / "results" / "search.jsonl"}
    assert [json.loads(line) for line in paths.pop().read_text().splitlines()] == records
