"""The scan of scalar codes, run on an emulated block under sanitizers, against the reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cuda import layout
from tests.cuda.emulated import needs_compiler
from tests.cuda.layout import BYTES, EMPTY, LEVELS16, NIBBLES, PAIRS, SIGNS
from tests.cuda.scans import POISON, check, scan

pytestmark = needs_compiler
KINDS = [SIGNS, PAIRS, NIBBLES, LEVELS16, BYTES]


@given(
    n=st.sampled_from([1, 31, 32, 33, 63, 300, 1500]),
    dims=st.sampled_from([1, 3, 15, 16, 17, 31, 63, 64, 65, 127, 128, 129, 300]),
    kind=st.sampled_from(KINDS),
    k=st.integers(1, 64),
    parts=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_scan_finds_the_best_rows(n, dims, kind, k, parts, seed):
    rng = np.random.default_rng(seed)
    index = layout.Index(n, [layout.part(kind, n, dims, rng, scaled=bool(seed % 2))])
    if seed % 3:
        index.bias = rng.normal(0, 1000, n).astype(np.float32)
        index.ids = rng.permutation(10 * n)[:n]
    check(index, layout.queries(index, 2, rng), k, parts=parts)


@pytest.mark.parametrize("kind", KINDS)
def test_sums_reach_the_ends_of_their_range(kind):
    """All levels and entries at their largest, so that a lost bit or sign would show."""
    rng = np.random.default_rng(0)
    index = layout.Index(33, [layout.part(kind, 33, 2048, rng)])
    part = index.parts[0]
    if kind in (SIGNS, PAIRS, NIBBLES):
        codes = np.full((33, 2048), (1 << layout.BITS[kind]) - 1, np.uint8)  # the least level
        part.codes, part.levels = layout.pack(kind, codes), np.full((33, 2048), -128, np.int8)
    asked = layout.queries(index, 2, rng)
    asked.entries[0], asked.entries[1] = 127, -127
    asked.half[0, :2] = np.float32(127 * 2048 / 2) * np.array([1, -1], np.float32)
    check(index, asked, 33)


def test_several_segments_are_added_in_order():
    rng = np.random.default_rng(1)
    n = 200
    shapes = [(BYTES, 65), (NIBBLES, 130), (PAIRS, 70), (EMPTY, 0), (SIGNS, 129), (LEVELS16, 5)]
    parts = [layout.part(kind, n, dims, rng, scaled=i % 2 == 0)
             for i, (kind, dims) in enumerate(shapes)]  # fmt: skip
    parts[0].ratio = rng.uniform(0.5, 1, n).astype(np.float16)
    index = layout.Index(n, parts, bias=rng.normal(0, 9, n).astype(np.float32))
    asked = layout.queries(index, 3, rng)
    check(index, asked, 40, parts=2)
    sums = np.full((3, 32 * 7), np.nan, np.float32)
    scan(index, asked, 1, span=(0, 2), after=sums)
    assert (sums[:, :n] == layout.scores(index, asked, 2).T).all()
    check(index, asked, 40, span=(2, 6), before=sums)


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_that_does_not_fit_comes_in_pieces(kind):
    rng = np.random.default_rng(2)
    dims = 4 * 4096 + 77
    index = layout.Index(40, [layout.part(kind, 40, dims, rng), layout.part(NIBBLES, 40, 33, rng)])
    check(index, layout.queries(index, 1, rng), 10)


@pytest.mark.parametrize("keep", [16, 1024])
def test_a_full_queue_drops_nothing(keep):
    """Scores that rise from row to row, so that every row is among the best so far."""
    n, rng = 6000, np.random.default_rng(3)
    index = layout.Index(n, [layout.part(EMPTY, n, 0, rng, scaled=False)])
    index.bias = np.arange(n, dtype=np.float32)
    asked = layout.queries(index, 1, rng)
    check(index, asked, keep, keep=keep)
    check(index, asked, keep - 3, keep=keep, parts=2, floors=np.zeros(1, np.uint64))


def test_equal_scores_go_by_id_and_zeros_are_equal():
    n, rng = 500, np.random.default_rng(4)
    index = layout.Index(n, [layout.part(SIGNS, n, 64, rng, scaled=False)])
    index.ids = rng.permutation(n) * 10**12
    asked = layout.queries(index, 1, rng)
    asked.gamma[:] = 0  # every part is +0 or -0
    check(index, asked, 50, parts=2)


def test_masks_blocks_and_lists():
    n, rng = 1000, np.random.default_rng(5)
    index = layout.Index(n, [layout.part(NIBBLES, n, 48, rng)])
    index.ids = rng.permutation(n)
    index.owners = rng.integers(0, 5, 32).astype(np.int32)
    asked = layout.queries(index, 2, rng, lists=5)
    blocks = rng.permutation(32)[:20]
    masks = rng.integers(0, 2**32, 20, dtype=np.uint32)
    masks[3], masks[4] = 0, 1
    rows = (32 * blocks[:, None] + np.arange(32))[(masks[:, None] >> np.arange(32) & 1) == 1]
    check(index, asked, 30, np.sort(rows[rows < n]), blocks=blocks, masks=masks, parts=2)


def test_only_queries_that_overflowed_are_scanned():
    rng = np.random.default_rng(6)
    index = layout.Index(40, [layout.part(BYTES, 40, 16, rng)])
    asked = layout.queries(index, 2, rng)
    counts = np.array([100, 101], np.uint32)
    kept = scan(index, asked, 5, counts=counts, capacity=100)
    assert (kept[0] == POISON).all()
    assert (layout.decode_keys(kept[1], index, 5)[1] == layout.best(index, asked, 5)[1][1]).all()


def test_floors_let_blocks_know_of_each_other():
    n, rng = 2000, np.random.default_rng(7)
    index = layout.Index(n, [layout.part(SIGNS, n, 200, rng)])
    asked = layout.queries(index, 2, rng)
    floors = np.zeros(2, np.uint64)
    check(index, asked, 20, parts=3, floors=floors)
    expected = layout.scores(index, asked).max(axis=0)
    assert (layout.decode_keys(floors[:, None], index, 1)[0][:, 0] <= expected).all()
    assert (floors > 0).all()


def far_index(kind, rng):
    """The last rows of as many as there may be: 2^32 - 2."""
    n, far = 62, 2**27 - 2
    part = layout.part(kind, n, 300, rng)
    part.ratio = rng.uniform(0.5, 1, n).astype(np.float16)
    index = layout.Index(n, [part], rng.normal(0, 9, n).astype(np.float32), rng.permutation(n))
    index.far = far
    return index, far + np.arange(2)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_far_beyond_the_range_of_32_bits(kind):
    rng = np.random.default_rng(8)
    index, blocks = far_index(kind, rng)
    check(index, layout.queries(index, 2, rng), 40, blocks=blocks)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [NIBBLES, SIGNS])
def test_threads_of_a_block_do_not_race(kind):
    rng = np.random.default_rng(9)
    n = 1400  # more than a queue takes in before it must merge
    index = layout.Index(n, [layout.part(kind, n, 20, rng)])
    index.bias = 1000 * np.arange(n, dtype=np.float32)
    asked = layout.queries(index, 1, rng)
    check(index, asked, 20, floors=np.zeros(1, np.uint64), sanitizer="thread")
    long = layout.Index(40, [layout.part(kind, 40, 4 * 4096 + 77, rng)])
    check(long, layout.queries(long, 1, rng), 10, sanitizer="thread")


def test_queries_with_blocks_of_their_own():
    rng, n = np.random.default_rng(9), 300
    index = layout.Index(n, [layout.part(NIBBLES, n, 40, rng)])
    asked = layout.queries(index, 3, rng)
    own = [np.array([7, 2]), np.array([], int), np.array([0, 9, 4, 1, 3, 5, 6, 8, 2])]
    masks = rng.integers(0, 2**32, 11, dtype=np.uint32)
    starts = np.array([0, 2, 2, 11])
    kept = scan(index, asked, 5, blocks=np.concatenate(own), masks=masks, starts=starts, parts=2)
    found, ids = layout.decode_keys(kept.reshape(3, -1), index, 5)
    for q, blocks in enumerate(own):
        bits = masks[starts[q] : starts[q + 1], None] >> np.arange(32) & 1
        rows = np.sort((32 * blocks[:, None] + np.arange(32))[bits == 1])
        expected, expected_ids = layout.best(index, asked, 5, rows[rows < n])
        assert (ids[q] == expected_ids[q]).all()
        assert (found[q] == expected[q]).all()
