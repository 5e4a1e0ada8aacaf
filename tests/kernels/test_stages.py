"""One query in two stages: bounds by their formula, searches by what the stages promise."""

from dataclasses import dataclass

import numpy as np
import pytest

from vqindex.codes import Codes
from vqindex.kernels.cpu import score, search, select, stages
from vqindex.kernels.cpu.program import BLOCK, NONE, bind, table
from vqindex.kernels.reference import scalar
from vqindex.kernels.reference import score as reference
from vqindex.kernels.reference.select import top_k
from vqindex.layouts.base import Column
from vqindex.layouts.operands import GROUP, prepare
from vqindex.layouts.scalar import ScalarCodes, Segment

F32 = np.float32
SHAPES = [[(1, 1)], [(100, 1)], [(65, 4)], [(64, 8), (7, 5), (129, 1)], [(63, 3), (64, 2)]]


@dataclass
class Case:
    """Random codes of segments (dims, bits), their factors, and one random query."""

    shape: list
    n: int
    has_ratio: bool = True
    has_bias: bool = True

    def __post_init__(self):
        rng = self.rng = np.random.default_rng([self.n, *np.ravel(self.shape)])
        magnitudes = [
            np.sort(rng.choice(128, 2 ** (bits - 1), replace=False)) for _, bits in self.shape
        ]
        self.magnitudes = [m.astype(np.int8) for m in magnitudes]
        self.layout = ScalarCodes(tuple(
            Segment(dims, tuple(m.tolist()))
            for (dims, _), m in zip(self.shape, magnitudes, strict=True)
        ))  # fmt: skip
        self.parts = [
            rng.integers(0, 1 << bits, (self.n, dims), np.uint8) for dims, bits in self.shape
        ]
        self.ids = rng.permutation(self.n).astype(np.int64)
        self.scale = rng.choice(F32([0.5, 1, 1.3, 2]), self.n)
        self.ratio = rng.choice(np.float16([1, 40, 70.5]), self.n)
        self.bias = rng.choice(F32([-1, -0.3, 2]), self.n)
        columns = [*self.layout.columns] + [
            Column(name, np.dtype(dtype))
            for name, dtype in (("id", "i8"), ("scale", "f4"), ("ratio", "f2"), ("bias", "f4"))
        ]
        self.codes = Codes(columns)
        packed = self.layout.pack(np.concatenate(self.parts, axis=1))
        self.codes.append({
            "id": self.ids, "scale": self.scale, "ratio": self.ratio, "bias": self.bias, **packed,
        })  # fmt: skip
        self.blocks = np.arange(self.codes.nblocks)
        fields = self.layout.program(self.codes.index, self.codes.index["scale"], 0)
        self.program = bind(fields, self.codes.addresses)
        queries = rng.standard_normal((1, self.layout.dims)).astype(F32)
        zeros = np.zeros(1, F32)
        self.operands = prepare(fields, self.layout.spread(queries), zeros, zeros)
        names = ("seed", "half", "gamma")
        self.one = [np.ascontiguousarray(getattr(self.operands, name)[:, 0]) for name in names]
        self.planes = self.operands.bit_planes[0]

    def table(self, name, wanted=True):
        return table(self.codes.addresses, self.codes.index[name] if wanted else NONE)

    def bounds(self, slack, masks=None):
        """What the kernel makes of all blocks, (blocks, 32)."""
        _, half, gamma = self.one
        out = np.full((len(self.blocks), BLOCK), np.nan, F32)
        stages.plane_bounds(
            self.program, len(self.program), self.table("bias", self.has_bias),
            self.table("ratio", self.has_ratio), self.blocks,
            masks_of(self.n) if masks is None else masks, self.planes.ctypes.data,
            half.ctypes.data, gamma.ctypes.data, F32(slack), np.empty(BLOCK, np.int32), out,
        )  # fmt: skip
        return out

    def reference_parts(self, magnitudes, signs_only):
        for s, (codes, (dims, bits)) in enumerate(zip(self.parts, self.shape, strict=True)):
            start = 64 * sum(segment.words for segment in self.layout.segments[:s])
            entries = self.operands.entries[:1, start : start + dims]
            codes = codes >> (bits - 1) if signs_only else codes
            raw = scalar.raw(codes, magnitudes[s], entries)
            yield reference.part(raw, self.operands.half[s, :1], self.operands.gamma[s, :1])

    def expected_bounds(self, slack):
        """(n,) float32"""
        parts = self.reference_parts([np.zeros(1, np.int8)] * len(self.shape), signs_only=True)
        ratio = self.ratio.astype(F32) if self.has_ratio else None
        bias = self.bias if self.has_bias else None
        return reference.bound(list(parts), F32([slack]), self.scale, ratio, bias)[:, 0]

    def expected_scores(self):
        """(n,) float32"""
        parts = list(self.reference_parts(self.magnitudes, signs_only=False))
        bias = self.bias if self.has_bias else None
        return reference.score(parts, [self.scale] * len(parts), bias)[:, 0]

    def staged(self, bounds, k, blocks=None):
        """Scores and ids of the staged search, and how many rows it read."""
        kept, first = empty(k), empty(stages.shortlist(k))
        query = self.operands.entries[0].ctypes.data
        seed, half, gamma = (array.ctypes.data for array in self.one)
        read = stages.top_k_staged(
            self.program, self.table("bias", self.has_bias), self.table("id"), bounds,
            self.blocks if blocks is None else blocks, query, seed, half, gamma, k, *first,
            np.empty(64, np.int64), *kept,
        )  # fmt: skip
        return *self.finish(kept, k), read

    def finish(self, kept, k):
        out = np.full((1, k), np.nan, F32), np.full((1, k), -77)
        select.finish(*kept[:3], k, self.table("id"), *out)
        return out

    def unstaged(self, k, masks):
        kept, stride = empty(k, 16), self.operands.row_bytes
        ops = self.operands
        search.top_k_blocks(
            self.program, self.table("bias", self.has_bias), self.table("id"), self.blocks, masks,
            ops.packed.view(np.uint8).reshape(-1), GROUP * stride, ops.seed, ops.half, ops.gamma, k,
            *kept, np.empty((BLOCK, stride), np.uint8), np.empty((BLOCK, score.CHUNK), np.int32),
            np.empty((BLOCK, score.CHUNK), F32),
        )  # fmt: skip
        return self.finish(kept, k)


