import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vqindex.errors import CorruptFileError, IdError
from vqindex.indexes.id_map import IdMap, plan_removal

TOP = 2**63 - 1
IDS = st.one_of(
    st.integers(0, 40),
    st.integers(0, 40).map(lambda i: i << 20),
    st.integers(0, 40).map(lambda i: TOP - i),
    st.integers(0, TOP),
)


def ints(values):
    return np.array(values, np.int64)


def built(ids):
    ids = ints(ids)
    return IdMap.rebuild(ids, int(ids.max(initial=-1)) + 1)


class AsAnIndexUsesIt(RuleBasedStateMachine):
    """The column of ids, whose order is the model, and the map kept in step with it."""

    def __init__(self):
        super().__init__()
        self.map, self.column, self.next_id = IdMap(), [], 0

    def insert(self, ids):
        self.map.insert(ints(ids), len(self.column))
        self.column += ids
        self.next_id = max([self.next_id, *(i + 1 for i in ids)])

    @rule(m=st.integers(0, 200))
    def add(self, m):
        if self.next_id + m > 2**63:
            with pytest.raises(IdError):
                self.map.next_ids(m)
        else:
            self.insert(self.map.next_ids(m).tolist())

    @rule(ids=st.lists(IDS, unique=True))
    def add_under_ids(self, ids):
        known = set(self.column)
        self.insert([i for i in ids if i not in known])

    @rule(ids=st.lists(IDS, unique=True), data=st.data())
    def refuse_ids_that_are_there(self, ids, data):
        if self.column:
            clash = data.draw(st.sampled_from(self.column))
            fresh = [i for i in ids if i not in self.column]
            with pytest.raises(IdError, match=str(clash)):
                self.map.insert(ints([*fresh, clash]), len(self.column))

    def remove(self, rows):
        n = len(self.column)
        gone = [self.column[row] for row in rows]
        targets, sources = plan_removal(ints(rows), n)
        moved = [self.column[row] for row in sources]
        for target, one in zip(targets, moved, strict=True):
            self.column[target] = one
        del self.column[n - len(rows) :]
        self.map.remove(ints(gone))
        self.map.assign(ints(moved), targets)

    @rule(data=st.data())
    def remove_some(self, data):
        if self.column:
            rows = st.lists(st.integers(0, len(self.column) - 1), unique=True)
            self.remove(sorted(data.draw(rows)))

    @rule(share=st.floats(0, 1))
    def remove_the_last(self, share):
        n = len(self.column)
        self.remove(list(range(n - int(share * n), n)))

    @rule(seed=st.integers(0, 99), share=st.floats(0, 1))
    def remove_many(self, seed, share):
        n = len(self.column)
        rows = np.random.default_rng(seed).permutation(n)[: int(share * n)]
        self.remove(sorted(rows.tolist()))

    @rule(ids=st.lists(IDS, unique=True))
    def remove_or_assign_what_is_missing(self, ids):
        missing = ints([i for i in ids if i not in self.column])
        self.map.remove(missing)
        self.map.assign(missing, np.zeros_like(missing))

    @rule(ids=st.lists(st.integers(-(2**63), TOP)))
    def find_any(self, ids):
        rows = {one: row for row, one in enumerate(self.column)}
        assert self.map.find(ints(ids)).tolist() == [rows.get(i, -1) for i in ids]

    @rule()
    def save_and_load(self):
        self.map = IdMap.rebuild(ints(self.column), self.map.next_id)

    @invariant()
    def agrees(self):
        n = len(self.column)
        assert len(self.map) == n
        assert self.map.next_id == self.next_id
        assert self.map.find(ints(self.column)).tolist() == list(range(n))
        if self.map.nbytes > 64 * 16:
            assert 24 * n <= self.map.nbytes <= 128 * n


AsAnIndexUsesIt.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAsAnIndexUsesIt = AsAnIndexUsesIt.TestCase


def test_consecutive_ids_take_no_memory():
    ids = IdMap()
    for _ in range(3):
        ids.insert(ids.next_ids(1000), len(ids))
    ids.remove(np.arange(2999, 1999, -1))
    ids.assign(ints([7]), ints([7]))
    assert (len(ids), ids.next_id, ids.nbytes) == (2000, 3000, 0)
    assert ids.find(ints([0, 1999, 2000, -1])).tolist() == [0, 1999, -1, -1]


