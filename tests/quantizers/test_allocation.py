"""Allocation against all allocations, and the weights it goes by."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vqindex.quantizers.allocation import (
    UNCODED,
    allocate,
    asked_differences,
    chance_share,
    near_differences,
    run_costs,
)
from vqindex.quantizers.levels import scalar_levels


def cost_of(costs, bits):
    whole = [*bits, *[0] * (len(costs) - len(bits))]
    return costs[np.arange(len(costs)), whole].sum()


def every(runs, budget):
    """All non-increasing bits that fill words and keep to the budget, of one or two words."""
    for words in range(1, runs // 8 + 1):
        # Of eight runs a word, here only the first three may differ from the last five.
        for some in product(range(1, 8), repeat=3):
            for last in range(1, 8):
                head = (*some, *[last] * 5)
                tails = [()] if words == 1 else [(b,) * 8 for b in range(1, 8)]
                for tail in tails:
                    bits = head + tail
                    if list(bits) == sorted(bits, reverse=True) and sum(bits) <= budget:
                        yield bits


@given(hnp.arrays(np.float64, (16, 8), elements=st.floats(0, 1)), st.integers(8, 60), st.booleans())
@settings(max_examples=15, deadline=None)
def test_no_allocation_is_better(steps, budget, one_word):
    costs = np.cumsum(steps[:, ::-1], axis=1)[:, ::-1]
    costs = costs[:8] if one_word else costs
    bits = allocate(costs, budget)
    assert list(bits) == sorted(bits, reverse=True)
    assert len(bits) % 8 == 0
    assert 8 <= len(bits) <= len(costs)
    assert all(1 <= b <= 7 for b in bits)
    assert sum(bits) <= budget
    best = min(cost_of(costs, other) for other in every(len(costs), budget))
    assert cost_of(costs, bits) <= best + 1e-9


def test_equal_directions_get_equal_bits():
    costs = run_costs(np.ones(128), np.ones(128))
    for bits in (1, 2, 4):  # and not two for every second one
        assert allocate(costs, bits * 16) == (bits,) * 16


def test_small_budgets_code_the_first_word():
    costs = run_costs(np.geomspace(1, 1e-3, 128), np.ones(128))
    assert allocate(costs, 8) == (1,) * 8


def test_bits_follow_the_spread_as_theory_says():
    """A direction four times as wide is worth two bits more, where the bits are many."""
    variances = np.repeat([16.0, 1.0], 64)
    bits = allocate(run_costs(variances, np.ones(128)), 5 * 16)
    assert bits == (6,) * 8 + (4,) * 8


def test_run_costs():
    variances, weights = np.arange(64.0), np.ones(64)
    costs = run_costs(variances, weights)
    assert costs.shape == (8, 8)
    squares = variances.reshape(8, 8).sum(axis=1)
    assert np.allclose(costs[:, 0], UNCODED * squares)
    d = scalar_levels(3).distortion
    assert np.allclose(costs[:, 3], squares * d / (1 - d))


def test_near_differences_are_those_of_the_nearest():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3)).astype(np.float32)
    away = ((x[:, None] - x) ** 2).astype(np.float64)
    order = np.argsort(away.sum(axis=2), axis=1)[:, 1:11]
    want = np.take_along_axis(away, order[..., None], axis=1).mean(axis=(0, 1))
    assert np.allclose(near_differences(x), want, rtol=1e-5)


def test_directions_that_neighbours_share_weigh_little():
    """Clusters far apart along the first direction, wide along the second."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 2)) + np.array([40, 0]) * rng.integers(0, 2, (2000, 1))
    near = near_differences((x - x.mean(axis=0)).astype(np.float32))
    assert near[0] == pytest.approx(near[1], rel=0.3)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_equal_rows_weigh_by_their_squares(n):
    x = np.tile(np.float32([1, 2]), (n, 1))
    assert near_differences(x).tolist() == [1, 4]


def test_queries_show_how_they_differ_from_rows_like_them():
    """Rows along two axes, queries beside them along a third: nothing else weighs."""
    x = np.float32([[1, 0, 0, 0], [0, 3, 0, 0]] * 10)
    q = np.float32([[1, 0, 0.1, 0], [0, 1, 0.1, 0]])
    found = asked_differences(x, q)
    assert found == pytest.approx([0, 0, 0.01 / 1.01, 0], abs=1e-7)
    assert asked_differences(x, 5 * q) == pytest.approx(found, abs=1e-7)
    assert asked_differences(x, x).tolist() == near_differences(x).tolist()


@pytest.mark.parametrize("rows", [1000, 8000])
def test_equal_dimensions_seem_to_differ_by_chance(rows):
    x = np.random.default_rng(0).standard_normal((rows, 200))
    for spreads, low, high in ((np.ones(200), 0.9, 1), (0.98 ** np.arange(200), 0, 0.2)):
        y = x * spreads
        axes = np.linalg.eigh(y.T @ y)[1]
        own, true = (y @ axes).astype(np.float32), spreads**2 @ axes**2
        variances = (own.astype(np.float64) ** 2).mean(axis=0)
        share = chance_share(own, variances)
        assert low <= share <= high
        shrunk = variances + share * (variances.mean() - variances)
        assert np.square(shrunk - true).sum() < np.square(variances - true).sum()


def test_one_dimension_has_no_chance_to_differ():
    x = np.ones((5, 1), np.float32)
    assert chance_share(x, np.ones(1)) == 0
