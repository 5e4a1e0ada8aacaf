import json

import numpy as np
import pytest

from benchmarks import queries
from benchmarks.systems import for_dimension
from vqindex import index_factory
from vqindex.datasets import Dataset


@pytest.fixture(scope="module")
def dataset():
    """Queries that ask for few dimensions only, in which rows differ less than in others."""
    rng = np.random.default_rng(0)
    base = (rng.standard_normal((3000, 64)) * np.geomspace(4, 1, 64)).astype(np.float32)
    asked = rng.standard_normal((120, 64)).astype(np.float32) * (np.arange(64) >= 52)
    truth = np.argsort(-asked @ base.T, axis=1, kind="stable")[:, :10]
    scores = np.take_along_axis(asked @ base.T, truth, axis=1)
    return Dataset("few", "ip", base, asked, truth.astype(np.int64), -scores)


@pytest.fixture(scope="module")
def record(dataset):
    cases = {
        "k": 10, "fit": 2000,
        "codes": [
            {"plain": "EDEN2", "aware": "EDEN2"},
            {"plain": "SAQ2", "aware": "SAQ2"},
            {"plain": "PQ{d/4}x4", "aware": "PQ{d/4}x4(weighting=queries)"},
        ],
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(queries.tomllib, "load", lambda file: cases)
        return queries.run(dataset)


def test_only_what_learns_from_queries_gains(record):
    same, aware, words = record["rows"]
    assert same["rows"] == same["queries"] > 0
    assert (same["gained"], same["gained_se"]) == (0, 0)
    assert words["index"] == "PQ16x4(weighting=queries)"
    assert words["gained"] != 0
    assert aware["gained"] == pytest.approx(aware["queries"] - aware["rows"])
    assert aware["gained"] > 4 * aware["gained_se"] > 0
    assert json.loads(json.dumps(record)) == record


def test_queries_that_are_asked_are_not_learned_from(dataset, record):
    known, asked = queries.halves(dataset)
    assert np.array_equal(np.concatenate([known, asked.queries]), dataset.queries)
    assert np.array_equal(asked.neighbors, dataset.neighbors[60:])
    assert (record["settings"]["known"], record["settings"]["asked"]) == (60, 60)


def test_every_case_can_be_measured():
    with queries.CASES.open("rb") as file:
        codes = queries.tomllib.load(file)["codes"]
    for d in (768, 384, 128):
        for case in codes:
            for spec in case.values():
                index_factory(for_dimension(spec, d))


def test_a_report(record):
    heading, _, *lines = queries.report(record).splitlines()
    assert "R@10 from rows" in heading
    assert [line.split()[0] for line in lines] == ["EDEN2", "SAQ2", "PQ16x4(weighting=queries)"]
