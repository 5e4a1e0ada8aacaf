"""Contests go round all systems, and a failing one holds up no other."""

from dataclasses import replace

import pytest

from vqindex.datasets import synthetic
from vqindex.evaluate import (
    Build,
    Entry,
    LocalTrial,
    Ours,
    Quality,
    Setting,
    Terms,
    contest,
    latest,
)

COSTS = Build(
    version="1", train_s=1.0, build_s=3.0, bytes_per_row=8, file_bytes=100, peak_bytes=200
)
FOUND = Quality(recall={"10": 0.5}, recall_by_distance={"10": 0.75}, stages={"scored": 7.0})
TERMS = Terms(
    dataset="d", dataset_hash="00", n=1, dim=2, metric="l2", threads=1, k=10, seed=0,
    machine={"cpu": "some"},
)  # fmt: skip


class Scripted:
    """A trial that writes down its calls; its n-th call takes n seconds."""

    def __init__(self, name, log, breaks=()):
        self.name, self.log, self.breaks = name, log, breaks

    def _do(self, step, answer):
        self.log.append((self.name, step))
        if step in self.breaks:
            raise RuntimeError(f"no {step}\n\n  at all")
        return answer

    def build(self):
        return self._do("build", COSTS)

    def quality(self, parameters, batch):
        return self._do("ask", FOUND)

    def round(self, parameters, batch):
        return self._do("round", (4, [1.0, 3.0] if batch == 1 else [2.0]))


def entry(name, log, breaks=(), batches=(1,)):
    settings = [Setting({"nprobe": 2}, batch) for batch in batches]
    return Entry(name, "spec", Scripted(name, log, breaks), settings, f"run {name}")


def test_rounds_alternate():
    log, told = [], []
    points = contest(
        [entry("a", log, batches=(1, 4)), entry("b", log)], TERMS, rounds=2,
        tell=lambda *step: told.append(step),
    )  # fmt: skip
    once = [("a", "build"), ("a", "ask"), ("a", "ask"), ("b", "build"), ("b", "ask")]
    assert log[:5] == once
    for turn in (log[5:8], log[8:]):
        assert sorted(turn) == [("a", "round"), ("a", "round"), ("b", "round")]
    assert told == [(step, f"{name} spec") for name, step in log]
    single, batch, other = points
    assert (single.batch, batch.batch, other.system) == (1, 4, "b")
    assert (single.qps.median, single.qps.rounds, single.qps.best) == (1.0, 2, 1.0)
    assert (single.latency.p50, batch.latency, batch.qps.median) == (2.0, None, 2.0)
    assert (single.build_s, single.train_s, single.file_bytes) == (3.0, 1.0, 100)
    assert (single.recall, single.stages) == ({"10": 0.5}, {"scored": 7.0})
    assert (single.command, single.machine, single.failed) == ("run a", {"cpu": "some"}, None)


def test_each_round_has_an_order_of_its_own_from_the_seed():
    def order(seed):
        log = []
        entries = [entry(name, log, batches=(1, 4)) for name in "abc"]
        contest(entries, replace(TERMS, seed=seed), rounds=20)
        names = [name for name, step in log if step == "round"]
        assert names[::2] == names[1::2]  # settings of a system stay together
        return ["".join(names[i : i + 6 : 2]) for i in range(0, 120, 6)]

    found = order(0)
    assert {"".join(sorted(turn)) for turn in found} == {"abc"}
    assert len(set(found)) > 3
    assert found == order(0) != order(1)


@pytest.mark.parametrize("step", ["build", "ask", "round"])
def test_what_fails_says_why_and_the_others_go_on(step):
    log = []
    broken, whole = contest(
        [entry("a", log, [step]), entry("b", log)], TERMS, rounds=2
    )  # fmt: skip
    assert broken.failed == f"RuntimeError: no {step} at all"
    assert (broken.qps, broken.latency) == (None, None)
    assert (broken.build_s is None) == (step == "build")
    assert bool(broken.recall) == (step == "round")
    assert whole.failed is None
    assert log.count(("a", step)) == 1
    assert log.count(("b", "round")) == 2


def test_of_points_measured_again_the_last_counts():
    first, other = contest([entry("a", []), entry("b", [])], TERMS, rounds=1)
    (again,) = contest([entry("a", [], ["round"])], TERMS, rounds=1)
    assert latest([first, other, again]) == [again, other]


def test_what_cannot_be_saved_is_measured_all_the_same(monkeypatch, caplog):
    def full(self, path):
        raise OSError("no space left")

    monkeypatch.setattr(Ours, "save", full)
    data = synthetic(100, 16, 5, "cosine")
    trial = LocalTrial(Ours("EDEN4", "cosine"), data, k=10)
    built = trial.build()
    assert (built.file_bytes, built.build_s > 0) == (None, True)
    assert trial.quality({}, 5).recall["10"] > 0.5
    assert "EDEN4 could not be saved: OSError('no space left')" in caplog.text


def test_a_trial_of_our_own_index():
    data = synthetic(1500, 16, 40, "cosine")
    trial = LocalTrial(Ours("IVF8,EDEN4,Rerank(f16)", "cosine"), data, k=10, singles=7)
    settings = [Setting({"nprobe": n}, batch) for n in (1, 6) for batch in (1, 40)]
    terms = Terms.of(data, threads=1, k=10, seed=0, machine={}, protocol={"rounds": 2})
    points = contest([Entry("vqindex", "s", trial, settings, "")], terms, rounds=2)
    assert [point.failed for point in points] == [None] * 4
    assert [point.protocol for point in points] == [{"rounds": 2}] * 4
    few, few_batch, all_lists, _ = points
    assert few.recall["10"] < 0.9 < 0.97 < all_lists.recall["10"]
    assert set(few.recall) == {"1", "10", "100"}
    assert all(few.recall_by_distance[k] >= few.recall[k] - 1e-9 for k in few.recall)
    assert all_lists.stages["lists"] == 6
    assert few.stages["scored"] < all_lists.stages["scored"] <= 1500
    assert 0 < few.train_s < few.build_s
    assert few.file_bytes > 1500 * 16 * 2
    assert (few.latency.p50 > 0, few_batch.latency) == (True, None)
    assert few.qps.best >= few.qps.high >= few.qps.median >= few.qps.low > 0
    assert (points[0].n, points[0].dim, points[0].dataset) == (1500, 16, data.name)
    assert points[0].dataset_hash == data.content_hash()
