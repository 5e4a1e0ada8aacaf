"""Figures of ranked rows beside trec_eval's and scikit-learn's, and worked by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vqindex.errors import ShapeError
from vqindex.evaluate import hit_rate, mean_average_precision, mrr, ndcg, rank

FIGURES = {
    "mrr": mrr,
    "ndcg": ndcg,
    "mean_average_precision": mean_average_precision,
    "hit_rate": hit_rate,
}
CASES = json.loads(Path(__file__).with_name("ranking.json").read_text("utf-8"))


def ids(*rows):
    return np.array(rows, np.int64)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("figure", FIGURES)
def test_it_is_trec_evals(case, figure):
    found, gains = np.array(case["found"]), [dict(own) for own in case["gains"]]
    for k, wanted in case["trec_eval"].items():
        own = FIGURES[figure](found, gains, int(k))
        assert own == pytest.approx(wanted[figure], rel=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_it_is_scikit_learns(case):
    found, gains = np.array([case["order"]]), [dict(case["gains"][0])]
    wanted = case["scikit-learn"]
    for k, its in wanted["ndcg"].items():
        assert ndcg(found, gains, int(k)) == pytest.approx(its, rel=1e-12)
    whole = mean_average_precision(found, gains, found.size)
    assert whole == pytest.approx(wanted["average_precision"], rel=1e-12)


def test_every_query_has_its_own():
    found = ids([1, 2], [3, 4], [5, 6])
    each = rank(found, [{2: 1.0, 9: 1.0}, {}, {5: 3.0}], 2)
    assert each.queries.tolist() == [0, 2]
    assert each.reciprocal_rank.tolist() == [0.5, 1]
    assert each.average_precision.tolist() == [0.25, 1]
    assert each.ndcg == pytest.approx([1 / math.log2(3) / (1 + 1 / math.log2(3)), 1])


def test_ids_far_apart_repeats_and_padding():
    large = 2**62
    found = ids([-1, large, large, -1], [large, 7, 7, 1])
    gains = [{large: 1.0, -5: 2.0}, {7: 1.0, large - 1: 1.0}]
    each = rank(found, gains, 4)
    assert each.reciprocal_rank.tolist() == [0.5, 0.5]
    assert each.average_precision.tolist() == [0.25, 0.25]


def test_nothing_found_is_worth_nothing():
    for figure in FIGURES.values():
        assert figure(np.empty((1, 0), np.int64), [{1: 1.0}]) == 0


def test_mrr():
    found = ids([9, 7, 1], [1, 2, 3], [4, 5, 6], [4, 5, 6])
    gains = [{7: 1.0, 1: 1.0}, {1: 2.0}, {8: 1.0}, {4: 0.0}]  # the last has nothing relevant
    assert mrr(found, gains) == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert mrr(found, gains, k=1) == pytest.approx(1 / 3)


def test_ndcg_by_hand():
    """Gains 3 2 3 0 1 2 of six found; two more rows of gains 3 and 2 were missed."""
    gains = dict(enumerate([3.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 2.0]))
    log2 = math.log2
    found = 3 + 2 / log2(3) + 3 / 2 + 0 + 1 / log2(6) + 2 / log2(7)
    best = 3 + 3 / log2(3) + 3 / 2 + 2 / log2(5) + 2 / log2(6) + 2 / log2(7)
    assert ndcg(ids([0, 1, 2, 3, 4, 5]), [gains], 6) == pytest.approx(found / best)
    assert found / best == pytest.approx(0.785, abs=5e-4)  # a textbook's figure


@given(hnp.arrays(np.int64, (3, 5), elements=st.integers(-1, 6)))
def test_ranked_figures_stay_within_bounds(found):
    gains = [{0: 2.0, 1: 1.0}, {5: 1.0}, {3: 0.5, 2: 0.0}]
    assert 0 <= ndcg(found, gains, 5) <= 1 + 1e-12
    assert 0 <= mrr(found, gains, 5) <= 1


def test_ndcg_of_the_best_order_is_one():
    assert ndcg(ids([4, 2, 9]), [{2: 1.0, 4: 3.0}], 3) == 1
    assert ndcg(ids([2, 4, 9]), [{2: 1.0, 4: 3.0}], 3) < 1


@pytest.mark.parametrize("figure", FIGURES.values())
def test_ranked_figures_need_relevant_rows(figure):
    with pytest.raises(ValueError, match="at least one query"):
        figure(ids([1]), [{1: 0.0}])
    with pytest.raises(ShapeError, match=r"one mapping for each row .* got 0 for \(1, 1\)"):
        figure(ids([1]), [])
    with pytest.raises(ShapeError, match="k must be at least 1, got 0"):
        figure(ids([1]), [{1: 1.0}], 0)
