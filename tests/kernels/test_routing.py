"""Which lists a query prefers, and what lists add to scores, against the reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.indexes.centroids import Centroids
from vqindex.kernels.cpu import operands, records, routing
from vqindex.kernels.cpu.program import NONE, SLAB_ROWS, UNBOUND
from vqindex.kernels.cpu.records import Held, Kept
from vqindex.kernels.reference import routing as reference
from vqindex.layouts.decoded import DecodedCodes
from vqindex.layouts.operands import prepare
from vqindex.memory import aligned_zeros

F32 = np.float32
LISTS = [1, 2, 15, 16, 17, 127, 128, 129]
seeds = st.integers(0, 2**32 - 1)


def padded(lists):
    return -(-lists // routing.PADDED) * routing.PADDED


def asked_origins(layout, entries, scales):
    """Origins, entries (lists, d) int8 times scales, as kernels take queries."""
    lists, d = entries.shape
    values = np.zeros((padded(lists), 64 * layout.vectors), F32)
    values[:lists, :d] = entries * scales[:, None]
    zeros = np.zeros(len(values), F32)
    prepared = prepare(layout.program({"rows": 0}, NONE, 0), [values], zeros, zeros)
    asked = prepared.asked(0, zeros, packed=False)
    packed = aligned_zeros((len(values), asked.row_bytes), np.int8)
    asked = asked._replace(packed=packed.ctypes.data)
    operands.pack(asked)
    gamma = np.abs(values).max(axis=1)[:lists] / F32(127)
    return Held(asked, prepared, packed, zeros), gamma


def problem(rng, n, lists, d):
    """Bytes of rows and origins, with the extremes among them."""
    rows = rng.integers(-128, 128, (n, d)).astype(np.int8)
    entries = rng.integers(-127, 128, (lists, d)).astype(np.int8)
    for array, low in ((rows, -128), (entries, -127)):
        array[rng.random(len(array)) < 0.1] = 127
        array[rng.random(len(array)) < 0.1] = low
    entries[np.arange(lists), rng.integers(0, d, lists)] = 127  # so that a scale is what it was
    entries[rng.random(lists) < 0.05] = 0
    scales = np.exp2(rng.integers(-9, 9, lists)).astype(F32)
    return rows, np.abs(rng.standard_normal(n)).astype(F32), entries, scales


def check_shares(n, lists, d, seed):
    rows, row_scales, entries, scales = problem(np.random.default_rng(seed), n, lists, d)
    layout = DecodedCodes(d, "i8")
    held, gamma = asked_origins(layout, entries, scales)
    np.testing.assert_array_equal(gamma, np.where(entries.any(axis=1), scales, 0))
    out = np.full((n, padded(lists) + 16), np.nan, F32)
    whole = out[:, : padded(lists)].copy()
    routing.shares(layout.pack(rows)["rows"], row_scales, held.at, whole)
    want = reference.shares(rows, row_scales, entries, gamma)
    np.testing.assert_array_equal(whole[:, :lists], want)
    assert (whole[:, lists:] == 0).all()
    routing.shares(layout.pack(rows)["rows"], row_scales, held.at, out)
    assert out[:, : padded(lists)].tobytes() == whole.tobytes()
    assert np.isnan(out[:, padded(lists) :]).all()


@pytest.mark.parametrize("d", [1, 63, 64, 65, 384])
@pytest.mark.parametrize("n", [0, 1, 3, 5, 33])
@pytest.mark.parametrize("lists", [1, 127, 128, 129])
def test_shares_equal_the_reference(lists, n, d):
    check_shares(n, lists, d, seed=lists * n + d)


@pytest.mark.parametrize(("n", "lists", "d"), [(1000, 129, 65), (100, 1000, 384)])
def test_shares_of_many(n, lists, d):
    check_shares(n, lists, d, seed=0)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 70), st.integers(1, 300), st.integers(1, 200), seeds)
def test_shares_of_any(n, lists, d, seed):
    check_shares(n, lists, d, seed)


class Routed:
    """Lists of sizes, chained through blocks in a random order, as kernels take them."""

    def __init__(self, rng, lists, empty=0.3):
        self.sizes = np.where(rng.random(lists) < empty, 0, rng.integers(1, 130, lists))
        counts = -(-self.sizes // 32)
        self.blocks = int(counts.sum())
        where = np.split(rng.permutation(self.blocks), np.cumsum(counts)[:-1])
        self.heads, self.nexts = np.full(lists, -1), np.full(self.blocks, -1)
        self.chains = where  # from the first on
        for number, chain in enumerate(where):
            if len(chain):
                self.heads[number] = chain[0]
                self.nexts[chain[:-1]] = chain[1:]
        size = padded(lists)
        self.weights, self.offsets = np.zeros(size, F32), np.full(size, -np.inf, F32)
        self.weights[:lists] = rng.choice(F32([0.5, 1, 2]), lists)
        self.offsets[:lists] = rng.integers(-3, 3, lists)
        self.numbers = np.arange(size)
        self.slabs = self.numbers.ctypes.data + 8 * np.arange(0, size, SLAB_ROWS)
        arrays = self.sizes, self.heads, self.nexts, self.weights, self.offsets, self.slabs
        self.at = records.Lists(lists, self.blocks, *(a.ctypes.data for a in arrays))

    def shares(self, rng):
        """Of one query; whole numbers, so that preferences tie. Beyond the lists, poison."""
        lists = len(self.sizes)
        row = np.full(padded(lists), np.nan, F32)
        row[:lists] = rng.integers(-4, 5, lists)
        return row


def chosen_of(lists):
    places = 2 * lists + 16
    scores, threshold = np.full(places, np.nan, F32), np.full(1, np.nan, F32)
    arrays = scores, np.full(places, 2**40), np.full(1, 77), threshold
    return Held(Kept(1, places, *(a.ctypes.data for a in arrays), 0), *arrays)


def numbers_of(held):
    _, rows, counts, _ = held.arrays
    return rows[: counts[0]]


@settings(deadline=None)
@given(st.sampled_from(LISTS), st.integers(1, 140), st.sampled_from([0, 0.3, 1]), seeds)
def test_chosen_lists_equal_the_reference(lists, nprobe, empty, seed):
    rng = np.random.default_rng(seed)
    routed = Routed(rng, lists, empty)
    nprobe = min(nprobe, lists)
    row, held = routed.shares(rng), chosen_of(lists)
    routing.choose(routed.at, row.ctypes.data, nprobe, held.at)
    want = reference.choose(
        row[:lists], routed.weights[:lists], routed.offsets[:lists], routed.sizes, nprobe
    )
    got = numbers_of(held)
    assert sorted(got.tolist()) == sorted(want.tolist())
    scores = row[got] * routed.weights[got] + routed.offsets[got]
    np.testing.assert_array_equal(held.arrays[0][: len(got)], scores)
    routing.choose(routed.at, row.ctypes.data, nprobe, held.at)  # in place of the last
    assert sorted(numbers_of(held).tolist()) == sorted(want.tolist())


@settings(deadline=None)
@given(st.sampled_from(LISTS), st.booleans(), st.floats(0, 1), seeds)
def test_gathered_blocks_are_those_of_the_lists(lists, filtered, share, seed):
    rng = np.random.default_rng(seed)
    routed, held = Routed(rng, lists), chosen_of(lists)
    some = rng.permutation(np.flatnonzero(routed.sizes))[: rng.integers(0, lists + 1)]
    held.arrays[1][: len(some)], held.arrays[2][0] = some, len(some)
    allowed = rng.integers(0, 2**32, routed.blocks, np.uint32)
    allowed[rng.random(routed.blocks) < share] = 0
    blocks = np.full(routed.blocks + 1, -9)
    masks = np.full(routed.blocks + 1, 0xA5A5A5A5, np.uint32)
    bits = allowed.ctypes.data if filtered else UNBOUND
    count = routing.gather(routed.at, held.at, bits, blocks, masks)
    want = []
    for number in some:
        chain = routed.chains[number]
        rest = int(routed.sizes[number]) - 32 * (len(chain) - 1)
        for place, block in enumerate(chain[::-1]):
            mask = 2**rest - 1 if place == len(chain) - 1 else 2**32 - 1
            mask &= int(allowed[block]) if filtered else mask
            want += [(block, mask)] if mask else []
    found = list(zip(blocks[:count].tolist(), masks[:count].tolist(), strict=True))
    assert found == want
    assert (blocks[-1], masks[-1]) == (-9, 0xA5A5A5A5)


@settings(deadline=None)
@given(st.sampled_from([0, 1, 3, 5, 1000]), st.sampled_from(LISTS), seeds)
def test_rows_prefer_what_queries_prefer(n, lists, seed):
    """The best of the lists that the reference chooses, where none is empty."""
    rng = np.random.default_rng(seed)
    shares = rng.integers(-4, 5, (n, padded(lists))).astype(F32)
    weights = rng.choice(F32([0, 0.5, 1, 2]), lists)
    offsets, out = rng.integers(-3, 3, lists).astype(F32), np.full(n, -7)
    routing.prefer(shares, weights, offsets, out)
    ones = np.ones(lists, np.int64)
    for i in range(0, n, max(1, n // 50)):
        want = reference.choose(shares[i, :lists], weights, offsets, ones, 1)
        assert out[i] == want[0]
    assert ((out >= 0) & (out < lists)).all()


@settings(deadline=None)
@given(
    st.sampled_from([0, 1, 3, 5, 300]), st.sampled_from(LISTS), st.sampled_from([1, 63, 64, 65]),
    seeds,
)  # fmt: skip
def test_sums_equal_the_reference(n, lists, d, seed):
    """In the order of rows, so that the last bit is the same; what is there is added to."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((n, d)) * np.exp2(rng.integers(-9, 9, (n, 1)))).astype(F32)
    numbers, sums = rng.integers(0, lists, n), np.zeros((lists, d))
    routing.sum_rows(x, numbers, sums)
    np.testing.assert_array_equal(sums, reference.sum_rows(x, numbers, lists))
    routing.sum_rows(x, numbers, sums)
    twice = reference.sum_rows(np.concatenate([x, x]), np.concatenate([numbers, numbers]), lists)
    np.testing.assert_array_equal(sums, twice)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 140), st.sampled_from(["l2", "ip"]), seeds)
def test_what_rows_and_queries_prefer_is_the_same(lists, metric, seed):
    """A row that is asked for is looked for first in the list that it went to."""
    rng = np.random.default_rng(seed)
    centroids = Centroids.of(metric, rng.standard_normal((lists, 20)).astype(F32))
    row = rng.standard_normal((1, 20)).astype(F32)
    shares = centroids.rough_shares(row * F32(2 if metric == "l2" else 1))
    sizes, none, held = np.ones(lists, np.int64), np.zeros(0, np.int64), chosen_of(lists)
    heads = np.arange(lists)
    at = records.Lists(
        lists, lists, sizes.ctypes.data, heads.ctypes.data, none.ctypes.data,
        centroids.weights.ctypes.data, centroids.offsets.ctypes.data, centroids.numbers.at,
    )  # fmt: skip
    routing.choose(at, shares.ctypes.data, 1, held.at)
    assert numbers_of(held).tolist() == centroids.assign(row).tolist()
