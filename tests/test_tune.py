"""Tuning chooses the fastest settings that reach the recall; what is fast is told by the tests."""

import itertools
import statistics
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vqindex as vq
from vqindex.datasets import synthetic
from vqindex.evaluate import recall
from vqindex.tune import EPS0, OVERSAMPLE, frontier, ladder, least, recall_of

module = sys.modules["vqindex.tune"]  # its name in the package is that of the function
DATA = synthetic(2000, 16, 60, "l2", k=10)


@pytest.fixture(scope="module")
def ivf():
    index = vq.index_factory("IVF20,EDEN2,Rerank(f32)", metric="l2")
    index.add(DATA.base)
    return index


@pytest.fixture
def fresh(ivf):
    """The same index, whatever another test did to its settings."""
    ivf.configure(nprobe=32, oversample=4, eps0=3.5, stages="on")
    return ivf


@pytest.fixture
def costs(monkeypatch):
    """Lets a test say what a search of some settings takes."""

    def tell(cost):
        def seconds(search, queries, single):
            return cost(
                **{name: search.keywords.get(name) for name in ("nprobe", "oversample", "eps0")}
            )

        monkeypatch.setattr(module, "seconds", seconds)

    return tell


def found_with(index, **settings):
    return recall(index.search(DATA.queries, 10, **settings).ids, DATA.neighbors, 10)


@pytest.fixture(scope="module")
def grid(ivf):
    """The recall of every choice of lists and of candidates, of which lists have enough."""
    return {
        (nprobe, oversample): found_with(ivf, nprobe=nprobe, oversample=oversample)
        for nprobe, oversample in itertools.product(ladder(20), OVERSAMPLE[:6])
    }


@pytest.mark.parametrize("target", [0.5, 0.8, 0.9, 0.97])
@pytest.mark.parametrize("price", [0.1, 3, 100])
def test_no_lists_and_candidates_that_reach_the_target_are_faster(
    fresh, grid, costs, target, price, monkeypatch
):
    monkeypatch.setattr(module, "OVERSAMPLE", OVERSAMPLE[:6])
    costs(lambda nprobe, oversample, eps0: nprobe + price * oversample)
    chosen = vq.tune(fresh, DATA.queries, recall=target).chosen
    # More lists may also find less, where candidates are few: what counts is what more cannot undo.
    reach = [
        n + price * o
        for n, o in grid
        if all(found >= target for (a, b), found in grid.items() if a >= n and b >= o)
    ]
    assert chosen.recall >= target
    assert chosen.microseconds <= 1e6 * min(reach)


def test_the_bound_is_narrowed_where_that_pays(fresh, costs):
    costs(lambda nprobe, oversample, eps0: 10 + eps0)
    cheap = vq.tune(fresh, DATA.queries, recall=0.6).chosen
    assert cheap.settings["eps0"] < EPS0[-1]
    assert cheap.recall >= 0.6
    costs(lambda nprobe, oversample, eps0: 10 - eps0)
    assert vq.tune(fresh, DATA.queries, recall=0.6).chosen.settings["eps0"] == EPS0[-1]


def test_more_lists_may_pay_for_a_narrower_bound(costs, monkeypatch):
    """Recall is 0.6 + 0.012 nprobe + 0.02 eps0: 0.802 of 11 lists at 3.5, 0.804 of 12 at 3."""

    def search(self, q, k, *, nprobe, eps0, threads):
        ids = DATA.neighbors.copy()
        ids.ravel()[round(ids.size * (0.6 + 0.012 * nprobe + 0.02 * eps0)) :] = -1
        return SimpleNamespace(ids=ids)

    index = vq.index_factory("IVF20,EDEN2", metric="l2")
    index.add(DATA.base)
    monkeypatch.setattr(vq.IVFIndex, "search", search)
    for price, best in ((10, (12, 3.0)), (0.1, (11, 3.5))):
        costs(lambda nprobe, oversample, eps0, price=price: nprobe + price * eps0)
        chosen = vq.tune(index, DATA.queries, recall=0.8, base=DATA.base).chosen
        assert tuple(chosen.settings.values()) == best


