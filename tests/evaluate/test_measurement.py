"""The stopwatch, by a clock that only systems move."""

from contextlib import contextmanager

import numpy as np
import pytest

from vqindex.datasets import synthetic
from vqindex.evaluate import Rate, measure


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Fake:
    """Builds in 5 s, answers a query in `cost` s, exactly, and gets slower with every batch."""

    library = "fake"
    bytes_per_row = 7

    def __init__(self, name, cost, clock, log, truth, slower=1.0):
        self.name, self.cost, self.clock, self.log = name, cost, clock, log
        self.truth, self.slower, self.held = truth, slower, None

    @contextmanager
    def threads(self, count):
        self.held = count
        try:
            yield
        finally:
            self.held = None

    def add(self, x):
        assert x.dtype == np.float32
        assert x.flags.c_contiguous
        self.clock.now += 5.0

    def search(self, q, k):
        assert self.held == 2
        self.log.append((self.name, len(q), k))
        self.clock.now += self.cost * len(q)
        if len(q) == len(self.truth) and k == 10:
            self.cost *= self.slower
        return self.truth[: len(q), :k]


@pytest.fixture
def clock(monkeypatch):
    fake = Clock()
    monkeypatch.setattr("time.perf_counter", fake)
    return fake


@pytest.fixture(scope="module")
def data():
    return synthetic(200, 4, 30, "l2", k=100)


def test_figures(clock, data):
    log = []
    systems = [Fake("quick", 0.01, clock, log, data.neighbors),
               Fake("slow", 0.1, clock, log, data.neighbors)]  # fmt: skip
    quick, slow = measure(systems, data, rounds=3, singles=4, threads=2)
    assert (quick.library, quick.name, quick.bytes_per_row) == ("fake", "quick", 7)
    assert quick.build_s == pytest.approx(5)
    assert quick.recall == quick.distance_recall == {1: 1.0, 10: 1.0, 100: 1.0}
    rates = [quick.batch.median, quick.batch.best, quick.single.median]
    assert rates == pytest.approx([100, 100, 100])
    assert [slow.batch.median, slow.single.median] == pytest.approx([10, 10])
    assert slow.batch.spread == pytest.approx(0, abs=1e-9)


def test_systems_take_turns(clock, data):
    log = []
    systems = [Fake(name, 0.01, clock, log, data.neighbors) for name in "ab"]
    measure(systems, data, rounds=2, singles=3, k=5, threads=2)
    warm = [(name, 30, k) for name in "ab" for k in (1, 10, 100)]
    turns = [turn for name in "ab" for turn in [(name, 30, 5)] + [(name, 1, 5)] * 4]
    assert log == warm + turns * 2


def test_threads_are_let_go_when_a_system_fails(clock, data):
    first = Fake("first", 0.01, clock, [], data.neighbors)
    second = Fake("second", 0.01, clock, [], data.neighbors)
    second.add = None
    with pytest.raises(TypeError):
        measure([first, second], data, rounds=1, threads=2)
    assert first.held is None
    assert second.held is None


def test_rounds_are_summed_up(clock, data):
    """The search for recall@10 takes 0.01 s a query, then rounds 0.02, 0.04 and 0.08."""
    system = Fake("tiring", 0.01, clock, [], data.neighbors, slower=2.0)
    batch = measure([system], data, rounds=3, singles=1, threads=2)[0].batch
    assert batch == Rate(pytest.approx(50), pytest.approx(25), pytest.approx((50 - 12.5) / 25))


def test_depths_end_where_the_truth_does(clock):
    small = synthetic(50, 4, 30, "l2", k=20)
    system = Fake("one", 0.01, clock, [], small.neighbors)
    assert set(measure([system], small, rounds=1, threads=2)[0].recall) == {1, 10, 20}
