"""Scores and searches, bit for bit, against the one formula in NumPy and a full sort."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from vqindex.codes import Codes
from vqindex.kernels.cpu import score, search, select
from vqindex.kernels.cpu.program import BLOCK, NONE, bind, table
from vqindex.kernels.reference import decoded, scalar
from vqindex.kernels.reference import score as reference
from vqindex.kernels.reference.select import top_k
from vqindex.layouts.base import Column
from vqindex.layouts.decoded import DecodedCodes
from vqindex.layouts.operands import GROUP, prepare
from vqindex.layouts.scalar import ScalarCodes, Segment
from vqindex.layouts.sign import SignCodes

ALL = np.uint32(0xFFFFFFFF)


def scalar_layout(*shape, prefix=""):
    rng = np.random.default_rng(len(shape))
    segments = []
    for dims, bits in shape:
        lower = rng.choice(127, 2 ** (bits - 1) - 1, replace=False)
        segments.append(Segment(dims, (*sorted(lower.tolist()), 127)))
    return ScalarCodes(tuple(segments), prefix)


# Terms of a program, each a layout and whether its rows have a scale; and whether there is a bias.
PROGRAMS = {
    "scalar": ([(scalar_layout((65, 4)), True)], True),
    "scalar without a bias": ([(scalar_layout((129, 7)), True)], False),
    "several segments": ([(scalar_layout((64, 8), (3, 6), (65, 3), (7, 1)), True)], True),
    "signs without a scale": ([(SignCodes(100), False)], True),
    "one dimension": ([(scalar_layout((1, 2)), False)], False),
    "a sketch": ([(scalar_layout((70, 2)), True), (SignCodes(130, "sketch_"), True)], True),
    "float32": ([(DecodedCodes(33, "f32"), False)], True),
    "float16": ([(DecodedCodes(100, "f16"), True)], False),
    "int8": ([(DecodedCodes(67, "i8"), True)], True),
}  # fmt: skip


def random_rows(layout, n, rng):
    """What a layout packs, and the same as one array for each segment."""
    if isinstance(layout, ScalarCodes):
        parts = [rng.integers(0, 1 << s.bits, (n, s.dims), np.uint8) for s in layout.segments]
        return np.concatenate(parts, axis=1), parts
    if isinstance(layout, SignCodes):
        signs = rng.random((n, layout.dims)) < 0.5
        return signs, [signs]
    if layout.kind == "i8":
        rows = rng.integers(-128, 128, (n, layout.dims), np.int8)
    else:
        rows = rng.standard_normal((n, layout.dims)).astype(layout.columns[0].dtype)
    return rows, [rows]


def parts_of(layout, parts, operands, start):
    """Reference parts (n, nq) of a term whose operand begins at byte `start`."""
    program, nq = operands.program, operands.nq
    which = range(len(program)) if start == 0 else range(len(program) - len(parts), len(program))
    for s, part in zip(which, parts, strict=False):
        if isinstance(layout, DecodedCodes) and layout.is_float:
            yield decoded.dot(part, operands.entries[:nq, : layout.dims])
            continue
        entries = operands.entries[:nq, start : start + part.shape[1]]
        if isinstance(layout, ScalarCodes):
            magnitudes = np.array(layout.segments[s].magnitudes, np.int8)
            raw = scalar.raw(part, magnitudes, entries)
        elif isinstance(layout, SignCodes):
            raw = scalar.raw(part.astype(np.uint8), np.zeros(1, np.int8), entries)
        else:
            raw = decoded.raw(part, entries)
        yield reference.part(raw, operands.half[s, :nq], operands.gamma[s, :nq])
        start += -(-part.shape[1] // 64) * 64


@dataclass
class Case:
    """Random rows of a program, stored; random queries, prepared."""

    terms: list
    has_bias: bool
    n: int
    rng: np.random.Generator
    rows: list = field(default_factory=list)

    def __post_init__(self):
        self.ids = self.rng.permutation(3 * self.n)[: self.n].astype(np.int64)
        columns, arrays = [Column("id", np.dtype(np.int64))], {"id": self.ids}
        self.scales, self.bias = [], None
        for t, (layout, scaled) in enumerate(self.terms):
            packed, parts = random_rows(layout, self.n, self.rng)
            self.rows.append(parts)
            columns += layout.columns
            arrays |= layout.pack(packed)
            self.scales.append(self.factors() if scaled else None)
            if scaled:
                columns.append(Column(f"scale{t}", np.dtype(np.float32)))
                arrays[f"scale{t}"] = self.scales[-1]
        if self.has_bias:
            self.bias = -self.factors()
            columns.append(Column("bias", np.dtype(np.float32)))
            arrays["bias"] = self.bias
        self.codes = Codes(columns)
        self.codes.append(arrays)
        parts, start = [], 0
        for t, (layout, _) in enumerate(self.terms):
            parts.append(
                layout.program(self.codes.index, self.codes.index.get(f"scale{t}", NONE), start)
            )
            start += layout.operand_bytes
        self.fields = np.concatenate(parts)
        self.program = bind(self.fields, self.codes.addresses)
        self.bias_table = table(self.codes.addresses, self.codes.index.get("bias", NONE))
        self.id_table = table(self.codes.addresses, 0)

    def factors(self):
        """A few values, so that scores tie, with zeros and a tiny one."""
        values = np.float32([0, 0.5, 1, 1.7, 1e-3, 1e-40])
        return self.rng.choice(values, self.n)

    def prepare(self, nq):
        queries = [self.rng.standard_normal((nq, layout.dims)) for layout, _ in self.terms]
        spread = [
            layout.spread(q.astype(np.float32))
            for (layout, _), q in zip(self.terms, queries, strict=True)
        ]
        values = np.concatenate(spread, axis=1)
        zeros = np.zeros(nq, np.float32)
        return prepare(self.fields, values, zeros, zeros)

    def expected(self, operands):
        """Reference scores, (n, nq)."""
        parts, scales, start = [], [], 0
        for (layout, _), rows, scale in zip(self.terms, self.rows, self.scales, strict=True):
            parts += parts_of(layout, rows, operands, start)
            scales += [scale] * len(rows)
            start += layout.operand_bytes
        return reference.score(parts, scales, self.bias)


def case(name, n, seed=0):
    return Case(*PROGRAMS[name], n, np.random.default_rng([seed, n]))


def column(operands, q):
    """One query's entries, seed, half and gamma."""
    return [operands.entries[q]] + [
        np.ascontiguousarray(a[:, q]) for a in (operands.seed, operands.half, operands.gamma)
    ]