def test_the_index_has_what_was_chosen_and_it_gives_what_it_says(fresh):
    before = fresh.settings
    tuning = vq.tune(fresh, DATA.queries, recall=0.9, single=False)
    chosen = tuning.chosen
    assert {name: fresh.settings[name] for name in chosen.settings} == chosen.settings
    assert fresh.settings["stages"] == before["stages"]
    assert fresh.settings != before
    assert found_with(fresh) == chosen.recall >= 0.9
    timed = [point for point in tuning.points if point.microseconds is not None]
    assert chosen in timed
    assert all(point.recall >= 0.9 for point in timed)
    assert [point.recall for point in tuning.points] == sorted(p.recall for p in tuning.points)
    assert (tuning.k, tuning.queries, tuning.target, tuning.single) == (10, 60, 0.9, False)


def test_tuning_does_not_depend_on_what_was_set_before(fresh, costs):
    costs(lambda nprobe, oversample, eps0: nprobe + oversample + eps0)
    first = vq.tune(fresh, DATA.queries, recall=0.9)
    assert vq.tune(fresh, DATA.queries, recall=0.9) == first


def test_originals_and_rows_and_ids_are_the_same_truth(fresh, costs):
    costs(lambda nprobe, oversample, eps0: nprobe + oversample + eps0)
    own = vq.tune(fresh, DATA.queries, recall=0.9)
    assert vq.tune(fresh, DATA.queries, recall=0.9, base=DATA.base) == own
    assert vq.tune(fresh, DATA.queries, recall=0.9, truth=DATA.neighbors) == own
    other = vq.tune(fresh, DATA.queries, 3, 0.9, truth=DATA.neighbors)
    assert other == vq.tune(fresh, DATA.queries, 3, 0.9)
    assert other.k == 3


def test_a_target_out_of_reach_names_the_best_and_changes_nothing():
    index = vq.index_factory("IVF20,EDEN1", metric="l2")
    index.add(DATA.base)
    index.configure(nprobe=3)
    best = found_with(index, nprobe=20)
    match = rf"recall@10 of 1 cannot be reached; the most is nprobe=20, eps0=3.5: recall {best:.4f}"
    with pytest.raises(ValueError, match=match):
        vq.tune(index, DATA.queries, recall=1, truth=DATA.neighbors)
    assert index.settings["nprobe"] == 3


def test_a_flat_index_has_less_to_choose(costs):
    costs(lambda nprobe, oversample, eps0: 1 + (oversample or 0) + (eps0 or 0))
    flat = vq.index_factory("EDEN4", metric="l2")
    flat.add(DATA.base)
    assert list(vq.tune(flat, DATA.queries, recall=0.5, base=DATA.base).chosen.settings) == ["eps0"]
    flat.configure(stages="off")
    tuning = vq.tune(flat, DATA.queries, recall=0.5, base=DATA.base)
    assert (tuning.chosen.settings, len(tuning.points)) == ({}, 1)
    flat.configure(bits=1)
    before = flat.settings
    tuning = vq.tune(flat, DATA.queries, recall=0.5, base=DATA.base)
    assert list(tuning.chosen.settings) == ["oversample"]
    assert flat.settings == before | tuning.chosen.settings
    finer = vq.index_factory("EDEN1,Rerank(f32)", metric="l2")
    finer.add(DATA.base)
    assert list(vq.tune(finer, DATA.queries).chosen.settings) == ["oversample", "eps0"]


@pytest.mark.parametrize("single", [True, False])
def test_queries_are_timed_one_by_one_or_together(fresh, single, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "SINGLES", 7)  # every ninth of 60
    taken = module.seconds(lambda q: asked.append(q.shape), DATA.queries, single)
    assert asked == ([(16,)] * 8 if single else [(60, 16)])  # one of the eight is not timed
    assert taken > 0


def test_progress_ends_at_its_total_and_may_stop_it(fresh):
    before, told = fresh.settings, []
    vq.tune(fresh, DATA.queries, recall=0.8, progress=lambda done, all_: told.append((done, all_)))
    assert told == [(i + 1, len(told)) for i in range(len(told))]
    fresh.configure(**before)

    def stop(done, total):
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vq.tune(fresh, DATA.queries, recall=0.8, progress=stop)
    assert fresh.settings == before


