import json

import numpy as np
import pytest

from benchmarks import filters
from vqindex import index_factory
from vqindex.datasets import synthetic

CASE = {"shares": [1.0, 0.01], "singles": 3, "seconds": 0.01, "rounds": 2}


@pytest.fixture(scope="module")
def dataset():
    return synthetic(3000, 64, 20, "cosine")


@pytest.mark.parametrize(("share", "allowed"), [(1.0, 3000), (0.5, 1500), (0.001, 3), (1e-9, 1)])
def test_masks_allow_a_share_of_rows(share, allowed):
    chosen = filters.mask(3000, share, 0)
    assert (chosen.dtype, len(chosen), chosen.sum()) == (bool, 3000, allowed)
    assert (chosen == filters.mask(3000, share, 0)).all()
    assert allowed in (1, 3000) or (chosen != filters.mask(3000, share, 1)).any()
    assert filters.mask(3000, None, 0) is None


def test_times_are_told_a_query_and_beside_none_filtered(dataset, monkeypatch):
    """The whole search takes 1 ms, that of one query .1 ms, with a filter half as long."""
    index = index_factory("EDEN4")
    index.add(dataset.base)

    class Rate:
        def __init__(self, call):
            _, queries, _, chosen = call.args
            seconds = (1e-3 if call.func is filters.ask_all else 1e-4 * len(queries)) * (
                1 if chosen is None else 0.5
            )
            self.median, self.spread = 1 / seconds, 0.25

    monkeypatch.setattr(filters.stopwatch, "rates", lambda calls, *_: [Rate(c) for c in calls])
    plain, all_rows, few = filters.times(index, dataset.queries, 10, CASE, 0)
    assert (plain["share"], plain["allowed"]) == (None, 3000)
    assert (few["share"], few["allowed"], all_rows["allowed"]) == (0.01, 30, 3000)
    assert [plain["batch_us"], plain["single_us"]] == pytest.approx([50, 100])
    assert [few["batch_us"], few["single_us"]] == pytest.approx([25, 50])
    assert [plain["batch_ratio"], few["single_ratio"]] == pytest.approx([1, 0.5])
    assert few["spread"] == 0.25


def test_searches_are_those_with_the_filter(dataset, monkeypatch):
    index, asked = index_factory("F32"), []
    index.add(dataset.base)
    monkeypatch.setattr(index, "search", lambda q, k, **rest: asked.append((np.shape(q), k, rest)))
    chosen = filters.mask(3000, 0.1, 0)
    filters.ask_all(index, dataset.queries, 7, chosen)
    filters.ask_each(index, dataset.queries[:2], 7, None)
    assert asked == [
        ((20, 64), 7, {"filter": chosen, "threads": 1}),
        *[((64,), 7, {"filter": None, "threads": 1})] * 2,
    ]


def test_run_and_report(dataset, tmp_path, monkeypatch):
    cases = tmp_path / "filters.toml"
    cases.write_text(
        'specs = ["EDEN2", "SQ8"]\nks = [1, 5]\nshares = [0.5]\nsingles = 2\nseconds = 0.001\n'
        "rounds = 1\n"
    )
    monkeypatch.setattr(filters, "CASES", cases)
    record = filters.run(dataset)
    assert [(row["index"], row["k"], row["share"]) for row in record["rows"]] == [
        (spec, k, share) for spec in ("EDEN2", "SQ8") for k in (1, 5) for share in (None, 0.5)
    ]
    assert record["settings"]["threads"] == 1
    assert json.loads(json.dumps(record)) == record
    assert all(row["batch_us"] > 0 and row["single_us"] > 0 for row in record["rows"])
    lines = filters.report(record).splitlines()
    assert lines[0].split()[:4] == ["index", "k", "share", "allowed"]
    assert lines[2].split()[:4] == ["EDEN2", "1", "-", "3,000"]