def addresses(arrays):
    return [array.ctypes.data for array in arrays]


def scratch(operands):
    stride = operands.row_bytes
    return np.full((BLOCK, stride), 0xA5, np.uint8), np.full((BLOCK, score.CHUNK), -1, np.int32)


def score_blocks(case, operands, blocks):
    """(32 * blocks, nq) for at most CHUNK queries."""
    out = np.full((len(blocks), BLOCK, score.CHUNK), np.nan, np.float32)
    search.score_blocks(
        case.program, case.bias_table, blocks, operands.packed.view(np.uint8).reshape(-1),
        GROUP * operands.row_bytes, operands.seed, operands.half, operands.gamma,
        *scratch(operands), out,
    )  # fmt: skip
    padded = operands.seed.shape[1]
    assert np.isnan(out[..., padded:]).all()
    return out[..., : operands.nq].reshape(-1, operands.nq)


def masks_of(n, allowed=None):
    blocks = -(-n // BLOCK)
    bits = np.zeros(BLOCK * blocks, bool)
    bits[:n] = True if allowed is None else allowed
    return np.packbits(bits, bitorder="little").view("<u4").astype(np.uint32)


def empty(nq, k, padded, spare=32):
    """Candidate buffers: scores, rows, counts, thresholds."""
    thresholds = np.full(padded, np.inf, np.float32)
    thresholds[:nq] = -np.inf
    shape = nq, k + spare
    return (
        np.full(shape, np.nan, np.float32), np.full(shape, 2**40), np.zeros(nq, np.int64),
        thresholds,
    )  # fmt: skip


def finish(case, kept, k):
    scores, rows, counts, _ = kept
    out = np.full((len(counts), k), np.nan, np.float32), np.full((len(counts), k), -77)
    select.finish(scores, rows, counts, k, case.id_table, *out)
    return out


def top_k_blocks(case, operands, k, blocks, masks, kept):
    search.top_k_blocks(
        case.program, case.bias_table, case.id_table, blocks, masks,
        operands.packed.view(np.uint8).reshape(-1), GROUP * operands.row_bytes, operands.seed,
        operands.half, operands.gamma, k, *kept, *scratch(operands),
        np.full((BLOCK, score.CHUNK), np.nan, np.float32),
    )  # fmt: skip


def best_of_blocks(case, operands, k, masks=None, spare=32):
    masks = masks_of(case.n) if masks is None else masks
    kept = empty(operands.nq, k, operands.seed.shape[1], spare)
    top_k_blocks(case, operands, k, np.arange(len(masks)), masks, kept)
    return finish(case, kept, k)


def same(got, want):
    """Scores bit for bit, and ids."""
    return got[0].tobytes() == want[0].tobytes() and np.array_equal(got[1], want[1])


@pytest.mark.parametrize("n", [1, 70])
@pytest.mark.parametrize("name", PROGRAMS)
def test_score_row_equals_the_reference(name, n):
    this = case(name, n)
    operands = this.prepare(3)
    want = this.expected(operands)
    for q in range(3):
        one = column(operands, q)
        got = np.full(n, np.nan, np.float32)
        search.score_rows(this.program, this.bias_table, np.arange(n), *addresses(one), got)
        assert got.tobytes() == want[:, q].tobytes()
        each = [
            score.score_row(
                this.program.ctypes.data, len(this.program), this.bias_table, i, *addresses(one)
            )
            for i in range(n)
        ]  # fmt: skip
        assert np.float32(each).tobytes() == got.tobytes()


@pytest.mark.parametrize("nq", [1, 15, 16, 17, 32, 33, 48, 63, 64])
@pytest.mark.parametrize("name", PROGRAMS)
def test_score_blocks_equals_the_reference(name, nq):
    this = case(name, 70)
    operands = this.prepare(nq)
    got = score_blocks(this, operands, np.arange(3))
    assert got[:70].tobytes() == this.expected(operands).tobytes()


@pytest.mark.parametrize("name", PROGRAMS)
def test_more_queries_than_a_chunk(name):
    this = case(name, 40)
    operands = this.prepare(70)
    parts = [
        score_blocks(this, operands.select(*range_), np.arange(2)) for range_ in ((0, 64), (64, 70))
    ]
    assert np.hstack(parts)[:40].tobytes() == this.expected(operands).tobytes()


def test_blocks_of_any_slab_in_any_order():
    this = case("several segments", 4200)
    operands = this.prepare(5)
    want = this.expected(operands)
    blocks = np.array([131, 0, 128, 127])
    got = score_blocks(this, operands, blocks)
    rows = (blocks[:, None] * BLOCK + np.arange(BLOCK)).reshape(-1)
    there = rows < this.n
    assert got[there].tobytes() == want[rows[there]].tobytes()
    listed = np.array([4199, 0, 4095, 4096, 4096])
    one, out = column(operands, 4), np.full(5, np.nan, np.float32)
    search.score_rows(this.program, this.bias_table, listed, *addresses(one), out)
    assert out.tobytes() == want[listed, 4].tobytes()


def row_and_block_scores(this, scale, codes, entry):
    """Scores of the given codes (n, dims) with one query of equal entries, by either way."""
    rows = np.arange(len(codes))
    packed = this.terms[0][0].pack(codes)
    this.codes.put(rows, {"id": rows, "scale0": np.full(len(codes), scale, np.float32), **packed})
    values = this.terms[0][0].spread(np.full((1, codes.shape[1]), entry, np.float32))
    operands = prepare(this.fields, values, np.zeros(1, np.float32), np.zeros(1, np.float32))
    got, one = np.full(len(codes), np.nan, np.float32), column(operands, 0)
    search.score_rows(this.program, this.bias_table, rows, *addresses(one), got)
    return got, score_blocks(this, operands, np.arange(1))[: len(codes), 0]


def test_a_negative_zero_is_the_same_from_a_row_and_from_a_block():
    this = Case([(scalar_layout((1, 1)), True)], False, 8, np.random.default_rng(0))
    one, many = row_and_block_scores(this, 1e-45, np.arange(8, dtype=np.uint8)[:, None] % 2, 1e-3)
    assert (one == 0).all()
    assert np.signbit(one).any()
    assert one.tobytes() == many.tobytes()


def test_sums_of_many_dimensions_do_not_overflow():
    """With ROW_BIAS in them they pass 2**31 on the way; without it they do not."""
    dims = 70_000
    this = Case([(scalar_layout((dims, 1)), True)], False, 2, np.random.default_rng(0))
    codes = np.repeat(np.uint8([[0], [1]]), dims, axis=1)
    one, many = row_and_block_scores(this, 1.0, codes, 127)
    raw = np.array([[127], [-128]]) * 127 * dims
    want = reference.part(raw, np.float32([127 * dims / 2]), np.float32([1]))
    assert one.tobytes() == many.tobytes() == want.tobytes()


@pytest.mark.parametrize("nq", [1, 16, 70, 130])
@pytest.mark.parametrize("name", PROGRAMS)
def test_top_k_blocks_equals_a_full_sort(name, nq):
    this = case(name, 300)
    operands = this.prepare(nq)
    want = this.expected(operands).T
    for k in (1, 10, 301):
        assert same(best_of_blocks(this, operands, k), top_k(want, this.ids, k))
    assert same(best_of_blocks(this, operands, 10, spare=1), top_k(want, this.ids, 10))


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 1])
@pytest.mark.parametrize("n", [1, 31, 32, 33, 500])
def test_masked_rows_are_never_found(n, share):
    this = case("scalar", n)
    operands = this.prepare(9)
    allowed = this.rng.random(n) < share
    want = this.expected(operands)[allowed].T
    got = best_of_blocks(this, operands, 7, masks_of(n, allowed))
    assert same(got, top_k(np.ascontiguousarray(want), this.ids[allowed], 7))


