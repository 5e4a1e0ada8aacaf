"""Batches by tensor cores, run on an emulated block: waves, overflows and the end of a search."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cuda import layout
from tests.cuda.emulated import emulate, needs_compiler
from tests.cuda.layout import BYTES, CODEWORDS, EMPTY, LEVELS16, NIBBLES, PAIRS, SIGNS
from tests.cuda.scans import KERNELS
from tests.cuda.test_families import codewords_part
from tests.cuda.test_scalar import far_index

pytestmark = needs_compiler
KINDS = [SIGNS, PAIRS, NIBBLES, LEVELS16, BYTES]
UNITS = {EMPTY: 0, SIGNS: 8, PAIRS: 4, NIBBLES: 2, LEVELS16: 2, BYTES: 1, CODEWORDS: 1}
POISON = 0xA5A5A5A5A5A5A5A5
KEEP = 16
i32, u32, i64 = np.int32, np.uint32, np.int64


def units_of(index):
    chunks = [0 if p.codes is None else p.codes.shape[1] for p in index.parts]
    if index.parts[0].kind == CODEWORDS:
        chunks = [index.parts[0].entries // 16]
    return sum(-(-c // 4) * UNITS[p.kind] for c, p in zip(chunks, index.parts, strict=True))


class Search:
    """One batch on its way: what lies on the device between launches.

    many   whether kernels are those of any segments, though there is but one
    """

    def __init__(self, index, asked, k, tile, capacity, room=None, sanitizer="address", many=False):
        self.index, self.asked, self.k, self.tile = index, asked, k, tile
        self.units, self.stored, nq = units_of(index), index.stored(), asked.nq
        self.room = room or max(8, -(-self.units // 8) * 8)
        many = many or len(index.parts) > 1
        kind = self.kind = EMPTY if many else index.parts[0].kind
        self.sanitizer = sanitizer
        self.program = emulate(
            "batch.cu", ("vq_batch", "vq_arrange"), sanitizer, VQ_QUERIES=tile,
            VQ_KIND=BYTES if kind == CODEWORDS else kind,
        )  # fmt: skip
        self.topk = emulate("topk.cu", ("vq_merge", "vq_answer"), sanitizer, VQ_KEEP=KEEP)
        file = "decoded.cu" if kind == CODEWORDS else "scalar.cu"
        self.scanner = KERNELS[file]
        self.scan = emulate(file, (self.scanner,), sanitizer, VQ_KEEP=KEEP)
        self.best = np.full((nq, KEEP), POISON, np.uint64)
        self.buffer = np.full((nq, capacity), POISON, np.uint64)
        self.counts = np.full(nq, 0xA5A5A5A5, np.uint32)
        self.tiles = -(-nq // tile)
        self.arranged = np.full((self.tiles, self.units, tile, 16), 0xA5A5A5A5, np.uint32)
        self.program.run(
            "vq_arrange", (self.tiles, self.units), self.stored, asked.entries,
            i64(index.row_bytes), i32(nq), self.arranged,
        )  # fmt: skip

    @property
    def lists(self):
        shares = self.asked.shares
        return shares, i32(0 if shares is None else shares.shape[1])

    def wave(self, blocks, masks=None, dense=False, parts=2):
        a, capacity = self.asked, u32(self.buffer.shape[1])
        self.program.run(
            "vq_batch", (self.tiles, parts), self.stored, self.arranged, a.half, a.gamma,
            i32(a.padded), i32(a.nq), *self.lists, blocks, masks, i64(len(blocks)),
            None if dense else self.best, i32(KEEP), i32(self.k), self.buffer, capacity,
            self.counts, i32(dense), i32(self.room), self.decoded(blocks),
            dynamic=64 * self.tile * self.room,
        )  # fmt: skip
        self.merge(self.buffer, self.buffer.shape[1], 0, None if dense else self.best)
        kept = np.full((a.nq, 3, KEEP), POISON, np.uint64)
        self.scan.run(
            self.scanner, (3, a.nq), self.stored, i32(0), i32(len(self.index.parts)),
            a.entries, i64(self.index.row_bytes), a.half, a.gamma, i32(a.padded), *self.lists,
            blocks, masks, i64(len(blocks)), None, None, kept, i32(self.k), None, self.counts,
            capacity, None,
        )  # fmt: skip
        self.merge(kept, 3 * KEEP, 1, self.best)

    def decoded(self, blocks):
        """Streams of codes as BYTES, None of other kinds."""
        if self.kind != CODEWORDS:
            return None
        units = self.units
        out = np.full((len(blocks), 4 * units, 32, 16), 0xA5, np.uint8)
        emulate("spread.cu", ("vq_spread",), self.sanitizer).run(
            "vq_spread", (2, units), self.stored, blocks, i64(len(blocks)), out
        )
        return out

    def merge(self, keys, total, overflowed, before):
        self.topk.run(
            "vq_merge", (1, self.asked.nq), keys, i64(total), i64(total), i64(total), self.counts,
            u32(self.buffer.shape[1]), i32(overflowed), before, None, self.best, i32(self.k),
        )  # fmt: skip

    def answer(self):
        nq, k = self.asked.nq, self.k
        scores, ids = np.full((nq, k), np.nan, np.float32), np.full((nq, k), -7, np.int64)
        alpha = np.arange(nq, dtype=np.float32)
        self.topk.run(
            "vq_answer", (1, nq), self.best, i64(KEEP), i32(k), alpha,
            self.index.ordered_ids.astype(np.int64), scores, ids,
        )  # fmt: skip
        return scores, ids

    def check(self, rows=None):
        expected, expected_ids = layout.best(self.index, self.asked, self.k, rows)
        scores, ids = self.answer()
        assert (ids == expected_ids).all()
        assert (scores == expected + np.arange(self.asked.nq, dtype=np.float32)[:, None]).all()


@given(
    n=st.sampled_from([1, 31, 32, 33, 100, 500]),
    dims=st.sampled_from([1, 15, 16, 17, 64, 65, 127, 128, 129, 300, 520]),
    kind=st.sampled_from(KINDS),
    nq=st.sampled_from([1, 7, 8, 9, 20]),
    k=st.integers(1, KEEP),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_a_batch_finds_the_best_rows(n, dims, kind, nq, k, seed):
    rng = np.random.default_rng(seed)
    index = layout.Index(n, [layout.part(kind, n, dims, rng, scaled=bool(seed % 2))])
    if seed % 3:
        index.bias = rng.normal(0, 1000, n).astype(np.float32)
        index.ids = rng.permutation(10 * n)[:n]
    search = Search(index, layout.queries(index, nq, rng), k, 8, 128, many=True)
    blocks = rng.permutation(-(-n // 32))
    search.wave(blocks[:3], dense=True)
    if len(blocks) > 3:
        search.wave(blocks[3:])
    search.check()


@pytest.mark.parametrize(
    ("tile", "kind"), [(8, BYTES), (8, SIGNS), (32, PAIRS), (64, NIBBLES), (96, LEVELS16)]
)
def test_tiles_for_one_segment_of_a_kind(tile, kind):
    rng = np.random.default_rng(1)
    index = layout.Index(150, [layout.part(kind, 150, 130, rng)])
    search = Search(index, layout.queries(index, 50, rng), 5, tile, 64)
    search.wave(np.array([3, 1]), dense=True)
    search.wave(np.array([0, 2, 4]))
    search.check()


@pytest.mark.parametrize("tile", [8, 32])
def test_several_segments_whole_or_in_pieces(tile):
    rng = np.random.default_rng(2)
    n, shapes = 130, [(BYTES, 700), (NIBBLES, 130), (PAIRS, 70), (EMPTY, 0), (SIGNS, 600)]
    parts = [layout.part(kind, n, dims, rng, scaled=i % 2 == 0)
             for i, (kind, dims) in enumerate([*shapes, (LEVELS16, 9)])]  # fmt: skip
    parts[0].ratio = rng.uniform(0.5, 1, n).astype(np.float16)
    index = layout.Index(n, parts, bias=rng.normal(0, 9, n).astype(np.float32))
    asked = layout.queries(index, 9, rng)
    for room in (None, 8):
        search = Search(index, asked, 10, tile, 64, room)
        search.wave(np.array([4, 1]), dense=True)
        search.wave(np.array([0, 2, 3]))
        search.check()


def test_a_query_that_overflows_is_scanned_again():
    """Scores that rise from block to block: each row of a wave beats all before it."""
    rng, n = np.random.default_rng(3), 600
    index = layout.Index(n, [layout.part(SIGNS, n, 16, rng, scaled=False)])
    index.bias = np.arange(n, dtype=np.float32) * 1000
    asked = layout.queries(index, 9, rng)
    asked.gamma[0, 5] = -(2.0**20)  # one query that does not overflow at all
    search = Search(index, asked, 4, 8, 96)
    search.wave(np.arange(3), dense=True)
    search.wave(np.arange(3, 12))
    search.wave(np.arange(12, 19))
    assert (search.counts == 0).all()
    search.check()


@pytest.mark.parametrize(
    ("dims", "window", "stride", "group"),
    [(1, 1, 1, 1), (65, 12, 4, 2), (300, 9, 3, 2), (130, 6, 6, 4), (100, 16, 3, 3), (140, 9, 9, 5),
     (200, 8, 7, 8)],
)  # fmt: skip
def test_streams_are_decoded_wave_by_wave(dims, window, stride, group):
    rng, n = np.random.default_rng(dims), 350
    index = layout.Index(n, [codewords_part(n, dims, window, stride, group, rng)])
    index.bias = np.arange(n, dtype=np.float32) * 10000 * (dims == 300)  # the last wave overflows
    search = Search(index, layout.queries(index, 9, rng), 4, 8, 64)
    blocks = np.arange(11) if dims == 300 else rng.permutation(11)
    search.wave(blocks[:2].copy(), dense=True)
    search.wave(blocks[2:5].copy())
    search.wave(blocks[5:].copy())
    search.check()


def test_masks_and_lists():
    n, rng = 700, np.random.default_rng(4)
    index = layout.Index(n, [layout.part(PAIRS, n, 48, rng)])
    index.ids = rng.permutation(n)
    index.owners = rng.integers(0, 5, 22).astype(np.int32)
    search = Search(index, layout.queries(index, 3, rng, lists=5), 10, 8, 128, many=True)
    blocks = rng.permutation(22)[:14]
    masks = rng.integers(0, 2**32, 14, dtype=np.uint32)
    masks[1], masks[7] = 0, 0
    search.wave(blocks[:3].copy(), masks[:3].copy(), dense=True)
    search.wave(blocks[3:].copy(), masks[3:].copy())
    rows = (32 * blocks[:, None] + np.arange(32))[(masks[:, None] >> np.arange(32) & 1) == 1]
    search.check(np.sort(rows[rows < n]))


@pytest.mark.parametrize("keep", [16, 1024])
def test_merging_lists_of_keys(keep):
    rng = np.random.default_rng(5)
    keys = rng.permutation(np.arange(1, 9001, dtype=np.uint64)).reshape(2, 4500)
    keys[:, ::7] = 0
    before = np.sort(rng.integers(9000, 20000, (2, keep)).astype(np.uint64))[:, ::-1].copy()
    out = np.full((2, 3, keep), POISON, np.uint64)
    program = emulate("topk.cu", ("vq_merge", "vq_answer"), VQ_KEEP=keep)
    program.run("vq_merge", (3, 2), keys, i64(4500), i64(1500), i64(4499), None, u32(0), i32(0),
                before, None, out, i32(keep))  # fmt: skip
    for q in range(2):
        for p in range(3):
            given_keys = keys[q, 1500 * p : min(1500 * (p + 1), 4499)]
            if p == 0:
                given_keys = np.concatenate([given_keys, before[q]])
            expected = np.sort(given_keys)[::-1][:keep]
            assert (out[q, p] == expected).all()


def test_keys_below_a_floor_are_passed_over():
    rng, k = np.random.default_rng(6), 10
    keys = rng.permutation(np.arange(1, 1001, dtype=np.uint64)).reshape(2, 500)
    floors = np.array([np.sort(keys[0])[-k], 0], np.uint64)  # one is the k-th best itself
    out = np.full((2, 2, KEEP), POISON, np.uint64)
    emulate("topk.cu", ("vq_merge", "vq_answer"), VQ_KEEP=KEEP).run(
        "vq_merge", (2, 2), keys, i64(500), i64(250), i64(500), None, u32(0), i32(0), None, floors,
        out, i32(k),
    )  # fmt: skip
    for q in range(2):
        assert (np.sort(out[q].ravel())[::-1][:k] == np.sort(keys[q])[::-1][:k]).all()
    assert (out[0] > 0).sum() == k  # and nothing else


def test_no_rows_that_take_part():
    rng = np.random.default_rng(6)
    index = layout.Index(5, [layout.part(BYTES, 5, 16, rng)])
    search = Search(index, layout.queries(index, 1, rng), 3, 8, 32)
    search.wave(np.array([0]), np.zeros(1, np.uint32), dense=True)
    scores, ids = search.answer()
    assert (ids == -1).all()
    assert (scores == -np.inf).all()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_far_beyond_the_range_of_32_bits(kind):
    rng = np.random.default_rng(7)
    index, blocks = far_index(kind, rng)
    search = Search(index, layout.queries(index, 3, rng), 10, 8, 64, many=True)
    search.wave(blocks[1:].copy(), dense=True)
    search.wave(blocks[:1].copy())
    search.check()


@pytest.mark.slow
def test_threads_of_a_block_do_not_race():
    rng = np.random.default_rng(8)
    n, shapes = 600, [(BYTES, 700), (SIGNS, 20)]
    index = layout.Index(n, [layout.part(kind, n, dims, rng) for kind, dims in shapes])
    index.bias = 10000 * np.arange(n, dtype=np.float32)
    search = Search(index, layout.queries(index, 3, rng), 4, 8, 64, 8, sanitizer="thread")
    search.wave(np.arange(2), dense=True)
    search.wave(np.arange(2, 19))
    search.check()
