import pytest

from benchmarks import stopwatch


def test_a_visit_counts_by_its_fastest_call(monkeypatch):
    clock = iter([0, 0.5, 1.5, 10, 10.75, 11])  # a start and two calls of each round
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: next(clock))
    calls, said = [], []
    (rate,) = stopwatch.rates([lambda: calls.append(1)], 2, 2, said.append)
    assert (rate.best, rate.median) == (4, 3)
    assert rate.spread == pytest.approx(2 / 3)
    assert len(calls) == 6  # and one before each visit
    assert said == ["measure, round 1 of 2", "measure, round 2 of 2"]


def test_every_round_visits_all():
    order = []
    found = stopwatch.rates([lambda: order.append("a"), lambda: order.append("b")], 0, 2, str)
    assert len(found) == 2
    assert "".join(order) == "aabbaabb"