@pytest.mark.parametrize(
    "depart",
    [
        lambda ids: ids.insert(ints([11]), 10),
        lambda ids: ids.insert(ints([11, 10]), 10),
        lambda ids: ids.insert(ints([10, 12, 11, 13]), 10),
        lambda ids: ids.insert(ints([10]), 11),
        lambda ids: ids.remove(ints([8])),
        lambda ids: ids.remove(ints([7, 9])),
        lambda ids: ids.assign(ints([3, 4]), ints([4, 3])),
    ],
)
def test_the_first_departure_makes_a_table(depart):
    ids = built(range(10))
    assert ids.nbytes == 0
    depart(ids)
    assert ids.nbytes > 0
    assert ids.find(np.arange(3)).tolist() == [0, 1, 2]


def test_removed_ids_are_not_numbered_again():
    ids = built(range(10))
    ids.remove(ints([9]))
    assert ids.next_ids(2).tolist() == [10, 11]
    ids.remove(np.arange(9))
    assert len(ids) == 0
    assert ids.next_ids(1).tolist() == [10]


def test_numbering_ends_at_the_last_id():
    ids = built([TOP - 2])
    assert ids.next_ids(2).tolist() == [TOP - 1, TOP]
    with pytest.raises(IdError, match="below 2\\*\\*63"):
        ids.next_ids(3)
    ids.insert(ids.next_ids(2), 1)
    assert ids.next_id == 2**63
    assert ids.next_ids(0).dtype == np.int64
    assert IdMap.rebuild(ints([TOP]), 2**63).next_id == 2**63


@pytest.mark.parametrize("step", [1, 1 << 20, 1 << 43])
def test_memory_is_given_back(step):
    n = 100_000
    column = np.arange(1, n + 1) * step
    ids = IdMap()
    for start in range(0, n, 777):
        ids.insert(column[start : start + 777], start)
    np.testing.assert_array_equal(ids.find(column), np.arange(n))
    assert (ids.find(column + 1)[:-1] == (np.arange(1, n) if step == 1 else -1)).all()
    full = ids.nbytes
    assert 24 * n <= full <= 48 * n
    kept = np.arange(0, n, 64)
    gone = np.delete(column, kept)
    for start in range(0, len(gone), 999):
        ids.remove(gone[start : start + 999])
    np.testing.assert_array_equal(ids.find(column[kept]), kept)
    assert (ids.find(gone) == -1).all()
    assert ids.nbytes <= full // 16
    ids.remove(column[kept])
    assert (len(ids), ids.nbytes) == (0, 0)


def test_arrays_are_not_kept():
    given_ids, ids = ints([5, 3]), IdMap()
    ids.insert(given_ids, 0)
    given_ids[:] = 0
    assert ids.find(ints([5, 3, 0])).tolist() == [0, 1, -1]
    numbered = built(range(4))
    wanted = np.arange(4)
    numbered.find(wanted)[:] = 9
    assert wanted.tolist() == [0, 1, 2, 3]


def test_rebuilds_what_was_saved():
    assert built(range(1000)).nbytes == 0
    ids = IdMap.rebuild(ints([4, 0, TOP - 1]), TOP)
    assert ids.find(ints([TOP - 1, 4, 0, 1])).tolist() == [2, 0, 1, -1]
    assert ids.next_id == TOP
    assert len(IdMap.rebuild(ints([]), 7)) == 0
    assert IdMap.rebuild(ints([]), 7).next_id == 7


@pytest.mark.parametrize(
    ("column", "next_id", "names"),
    [
        ([0, 1, 1], 3, "got 1"),
        ([5, 2, 5], 6, "got 5"),
        ([0, -1, 2], 3, "got -1"),
        ([-(2**63)], 1, "must be >= 0"),
        ([0, 1, 2], 2, r"in \[3, 2\*\*63\], got 2"),
        ([9, 1], 9, r"in \[10, 2\*\*63\], got 9"),
        ([], -1, "got -1"),
        ([3], 2**63 + 1, "next id"),
    ],
)
def test_refuses_damaged_ids(column, next_id, names):
    with pytest.raises(CorruptFileError, match=names):
        IdMap.rebuild(ints(column), next_id)


@st.composite
def removals(draw):
    n = draw(st.integers(0, 60))
    rows = draw(st.sets(st.integers(0, n - 1))) if n else set()
    return ints(sorted(rows)), n


@given(removals())
def test_plan_fills_every_hole_by_a_row_that_stays(case):
    rows, n = case
    kept = n - len(rows)
    targets, sources = plan_removal(rows, n)
    assert targets.dtype == sources.dtype == np.int64
    assert targets.tolist() == [row for row in rows if row < kept]
    assert sources.tolist() == [row for row in range(kept, n) if row not in rows]
    column = np.arange(n)
    column[targets] = sources
    assert sorted(column[:kept]) == sorted(set(range(n)) - set(rows.tolist()))
