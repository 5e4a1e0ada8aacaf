"""A user's own vectors: every index suggested is measured, one is recommended, and it holds."""

import json

import numpy as np
import pytest

import vqindex as vq
from vqindex import bench, cli
from vqindex.datasets import synthetic
from vqindex.evaluate import read_points, recall


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
    assert found.best.recall["10"] >= 0.93
    assert {p.batch for p in found.points} == {1, 60}
    (reason,) = {p.failed for p in found.points if p.spec == "EDEN1"}
    assert "recall@10 of 0.9" in reason
    assert "cannot be reached" in reason
    text = str(found)
    assert text.splitlines()[0] == "recall@10 of at least 0.93, 3,000 rows"
    assert "EDEN1: " in text

    names = {"vq": vq, "base": data.base}
    exec(found.code, names)
    ids = names["index"].search(data.queries, 10).ids
    assert recall(ids, data.neighbors, 10) == pytest.approx(found.best.recall["10"], abs=0.02)


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


def test_the_command_writes_what_it_found(data, tmp_path, capsys):
    np.save(tmp_path / "x.npy", data.base)
    np.save(tmp_path / "q.npy", data.queries)
    options = f"bench --base {tmp_path}/x.npy --queries {tmp_path}/q.npy --recall 0.9 --rounds 1"
    options += f" --specs F32 --batch --output {tmp_path}/out --json"
    assert cli.main(options.split()) == 0
    payload = json.loads(capsys.readouterr().out)
    points = read_points(tmp_path / "out" / "points.jsonl")
    assert {p.spec for p in points} == {"F32"}
    assert payload["best"]["batch"] == 60
    assert payload["code"].startswith('index = vq.index_factory("F32", metric="cosine")')
    assert str(tmp_path / "out" / "points.jsonl") in payload["files"]
    assert points[0].dataset == "x"


def test_wrong_data_is_named(data, tmp_path, capsys):
    np.save(tmp_path / "x.npy", data.base)
    np.save(tmp_path / "q.npy", data.queries[:, :5])
    options = f"bench --base {tmp_path}/x.npy --queries {tmp_path}/q.npy"
    assert cli.main(options.split()) == 1
    assert "queries must have shape" in capsys.readouterr().err
