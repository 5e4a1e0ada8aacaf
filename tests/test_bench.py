"""A user's own vectors: every index suggested is measured, one is recommended, and it holds."""

import json

import numpy as np
import pytest

import vqindex as vq
from vqindex import bench, cli
from vqindex.datasets import Dataset, ground_truth, synthetic
from vqindex.evaluate import read_points, recall
from vqindex.tune import tune


@pytest.fixture(scope="module")
def data():
    return synthetic(3000, 32, 60, "cosine")


def test_suggestions_grow_with_the_rows():
    few, many = bench.suggestions(1000, 8), bench.suggestions(1_000_000, 768)
    assert set(few) < set(many)
    assert not any("IVF" in spec for spec in few)
    assert [vq.index_factory(spec).spec for spec in many] == many


def test_the_recommended_index_reaches_the_target(data):
    specs = ["F32", "EDEN1", "EDEN2,Rerank(f16)"]
    found = bench.run(data.base, data.queries, recall=0.93, specs=specs, rounds=2)
    most = 3 * (0.93 * 0.07 / 30) ** 0.5  # three standard errors, at their largest, of 30 queries
    assert found.best.recall["10"] >= 0.93 - most
    assert {p.batch for p in found.points} == {1, 30}
    (reason,) = {p.failed for p in found.points if p.spec == "EDEN1"}
    assert "recall@10 of 0.9" in reason
    assert "cannot be reached" in reason
    text = str(found)
    assert text.splitlines()[:2] == [
        "recall@10 of at least 0.93, 3,000 rows", "queries: 30 to tune with, 30 to measure",
    ]  # fmt: skip
    assert "EDEN1: " in text

    names = {"vq": vq, "base": data.base}
    exec(found.code, names)
    ids = names["index"].search(data.queries[1::2], 10).ids
    assert recall(ids, data.neighbors[1::2], 10) == pytest.approx(found.best.recall["10"], abs=0.02)


def test_queries_that_are_tuned_with_are_not_measured(data, monkeypatch):
    asked = []

    def tuned(index, queries, *rest, **options):
        asked.append((queries, options["truth"]))
        return tune(index, queries, *rest, **options)

    monkeypatch.setattr(bench, "tune", tuned)
    queries = data.queries[:11]
    found = bench.run(data.base, queries, specs=["EDEN4"], recall=0.9, rounds=1)
    assert (found.tuned, found.others) == (6, 5)
    assert all(np.array_equal(seen, queries[::2]) for seen, _ in asked)
    distances, neighbors = ground_truth(data.base, queries, 100, "cosine")
    others = Dataset(
        "data", "cosine", data.base, queries[1::2], neighbors[1::2], distances[1::2]
    )  # fmt: skip
    assert {p.dataset_hash for p in found.points} == {others.content_hash()}


def test_a_target_out_of_reach_is_said(data):
    found = bench.run(data.base, data.queries, recall=1.0, specs=["EDEN2"], rounds=1)
    assert (found.best, found.code) == (None, "")
    assert "No index reaches it." in str(found)


@pytest.mark.parametrize("k", [20, 150, 4000])
def test_as_many_neighbours_as_are_asked_for(data, k):
    found = bench.run(data.base, data.queries[:1], k=k, specs=["F32"], rounds=1)
    (point,) = found.points  # one query is all queries
    assert (point.k, point.recall.get(str(k))) == (k, 1.0 if k <= 3000 else None)
    assert f"recall@{k} of at least" in str(found)
    assert "queries: 1 to tune with, the same to measure" in str(found)


def test_the_command_writes_what_it_found(data, tmp_path, capsys):
    np.save(tmp_path / "x.npy", data.base)
    np.save(tmp_path / "q.npy", data.queries)
    options = f"bench --base {tmp_path}/x.npy --queries {tmp_path}/q.npy --recall 0.9 --rounds 1"
    options += f" --specs F32 --batch --output {tmp_path}/out --json"
    assert cli.main(options.split()) == 0
    payload = json.loads(capsys.readouterr().out)
    points = read_points(tmp_path / "out" / "points.jsonl")
    assert {p.spec for p in points} == {"F32"}
    assert payload["best"]["batch"] == 30
    assert payload["code"].startswith('index = vq.index_factory("F32", metric="cosine")')
    assert str(tmp_path / "out" / "points.jsonl") in payload["files"]
    assert points[0].dataset == "x"


def test_wrong_data_is_named(data, tmp_path, capsys):
    np.save(tmp_path / "x.npy", data.base)
    np.save(tmp_path / "q.npy", data.queries[:, :5])
    options = f"bench --base {tmp_path}/x.npy --queries {tmp_path}/q.npy"
    assert cli.main(options.split()) == 1
    assert "queries must have shape" in capsys.readouterr().err