def test_it_is_shown_as_a_table(fresh, costs):
    costs(lambda nprobe, oversample, eps0: 1e-6 * (nprobe + oversample + eps0))
    tuning = vq.tune(fresh, DATA.queries, recall=0.9)
    title, head, *lines = repr(tuning).splitlines()
    assert title == "recall@10 of at least 0.9, 60 queries, one a call"
    assert head.split() == ["nprobe", "oversample", "eps0", "recall", "+-", "us/query"]
    assert len(lines) == len(tuning.points)
    (best,) = [line for line in lines if line.endswith("<- chosen")]
    assert best.split()[5] == f"{tuning.chosen.microseconds:.1f}"
    assert str(tuning.chosen).endswith("us a query")


def test_what_cannot_be_tuned(fresh):
    q, before = DATA.queries, fresh.settings
    wrong = [
        ({"recall": 0}, ValueError, "above 0 and at most 1"),
        ({"recall": 1.5}, ValueError, "above 0 and at most 1"),
        ({"recall": "0.9"}, TypeError, "must be a number"),
        ({"k": 0}, ValueError, "k must be"),
        ({"queries": q[:1]}, vq.ShapeError, "at least 2 queries"),
        ({"queries": q[0]}, vq.ShapeError, "at least 2 queries"),
        ({"queries": q[:, 1:]}, vq.ShapeError, r"queries must have shape"),
        (
            {"truth": DATA.neighbors[:, :9]},
            vq.ShapeError,
            r"shape \(60, 10\) or wider, got \(60, 9",
        ),
        ({"truth": DATA.neighbors[1:]}, vq.ShapeError, r"shape \(60, 10\)"),
        ({"truth": DATA.distances}, vq.DtypeError, "integer ids, got float32"),
        ({"base": DATA.base[1:]}, vq.ShapeError, "2,000 rows"),
    ]
    for arguments, error, match in wrong:
        with pytest.raises(error, match=match):
            vq.tune(fresh, **({"queries": q} | arguments))
    assert fresh.settings == before


def test_an_index_without_codes_is_refused():
    index = vq.index_factory("IVF20,EDEN4", metric="l2")
    for rows in (0, 30):
        index.add(DATA.base[:rows])
        with pytest.raises(ValueError, match="fitted and has rows"):
            vq.tune(index, DATA.queries, truth=DATA.neighbors)


def test_recall_and_its_standard_error():
    truth = np.array([[1, 2], [3, 4], [5, -1]])
    found = np.array([[2, 1], [3, 9], [5, -1]])
    mean, error = recall_of(found, truth)
    assert mean == recall(found, truth, 2) == 4 / 5
    assert error == pytest.approx(statistics.stdev([1, 0.5, 1]) / 3**0.5, rel=1e-12)


@given(st.integers(1, 100_000))
def test_ladders_end_at_the_most_and_rise_by_a_tenth(most):
    steps = ladder(most)
    assert (steps[0], steps[-1]) == (1, most)
    assert all(a < b <= max(a + 1, 1.1 * a + 0.5) for a, b in itertools.pairwise(steps))


@given(st.integers(0, 20), st.integers(0, 20))
def test_bisection(first, high):
    first = min(first, high)
    assert least(lambda i: i >= first, 0, high) == first


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 10))
def test_the_frontier_is_every_least_place(steps, wide):
    """Column j reaches from `first[j]` on; fewer as j grows; the last place always does."""
    first = [min(at, wide) for at in sorted(steps, reverse=True)]
    first[-1] = min(first[-1], wide - 1)
    places = [(i, j) for j, at in enumerate(first) for i in range(at, wide)]
    smallest = {(i, j) for i, j in places if (i - 1, j) not in places and (i, j - 1) not in places}
    assert set(frontier(lambda i, j: i >= first[j], wide, len(first))) == smallest


@given(st.data())
def test_whatever_the_noise_the_frontier_reaches(data):
    wide, deep = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    grid = np.array(data.draw(st.lists(st.booleans(), min_size=81, max_size=81))).reshape(9, 9)
    grid[wide - 1, deep - 1] = True
    found = frontier(lambda i, j: bool(grid[i, j]), wide, deep)
    assert found
    assert all(grid[place] for place in found)