def masks_of(n, allowed=None):
    bits = np.zeros(-(-n // BLOCK) * BLOCK, bool)
    bits[:n] = True if allowed is None else allowed
    return np.packbits(bits, bitorder="little").view("<u4").astype(np.uint32)


def empty(k, padded=1):
    thresholds = np.full(padded, np.inf, F32)
    thresholds[0] = -np.inf
    shape = (1, 2 * k + 32)
    return np.full(shape, np.nan, F32), np.full(shape, 2**40), np.zeros(1, np.int64), thresholds


def best_allowed(bounds, scores, ids, k):
    """What top_k_staged promises, by sorting: (k,) scores and ids, and rows read."""
    there = np.flatnonzero(bounds > -np.inf)
    first = there[np.lexsort((ids[there], -bounds[there]))[: stages.shortlist(k)]]
    reached = np.sort(scores[first])[::-1]
    least = reached[k - 1] if len(reached) >= k else F32(-np.inf)
    left = np.union1d(first, there[bounds[there] >= least])
    return *top_k(scores[None, left], ids[left], k), len(left)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("has_ratio", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_bounds_equal_their_formula(shape, has_ratio, has_bias):
    for n in (1, 32, 33, 200):
        case = Case(shape, n, has_ratio, has_bias)
        for slack in (0.0, 0.37, 1e5):
            got = case.bounds(slack).reshape(-1)
            assert got[:n].tobytes() == case.expected_bounds(slack).tobytes()
            assert (got[n:] == -np.inf).all()


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 1])
def test_masked_rows_have_no_bound(share):
    case = Case([(65, 4)], 4200)
    allowed = case.rng.random(case.n) < share
    got = case.bounds(1, masks_of(case.n, allowed)).reshape(-1)[: case.n]
    want = np.where(allowed, case.expected_bounds(1), F32(-np.inf))
    assert got.tobytes() == want.tobytes()


def test_bounds_of_some_blocks():
    case = Case([(64, 8), (7, 5), (129, 1)], 4200)
    everything = case.bounds(0.5)
    case.blocks = np.array([131, 3, 128, 127])
    got = case.bounds(0.5, masks_of(case.n)[case.blocks])
    assert got.tobytes() == everything[case.blocks].tobytes()


@pytest.mark.parametrize("dims", [1, 64, 100])
def test_the_bound_of_a_sign_code_is_its_score(dims):
    case = Case([(dims, 1)], 100, has_ratio=False)
    case.magnitudes[0][:] = 0
    assert (case.bounds(0.0).reshape(-1)[:100] == case.expected_scores()).all()


@pytest.mark.parametrize("k", [1, 10, 500])
@pytest.mark.parametrize("share", [0, 0.02, 1])
def test_keep_bounds_equals_a_full_sort(k, share):
    case = Case([(1, 1)], 300)  # few different bounds
    allowed = case.rng.random(case.n) < share
    bounds = case.bounds(0, masks_of(case.n, allowed))
    kept = empty(k)
    stages.keep_bounds(bounds, case.blocks, k, case.table("id"), *kept)
    want = np.ascontiguousarray(bounds.reshape(-1)[: case.n][allowed])
    best, ids = top_k(want[None], case.ids[allowed], k)
    got, got_ids = case.finish(kept, k)
    assert got.tobytes() == best.tobytes()
    assert (got_ids == ids).all()


@pytest.mark.parametrize("share", [0.02, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_large_slack_makes_the_stages_exact(shape, share):
    for n, k in ((1, 3), (33, 5), (700, 1), (700, 20), (200, 201)):
        case = Case(shape, n)
        masks = masks_of(n, case.rng.random(n) < share)
        got, got_ids, read = case.staged(case.bounds(1e7, masks), k)
        want, want_ids = case.unstaged(k, masks)
        assert got.tobytes() == want.tobytes()
        assert (got_ids == want_ids).all()
        assert read == np.bitwise_count(masks).sum()


@pytest.mark.parametrize("slack", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", [[(1, 2)], [(65, 4)], [(63, 3), (64, 2)]])
def test_rows_are_left_out_by_their_bound_alone(shape, slack):
    for n, k in ((40, 10), (700, 1), (700, 10), (1500, 40)):
        case = Case(shape, n)
        bounds, scores = case.bounds(slack), case.expected_scores()
        want, want_ids, want_read = best_allowed(bounds.reshape(-1)[:n], scores, case.ids, k)
        got, got_ids, read = case.staged(bounds, k)
        assert got.tobytes() == want.tobytes()
        assert (got_ids == want_ids).all()
        assert read == want_read


def test_the_order_of_blocks_changes_nothing():
    case = Case([(65, 4)], 1500)
    bounds = case.bounds(0.1)
    want, want_ids, want_read = case.staged(bounds, 10)
    order = case.rng.permutation(len(case.blocks))
    got, got_ids, read = case.staged(bounds[order], 10, case.blocks[order])
    assert got.tobytes() == want.tobytes()
    assert (got_ids == want_ids).all()
    assert read == want_read < case.n


def test_no_allowed_row():
    case = Case([(65, 4)], 100)
    got, ids, read = case.staged(case.bounds(1, np.zeros(4, np.uint32)), 3)
    assert got.tolist() == [[-np.inf] * 3]
    assert ids.tolist() == [[-1] * 3]
    assert read == 0


def test_bounds_that_fail_never_cost_a_result():
    """Rows below their own score are found as long as they are among those of highest bound."""
    case = Case([(65, 4)], 100)
    scores = case.expected_scores()
    bounds = np.full((4, BLOCK), -np.inf, F32)
    bounds.reshape(-1)[:100] = scores - F32(1e6)
    got, ids, read = case.staged(bounds, 20)
    want, want_ids = top_k(scores[None], case.ids, 20)
    assert got.tobytes() == want.tobytes()
    assert (ids == want_ids).all()
    assert read == stages.shortlist(20)