def test_blocks_may_come_in_any_order_and_in_several_calls():
    this = case("a sketch", 300)
    operands = this.prepare(20)
    masks = masks_of(300)
    want = best_of_blocks(this, operands, 10)
    kept = empty(20, 10, 32)
    for blocks in np.array_split(this.rng.permutation(len(masks)), 3):
        top_k_blocks(this, operands, 10, blocks, masks[blocks], kept)
    assert same(finish(this, kept, 10), want)


def test_rows_below_the_threshold_are_not_kept():
    this = case("scalar", 300)
    operands = this.prepare(20)
    scores = this.expected(operands).T
    kept = empty(20, 10, 32)
    kept[3][:20] = np.sort(scores, axis=1)[:, -4]
    top_k_blocks(this, operands, 10, np.arange(10), masks_of(300), kept)
    above = np.where(scores >= np.sort(scores, axis=1)[:, -4:-3], scores, np.float32(-np.inf))
    want = top_k(above, this.ids, 10)
    want[1][want[0] == -np.inf] = -1
    assert same(finish(this, kept, 10), want)
    assert np.isinf(kept[3][20:]).all()


@pytest.mark.parametrize("name", PROGRAMS)
def test_top_k_rows_equals_a_full_sort_of_those_listed(name):
    this = case(name, 300)
    operands = this.prepare(2)
    listed = this.rng.permutation(300)[:200]
    want = np.ascontiguousarray(this.expected(operands)[listed].T)
    for q, k in ((0, 5), (1, 201)):
        kept, one = empty(1, k, 1), column(operands, q)
        search.top_k_rows(
            this.program, this.bias_table, this.id_table, listed, *addresses(one), k, *kept
        )
        assert same(finish(this, kept, k), top_k(want[q : q + 1], this.ids[listed], k))
