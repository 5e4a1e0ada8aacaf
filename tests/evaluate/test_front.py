"""Fronts, and what lies between their points."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqindex.evaluate import family, front, rate_at

PAIRS = [(0.8, 400.0), (0.9, 100.0), (0.85, 90.0), (0.9, 99.0), (0.99, 25.0)]
FRONT = [(0.8, 400.0), (0.9, 100.0), (0.99, 25.0)]


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
