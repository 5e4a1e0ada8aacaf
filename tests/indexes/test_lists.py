"""Lists of blocks against lists of plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vqindex.errors import CorruptFileError
from vqindex.indexes.lists import Lists

COUNT = 5
NUMBERS = st.lists(st.integers(0, COUNT - 1), max_size=40)


def ints(values):
    return np.array(values, np.int64)


def check(lists):
    """What holds of any lists: blocks have owners, chains are full but for their heads."""
    seen = []
    for number in range(lists.count):
        chain, size = lists.chain(number), int(lists.sizes[number])
        assert chain.dtype == np.int64
        assert len(chain) == -(-size // 32)
        assert (lists.owners[chain] == number).all()
        assert lists.heads[number] == (chain[0] if size else -1)
        for place, block in enumerate(chain):
            full = size - 32 * (len(chain) - 1) if place == 0 else 32
            assert 1 <= full <= 32
            assert int(lists.masks[block]) == 2**full - 1
        seen += chain.tolist()
    assert sorted(seen) == list(range(lists.blocks))
    assert len(lists.nexts) == len(lists.owners) == lists.blocks
    assert (lists.sizes.dtype, lists.heads.dtype, lists.nexts.dtype) == (np.int64,) * 3
    assert lists.owners.dtype == np.int32
    assert lists.n == lists.sizes.sum()
    slots = lists.slots
    assert slots.dtype == np.int64
    assert (np.diff(slots) > 0).all()
    bits = lists.masks[slots // 32] >> (slots % 32).astype(np.uint32) & np.uint32(1)
    assert bits.all()
    assert len(slots) == lists.n


class AsRowsUseThem(RuleBasedStateMachine):
    """A pool of places that hold names, moved as `without` says; the model is name to list."""

    def __init__(self):
        super().__init__()
        self.lists, self.pool, self.owner = Lists.empty(COUNT), [], {}
        self.next_name = 0

    def grow(self, numbers):
        before = self.lists
        kept = [array.copy() for array in (before.sizes, before.heads, before.nexts, before.owners)]
        grown, slots = before.grown(ints(numbers))
        assert slots.shape == (len(numbers),)
        assert len(set(slots.tolist())) == len(numbers)
        self.pool += [None] * (32 * grown.blocks - len(self.pool))
        for number, slot in zip(numbers, slots.tolist(), strict=True):
            assert self.pool[slot] is None
            assert grown.owners[slot // 32] == number
            self.pool[slot] = self.next_name
            self.owner[self.next_name] = number
            self.next_name += 1
        assert set(np.setdiff1d(grown.slots, before.slots)) == set(slots.tolist())
        self.unchanged(before, kept)
        self.lists = grown

    @staticmethod
    def unchanged(before, kept):
        now = before.sizes, before.heads, before.nexts, before.owners
        assert all(np.array_equal(a, b) for a, b in zip(now, kept, strict=True))

    @rule(numbers=NUMBERS)
    def add(self, numbers):
        self.grow(numbers)

    @rule(number=st.integers(0, COUNT - 1), count=st.sampled_from([1, 31, 32, 33, 64, 100]))
    def add_many_to_one(self, number, count):
        self.grow([number] * count)

    def drop(self, slots):
        before = self.lists
        kept = [array.copy() for array in (before.sizes, before.heads, before.nexts, before.owners)]
        for slot in slots:
            del self.owner[self.pool[slot]]
            self.pool[slot] = None
        shrunk, moves = before.without(ints(slots))
        assert len(moves.targets) == len(moves.sources) <= len(slots)
        for target, source in zip(moves.targets, moves.sources, strict=True):
            assert self.pool[target] is None
            assert before.owners[target // 32] == before.owners[source // 32]
            self.pool[target], self.pool[source] = self.pool[source], None
        for target, source in zip(moves.block_targets, moves.block_sources, strict=True):
            into, out = slice(32 * target, 32 * target + 32), slice(32 * source, 32 * source + 32)
            assert self.pool[into] == [None] * 32
            self.pool[into], self.pool[out] = self.pool[out], self.pool[into]
        assert self.pool[32 * shrunk.blocks :] == [None] * (32 * (before.blocks - shrunk.blocks))
        del self.pool[32 * shrunk.blocks :]
        self.unchanged(before, kept)
        self.lists = shrunk

    @rule(data=st.data())
    def remove_some(self, data):
        if self.lists.n:
            places = st.lists(st.integers(0, self.lists.n - 1), unique=True, max_size=20)
            self.drop(self.lists.slots[ints(data.draw(places))].tolist())

    @rule(seed=st.integers(0, 99), share=st.floats(0, 1))
    def remove_many(self, seed, share):
        slots = np.random.default_rng(seed).permutation(self.lists.slots)
        self.drop(slots[: int(share * len(slots))].tolist())

    @rule(number=st.integers(0, COUNT - 1))
    def remove_a_list(self, number):
        slots = self.lists.slots
        self.drop(slots[self.lists.owners[slots // 32] == number].tolist())

    @rule()
    def save_and_load(self):
        before, arrays = self.lists, self.lists.arrays()
        self.lists = Lists.restore({name: a.copy() for name, a in arrays.items()}, COUNT)
        for name in ("sizes", "heads", "owners", "masks", "slots"):
            np.testing.assert_array_equal(getattr(self.lists, name), getattr(before, name))

    @invariant()
    def agrees(self):
        check(self.lists)
        assert sum(name is not None for name in self.pool) == len(self.owner) == self.lists.n
        for slot in self.lists.slots.tolist():
            assert self.lists.owners[slot // 32] == self.owner[self.pool[slot]]
        counts = np.bincount(ints(list(self.owner.values())), minlength=COUNT)
        np.testing.assert_array_equal(self.lists.sizes, counts)


AsRowsUseThem.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestAsRowsUseThem = AsRowsUseThem.TestCase


def test_empty_lists():
    lists = Lists.empty(3)
    check(lists)
    assert (lists.n, lists.count, lists.blocks) == (0, 3, 0)
    assert lists.chain(1).tolist() == []
    assert lists.slots.tolist() == lists.masks.tolist() == []
    grown, slots = lists.grown(ints([]))
    check(grown)
    assert slots.tolist() == []


@given(NUMBERS.filter(bool), st.integers(0, 3))
def test_rows_of_a_list_lie_in_the_order_they_came(numbers, more):
    lists, _ = Lists.empty(COUNT).grown(ints([more] * 20))
    grown, slots = lists.grown(ints(numbers * 3))
    for number in range(COUNT):
        here = slots[ints(numbers * 3) == number]
        order = [place.tolist() for place in grown.chain(number)[::-1]]
        places = [order.index(slot // 32) * 32 + slot % 32 for slot in here.tolist()]
        first = 20 if number == more else 0
        assert places == list(range(first, first + len(here)))


def test_new_blocks_of_a_list_follow_each_other():
    lists, slots = Lists.empty(2).grown(ints([1, 0] * 70))
    assert lists.chain(0).tolist() == [2, 1, 0]
    assert lists.chain(1).tolist() == [5, 4, 3]
    assert slots[1::2].tolist() == list(range(70))
    assert slots[::2].tolist() == list(range(96, 166))


def test_the_last_blocks_fill_what_is_given_up():
    lists, _ = Lists.empty(3).grown(np.repeat(ints([0, 1, 2]), 40))
    shrunk, moves = lists.without(np.arange(40))
    check(shrunk)
    assert (moves.targets.tolist(), moves.sources.tolist()) == ([], [])
    assert moves.block_targets.tolist() == [0, 1]
    assert moves.block_sources.tolist() == [4, 5]
    assert shrunk.chain(0).tolist() == []
    assert shrunk.chain(1).tolist() == [3, 2]
    assert shrunk.chain(2).tolist() == [1, 0]


def stored():
    lists, _ = Lists.empty(4).grown(ints([0] * 70 + [2] * 40 + [3]))
    return {name: array.copy() for name, array in lists.arrays().items()}


def test_the_truth_is_believed():
    arrays = stored()
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "owners": [0, 0, 0, 2, 2, 3], "sizes": [70, 0, 40, 1], "heads": [2, -1, 4, 5],
        "later": [0, 0],
    }  # fmt: skip
    check(Lists.restore(arrays, 4))
    arrays["heads"][0] = 1  # any block of a list may be the one that is not full
    check(Lists.restore(arrays, 4))


@pytest.mark.parametrize(
    ("name", "place", "values"),
    [
        ("owners", 0, [-1, 1, 2, 4, 2**31 - 1, -(2**31)]),
        ("owners", 5, [-1, 0, 1, 4]),
        ("sizes", 0, [-1, 0, 64, 97, 2**62, 2**63 - 1, -(2**63)]),
        ("sizes", 1, [-1, 1, 32, 2**63 - 1]),
        ("sizes", 3, [0, 33, -1]),
        ("heads", 0, [-1, 3, 6, -2, 2**62, -(2**63)]),
        ("heads", 1, [0, 5, -2, 6]),
        ("heads", 3, [-1, 0, 6]),
    ],
)
def test_lies_are_refused(name, place, values):
    for value in values:
        arrays = stored()
        arrays[name][place] = value
        with pytest.raises(CorruptFileError):
            Lists.restore(arrays, 4)


def test_arrays_of_another_form_are_refused():
    for name, array in stored().items():
        others = [array.astype(np.int16), array.astype(np.float64), array[None], array[:-1]]
        others += [np.concatenate([array, array[-1:]]), array[:0], None]
        for other in others:
            wrong = stored() | {name: other}
            if other is None:
                del wrong[name]
            with pytest.raises(CorruptFileError):
                Lists.restore(wrong, 4)
    for lists in (1, 3, 5):
        with pytest.raises(CorruptFileError, match=f"are not {lists} lists"):
            Lists.restore(stored(), lists)


@given(st.data())
def test_any_numbers_are_refused_or_make_lists(data):
    arrays = stored()
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(arrays)))
        place = data.draw(st.integers(0, len(arrays[name]) - 1))
        arrays[name][place] = data.draw(st.integers(-2, 8) | st.integers(30, 70))
    try:
        lists = Lists.restore(arrays, 4)
    except CorruptFileError:
        return
    check(lists)


def test_counts_of_rows_added_later_outlive_any_file():
    lists, _ = Lists.empty(3).grown(ints([0, 1]), 2**62 - 3)
    for _ in range(3):
        lists, _ = lists.grown(ints([0, 2]), 2**61)
        lists = Lists.restore(lists.arrays(), 3)
    assert lists.later == (8, 2**62)
    assert lists.grown(ints([1]))[0].later == (8, 2**62)
    assert lists.without(lists.slots[:1])[0].later == (8, 2**62)
    assert lists.compact()[0].later == (8, 2**62)
