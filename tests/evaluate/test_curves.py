"""Fronts and what lies between their points; the sweep, by a clock that only systems move."""

from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqindex.datasets import synthetic
from vqindex.evaluate import (
    Ours,
    Rate,
    Sweep,
    families,
    family,
    front,
    measure_curves,
    rate_at,
)

PAIRS = [(0.8, 400.0), (0.9, 100.0), (0.85, 90.0), (0.9, 99.0), (0.99, 25.0)]
FRONT = [(0.8, 400.0), (0.9, 100.0), (0.99, 25.0)]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Fake:
    """Finds as many of ten neighbours as it looks into lists, in a millisecond each."""

    library, name, bytes_per_row = "fake", "IVF16,F", 9

    def __init__(self, clock, truth, most=10):
        self.clock, self.truth, self.most, self.settings = clock, truth, most, None
        self.asked, self.held = [], None

    @contextmanager
    def threads(self, count):
        self.held = count
        try:
            yield
        finally:
            self.held = None

    def fit(self, x):
        self.clock.now += 3.0

    def add(self, x):
        self.clock.now += 4.0

    def configure(self, **settings):
        self.settings = settings

    def search(self, q, k):
        assert self.held == 2
        self.asked.append((tuple(self.settings.values()), len(q)))
        found = min(self.settings["nprobe"], self.most)
        self.clock.now += 1e-3 * self.settings["nprobe"] * len(q)
        ids = self.truth[: len(q), :k].copy()
        ids[:, found:] = -1
        return ids


@pytest.fixture
def clock(monkeypatch):
    fake = Clock()
    monkeypatch.setattr("time.perf_counter", fake)
    return fake


@pytest.fixture(scope="module")
def data():
    return synthetic(200, 4, 20, "l2", k=10)


def test_fronts():
    assert front(PAIRS) == FRONT
    assert front([]) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1, 1e6)), max_size=12))
def test_nothing_is_better_than_a_front(pairs):
    best = front(pairs)
    assert best == sorted(best)
    for recall, rate in pairs:
        assert any(a >= recall and b >= rate for a, b in best)
    for recall, rate in best:
        assert not any(a >= recall and b >= rate for a, b in pairs if (a, b) != (recall, rate))


def test_rates_between_points():
    assert rate_at(PAIRS, 0.9) == pytest.approx(100)
    assert rate_at(PAIRS, 0.85) == pytest.approx(200)  # halfway of a logarithm
    assert rate_at(PAIRS, 0.945) == pytest.approx(50)
    assert rate_at(PAIRS, 0.99) == pytest.approx(25)
    assert rate_at(PAIRS, 0.5) == 400  # no more is known
    assert rate_at(PAIRS, 0.991) is None
    assert rate_at([], 0.5) is None


def test_families_differ_in_more_than_lists():
    assert family("RR,IVF64,PQ8x4fs") == "RR,IVF,PQ8x4fs"
    assert family("IVF8,EDEN4,Rerank(f16)") == "IVF,EDEN4,Rerank(f16)"


def test_settings_from_the_least_recall_to_enough(clock, data):
    system = Fake(clock, data.neighbors)
    sweep = Sweep(system, [1, 4, 8, 9, 10, 12], [None, 2])
    (curve,) = measure_curves([sweep], data, rounds=2, singles=3, threads=2)
    assert (curve.library, curve.name, curve.bytes_per_row) == ("fake", "IVF16,F", 9)
    assert curve.build_s == pytest.approx(7)
    assert [spot.settings for spot in curve.spots] == [
        *({"nprobe": n} for n in (8, 9, 10)),
        *({"nprobe": n, "oversample": 2} for n in (8, 9, 10)),
    ]
    assert [spot.recall for spot in curve.spots] == [0.8, 0.9, 1.0] * 2
    assert [spot.batch.median for spot in curve.spots[:3]] == pytest.approx([125, 1000 / 9, 100])
    assert curve.pairs("single")[0] == (0.8, pytest.approx(125))
    assert isinstance(curve.spots[0].single, Rate)
    assert families([curve, curve]) == {("fake", "IVF,F"): [curve, curve]}


def test_what_more_lists_do_not_help_is_not_timed(clock, data):
    sweep = Sweep(Fake(clock, data.neighbors, most=9), [8, 9, 10, 12])
    (curve,) = measure_curves([sweep], data, rounds=1, threads=2)
    assert [spot.settings["nprobe"] for spot in curve.spots] == [8, 9]


def test_settings_and_systems_take_turns(clock, data):
    systems = [Fake(clock, data.neighbors) for _ in range(2)]
    systems[1].asked = systems[0].asked
    measure_curves([Sweep(s, [9, 10]) for s in systems], data, rounds=2, singles=2, threads=2)
    turn = [((n,), size) for n in (9, 10) for size in (20, 1, 1, 1)]
    assert systems[0].asked == [((9,), 20), ((10,), 20)] * 2 + turn * 4


def test_ours(monkeypatch):
    data = synthetic(600, 16, 20, "cosine")
    sweep = Sweep(Ours("IVF8,EDEN4,Rerank(f32)", "cosine"), [2, 4, 8], [4])
    (curve,) = measure_curves([sweep], data, rounds=1, singles=2)
    recalls = [spot.recall for spot in curve.spots]
    assert recalls == sorted(recalls)
    assert recalls[-1] > 0.97
