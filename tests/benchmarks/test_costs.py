import json

import numpy as np
import pytest

from benchmarks import costs
from vqindex.datasets import synthetic
from vqindex.indexes import probe


@pytest.fixture(scope="module")
def record():
    cases = {
        "queries": 64, "rounds": 1, "nprobes": [2, 8],
        "lists": ["IVF16,EDEN2", "IVF16,EDEN1,Rerank(SQ8)"], "flat": ["EDEN4"],
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(costs.tomllib, "load", lambda file: cases)
        return costs.run(synthetic(5000, 64, 64, "cosine"))


def test_both_ways_of_every_case_are_timed(record):
    assert [(row["index"], row["nprobe"]) for row in record["lists"]] == [
        ("IVF16,EDEN2", 2), ("IVF16,EDEN2", 8),
        ("IVF16,EDEN1,Rerank(SQ8)", 2), ("IVF16,EDEN1,Rerank(SQ8)", 8),
    ]  # fmt: skip
    assert [row["twice"] for row in record["lists"]] == [False, False, True, True]
    assert all(row["one_us"] > 0 and row["other_us"] > 0 for row in record["lists"])
    assert record["lists"][0]["bounded"] < record["lists"][1]["bounded"]
    (flat,) = record["flat"]
    assert 0 < flat["share"] < 1
    assert flat["ratio"] == flat["one_us"] / flat["other_us"]
    assert json.loads(json.dumps(record)) == record


def test_searches_choose_again_afterwards(record):
    assert probe.Probe._probe.__name__ == "_probe"


def test_constants_are_found_again():
    rng = np.random.default_rng(0)
    rows = [
        {
            "scored": scored, "bounded": bounded, "twice": twice,
            "spared_us": (90 * scored + 0.2 * bounded - (20e3 if twice else 8e3)) / 1e3,
        }
        for scored, bounded, twice in zip(
            rng.uniform(0, 500, 12), rng.uniform(0, 1e5, 12), [False, True] * 6, strict=True
        )
    ]  # fmt: skip
    found = costs._fitted(rows)
    assert found == pytest.approx({"SCORED": 90, "BOUNDED": 0.2, "ONCE": 8e3, "TWICE": 20e3})
    assert costs._fitted([row | {"twice": False} for row in rows[::2]])["TWICE"] is None


def test_a_report(record):
    lists, constants, flat = costs.report(record).split("\n\n")
    assert len(lists.splitlines()) == 6
    assert [line.split()[0] for line in constants.splitlines()[2:]] == list(costs.NAMES)
    assert flat.splitlines()[-1] == "DENSE in use: 0.0135"
