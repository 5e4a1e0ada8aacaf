"""One system, by a clock that only it moves: what is timed, on how many threads, and what not."""

from contextlib import contextmanager

import numpy as np
import pytest

from vqindex.datasets import synthetic
from vqindex.evaluate import LocalTrial


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Fake:
    """Trains in 1 s, builds in 5 s, and finds all neighbours in 10 ms a query."""

    library, name, version, bytes_per_row, stages = "fake", "F", "1", 7, {"scored": 3.0}

    def __init__(self, clock, truth):
        self.clock, self.truth, self.held, self.asked, self.settings = clock, truth, None, [], []

    @contextmanager
    def threads(self, count):
        self.held = count
        try:
            yield
        finally:
            self.held = None

    def fit(self, x):
        assert (x.dtype, x.flags.c_contiguous, self.held) == (np.float32, True, 2)
        self.clock.now += 1.0

    def add(self, x):
        assert self.held == 2
        self.clock.now += 5.0

    def configure(self, **parameters):
        self.settings.append(parameters)

    def search(self, q, k):
        assert self.held == 2
        self.asked.append((len(q), k))
        self.clock.now += 0.01 * len(q)
        return self.truth[: len(q), :k]

    def save(self, path):
        return False


@pytest.fixture
def clock(monkeypatch):
    fake = Clock()
    monkeypatch.setattr("time.perf_counter", fake)
    return fake


def trial_of(clock, *, nq=30, k=100, **options):
    data = synthetic(200, 4, nq, "l2", k=k)
    system = Fake(clock, data.neighbors)
    return system, LocalTrial(system, data, k=10, threads=2, **options)


def test_a_build_is_timed_once(clock):
    system, trial = trial_of(clock)
    built = trial.build()
    assert (built.train_s, built.build_s) == (pytest.approx(1), pytest.approx(6))
    assert (built.version, built.bytes_per_row, built.file_bytes) == ("1", 7, None)
    assert trial.build() is built
    assert clock.now == pytest.approx(6)
    assert system.held is None


def test_quality_asks_as_many_as_a_call_has_and_at_every_depth(clock):
    system, trial = trial_of(clock)
    found = trial.quality({"nprobe": 3}, 30)
    assert found.recall == {"1": 1, "10": 1, "100": 1}
    assert found.recall_by_distance["10"] == 1
    assert system.settings == [{"nprobe": 3}]
    system.asked.clear()
    assert trial.quality({}, 20).stages == {"scored": pytest.approx(3.0)}
    assert system.asked == [(20, 10), (10, 10), (30, 100)]


def test_depths_end_where_the_truth_does(clock):
    _, trial = trial_of(clock, k=20)
    assert set(trial.quality({}, 30).recall) == {"1", "10"}


def test_of_single_queries_only_some_are_asked(clock):
    system, trial = trial_of(clock, singles=4)
    asked, seconds = trial.round({}, 1)
    assert (asked, seconds) == (4, [pytest.approx(0.01)] * 4)
    assert system.asked == [(1, 10)] * 5  # the first twice
    asked, seconds = trial.round({}, 20)
    assert (asked, seconds) == (30, [pytest.approx(0.2), pytest.approx(0.1)])


def test_threads_are_let_go_when_a_system_fails(clock):
    system, trial = trial_of(clock)
    system.add = None
    with pytest.raises(TypeError):
        trial.build()
    assert system.held is None


def test_rows_and_queries_have_norm_one_under_cosine(clock):
    data = synthetic(200, 4, 30, "cosine", k=10)
    seen = []

    class Looks(Fake):
        def add(self, x):
            seen.append(x)

        def search(self, q, k):
            seen.append(q)
            return self.truth[: len(q), :k]

    trial = LocalTrial(Looks(clock, data.neighbors), data, k=10, threads=2)
    trial.build()
    trial.quality({}, 30)
    assert all(np.linalg.norm(x, axis=1) == pytest.approx(1, abs=1e-5) for x in seen)
