"""Random rows of every kind of program, stored, with random queries; scores by the reference."""

from dataclasses import dataclass, replace

import numpy as np

from vqindex.codes import Codes
from vqindex.kernels.cpu import records, search, select
from vqindex.kernels.cpu.program import BLOCK, NONE, OPERAND, bind, looked_words, table
from vqindex.kernels.cpu.records import Answers, Held, Kept, Stored
from vqindex.kernels.cpu.score import CHUNK
from vqindex.kernels.reference import codebook, decoded, mixed, scalar, score, sign, sparse
from vqindex.kernels.reference import table as table_codes
from vqindex.layouts.base import Column
from vqindex.layouts.codebook import CodebookCodes
from vqindex.layouts.decoded import DecodedCodes
from vqindex.layouts.mixed import MixedCodes
from vqindex.layouts.offset import OffsetColumn
from vqindex.layouts.operands import prepare
from vqindex.layouts.polar import PolarCodes
from vqindex.layouts.pyramid import PyramidCodes
from vqindex.layouts.scalar import ScalarCodes, Segment
from vqindex.layouts.sign import SignCodes
from vqindex.layouts.sparse import SparseCodes
from vqindex.layouts.table import TableCodes

F32 = np.float32


def scalar_layout(*shape, prefix=""):
    """A layout of (dims, bits) segments with random magnitudes, the largest among them."""
    rng = np.random.default_rng(len(shape))
    segments = []
    for dims, bits in shape:
        lower = rng.choice(127, 2 ** (bits - 1) - 1, replace=False)
        segments.append(Segment(dims, (*sorted(lower.tolist()), 127 if bits > 1 else 0)))
    return ScalarCodes(tuple(segments), prefix)


def first_bits(bits, *shape, **more):
    """A layout that reads so many of the first bits of codes of (dims, bits) segments."""
    read = scalar_layout(*((dims, min(bits, kept)) for dims, kept in shape))
    return replace(read, kept=tuple(kept for _, kept in shape), **more)


def mixed_layout(bits, dims, fine=0, weighed=False):
    """A layout of runs of these bits, with random magnitudes and weights."""
    rng = np.random.default_rng(len(bits))
    weights = rng.integers(1, 256, 8 * len(bits), np.int32) if weighed else None
    tables = np.zeros((len(bits) // 8, 128), np.uint8)
    for own in tables:
        for b in range(1, 8):
            own[2 ** (b - 1) : 2**b] = np.sort(rng.choice(128, 2 ** (b - 1), replace=False))
    return MixedCodes(dims, tuple(bits), tables, fine, weights)


def codebook_layout(dims, group, window, stride):
    words = np.random.default_rng(window).integers(-128, 128, (1 << window, group), np.int8)
    return CodebookCodes(dims, words, stride)


GAINS = (tuple(range(40, 300, 33)), tuple(range(30, 200, 22)))
ANGLES = (*np.linspace(0.2, 6.1, 16).tolist(), *np.linspace(0.1, 1.5, 12).tolist())
EDGES = (tuple(range(5, 12)), tuple(range(3, 10)))


@dataclass(frozen=True)
class Program:
    """Terms, each a layout and whether its rows have a scale; the columns beside them.

    signs   segments that are looked up
    """

    terms: tuple
    signs: int = 0
    bias: bool = True
    ratio: bool = True


def one(layout, scaled=True, signs=1, **more):
    return Program(((layout, scaled),), signs, **more)


SKETCH = (SignCodes(130, "sketch_"), True)
OFFSET = (OffsetColumn("offset"), False)
SIGNED = {
    "scalar": one(scalar_layout((65, 4))),
    "scalar without a bias": one(scalar_layout((129, 7)), bias=False),
    "several segments": one(scalar_layout((64, 8), (3, 6), (65, 3), (7, 1)), signs=4),
    "signs": one(SignCodes(100), ratio=False),
    "signs without a scale": one(SignCodes(64), False, ratio=False, bias=False),
    "signs of several segments": one(scalar_layout((63, 1), (65, 1)), signs=2, ratio=False),
    "one dimension": one(scalar_layout((1, 2)), False),
    "a sketch": Program(((scalar_layout((70, 2)), True), SKETCH), 2),
    "mixed bits with weights": one(mixed_layout([6, 3, *[2] * 14], 128, 2, True)),
    "tables of 4 bits": one(TableCodes(37, 4), ratio=False),
    "tables of 8 bits": one(TableCodes(5, 8), False, ratio=False),
    "tables and a sketch": Program(((TableCodes(2, 8), False), SKETCH), 2, ratio=False),
    "outliers": one(SparseCodes(300, 7), ratio=False),
    "tables and outliers": Program(
        ((TableCodes(33, 4), True), (SparseCodes(66, 3), True), SKETCH), 3, ratio=False
    ),
    "one bit and an offset": Program(((scalar_layout((65, 1)), True), OFFSET), 2, ratio=False),
    "the first bits of two segments": one(first_bits(2, (65, 4), (66, 3), ratio="ratio"), signs=2),
    "the signs of longer codes": one(first_bits(1, (130, 6), ratio="ratio"), bias=False),
    "the first bits, finer": one(first_bits(6, (65, 8), worth=16)),
    "a sketch left out": Program(((scalar_layout((64, 3), (6, 2)), True), SKETCH), 2, ratio=False),
}
PROGRAMS = SIGNED | {
    "float32": one(DecodedCodes(33, "f32"), False, 0, ratio=False),
    "float16": one(DecodedCodes(100, "f16"), signs=0, ratio=False, bias=False),
    "int8": one(DecodedCodes(67, "i8"), signs=0, ratio=False),
    "mixed bits": one(mixed_layout([7, 5, 4, 4, 3, 2, 1, 1, *[1] * 8], 101), signs=0, ratio=False),
    "mixed bits, fine": one(mixed_layout([3, *[2] * 15], 128, 1), signs=0, ratio=False),
    "words": one(codebook_layout(67, 3, 7, 7), signs=0, ratio=False),
    "a trellis and a sketch": Program(((codebook_layout(71, 2, 10, 3), True), SKETCH), ratio=False),
    "an offset": Program(
        ((scalar_layout((65, 4)), True), OFFSET, (scalar_layout((65, 7), prefix="second_"), True)),
        ratio=False,
    ),
    "an offset alone": Program((OFFSET,), bias=False, ratio=False),
    "pyramid": one(PyramidCodes(100, 3, GAINS, EDGES), signs=0, ratio=False),
    "polar": one(PolarCodes(100, ANGLES), signs=0, ratio=False),
}
SLACKS = (0.0, 3.0, 300.0, 1e7)  # below most errors, about them, above most, above all


def random_rows(layout, n, rng):
    """What a layout packs, or its columns, and the same as one array for each segment."""
    if isinstance(layout, ScalarCodes) and layout.kept:
        dims = [s.dims for s in layout.segments]
        whole = scalar_layout(*zip(dims, layout.kept, strict=True))
        parts = [
            rng.integers(0, 1 << bits, (n, s.dims), np.uint8)
            for s, bits in zip(layout.segments, layout.kept, strict=True)
        ]
        read = [
            part >> (bits - s.bits)
            for part, s, bits in zip(parts, layout.segments, layout.kept, strict=True)
        ]
        return whole.pack(np.concatenate(parts, axis=1)), read
    if isinstance(layout, ScalarCodes):
        parts = [rng.integers(0, 1 << s.bits, (n, s.dims), np.uint8) for s in layout.segments]
        return np.concatenate(parts, axis=1), parts
    if isinstance(layout, MixedCodes):
        bits = layout.entry_bits[: layout.dims]
        codes = rng.integers(0, 1 << bits, (n, layout.dims)).astype(np.uint8)
        return codes, [codes] + [codes[:, : 64 * layout.fine]] * bool(layout.fine)
    if isinstance(layout, SignCodes):
        signs = rng.random((n, layout.dims)) < 0.5
        return signs, [signs]
    if isinstance(layout, TableCodes):
        codes = rng.integers(0, layout.size, (n, layout.parts), np.uint8)
        return codes, [codes]
    if isinstance(layout, SparseCodes):
        of_row = np.argsort(rng.random((n, layout.dims)))[:, : layout.count]
        of_row[: n // 2] = rng.integers(0, layout.dims, of_row[: n // 2].shape)
        values = rng.integers(-128, 128, of_row.shape, np.int8)
        return layout.pack(of_row, values), [np.stack([of_row, values])]
    if isinstance(layout, CodebookCodes):
        bits = codebook.stream(rng.integers(0, 1 << 16, (n, layout.codes)), layout.stride)
        codes = codebook.windows(bits, layout.stride, layout.window, layout.codes)
        return codes, [codebook.levels(codes, layout.codebook)[:, : layout.dims]]
    if isinstance(layout, OffsetColumn):
        ones = np.ones((n, 1), F32)
        return ones, [ones]
    if isinstance(layout, PyramidCodes | PolarCodes):
        columns = layout.encode((40 * rng.standard_normal((n, layout.dims))).astype(F32))
        columns = columns if isinstance(columns, dict) else columns[0]
        return columns, [np.floor(layout.unpack(columns)).astype(np.int8)]
    if layout.kind == "i8":
        rows = rng.integers(-128, 128, (n, layout.dims), np.int8)
    else:
        rows = rng.standard_normal((n, layout.dims)).astype(layout.columns[0].dtype)
    return rows, [rows]


def padded(rows):
    """Columns of zeros added, to a multiple of 64."""
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 64)))


class Case:
    """`n` rows of a program; what kernels are given of them, and what the reference makes."""

    def __init__(self, program, n, seed=0):
        self.program = PROGRAMS[program] if isinstance(program, str) else program
        self.n, self.rng = n, np.random.default_rng([seed, n])
        self.ids = self.rng.permutation(3 * n)[:n].astype(np.int64)
        columns, arrays = [Column("id", np.dtype(np.int64))], {"id": self.ids}
        self.parts, self.scales, self.layouts = [], [], []
        for t, (layout, scaled) in enumerate(self.program.terms):
            packed, parts = random_rows(layout, n, self.rng)
            columns += layout.columns
            self.parts += parts
            self.layouts += [layout] * len(parts)
            is_offset = isinstance(layout, OffsetColumn)
            few = F32([0, 0.5, 1, 1.7, 1e-3, 1e-40])
            scale = self.factors(few) if scaled or is_offset else None
            self.scales += [scale] * len(parts)
            if is_offset:
                arrays[layout.name] = scale
            else:
                arrays |= packed if isinstance(packed, dict) else layout.pack(packed)
                self.beside(f"scale{t}", scale, columns, arrays)
        self.bias = self.factors(F32([0, -0.5, -1, 2])) if self.program.bias else None
        self.beside("bias", self.bias, columns, arrays)
        ratio = self.factors(np.float16([1, 40, 70.5, 150])) if self.program.ratio else None
        self.beside("ratio", ratio, columns, arrays)
        self.rated = self.layouts.count(self.layouts[0])
        rated = [ratio.astype(F32)] * self.rated if self.program.ratio else []
        self.ratios = rated + [None] * (len(self.parts) - len(rated))
        self.codes = Codes(columns)
        self.codes.append(arrays)
        self.bind()

    def factors(self, few):
        """A few values, so that scores tie."""
        return self.rng.choice(few, self.n)

    @staticmethod
    def beside(name, values, columns, arrays):
        if values is not None:
            columns.append(Column(name, values.dtype))
            arrays[name] = values

    def bind(self):
        index, where = self.codes.index, self.codes.addresses
        fields, start = [], 0
        for t, (layout, _) in enumerate(self.program.terms):
            fields.append(layout.program(index, index.get(f"scale{t}", NONE), start))
            start += layout.operand_bytes
        self.fields = np.concatenate(fields)
        self.bound = bind(self.fields, where)
        bias, ids, ratio = (table(where, index.get(name, NONE)) for name in ("bias", "id", "ratio"))
        signs = self.program.signs
        self.stored = Stored(
            self.bound.ctypes.data, len(self.bound), bias, ids, ratio, signs, self.rated,
            looked_words(self.bound[:signs]), 0,
        )  # fmt: skip
        self.unbounded = self.stored._replace(signs=0, words=0)
        self.blocks = np.arange(self.codes.nblocks)

    def prepare(self, queries):
        """Operands of so many random queries, or of arrays (nq, dims), one for each term."""
        if isinstance(queries, int):
            shapes = [(queries, layout.dims) for layout, _ in self.program.terms]
            queries = [self.rng.standard_normal(shape) for shape in shapes]
        spread = [
            layout.spread(q.astype(F32))
            for (layout, _), q in zip(self.program.terms, queries, strict=True)
        ]
        zeros = np.zeros(len(queries[0]), F32)
        return prepare(self.fields, [np.concatenate(spread, axis=1)], zeros, zeros)

    def asked(self, operands, slack=0.0, packed=True, signs=None):
        """What kernels are given of queries, whose estimates are raised by `slack`."""
        signs = self.stored.signs if signs is None else signs
        return operands.asked(signs, np.full(operands.nq, slack, F32), packed)

    def entries(self, operands, s, dims):
        """What a segment meets of each query, (nq, dims)."""
        start = int(self.bound[s, OPERAND])
        return operands.entries[: operands.nq, start : start + dims]

    def tables(self, operands, s):
        """What a segment of table codes meets of each query, (nq, parts, size)."""
        layout = self.layouts[s]
        entries = np.ascontiguousarray(self.entries(operands, s, layout.operand_bytes))
        tables = entries.view(np.int32).reshape(operands.nq, layout.words, -1)
        if layout.bits == 4:
            tables = tables.reshape(operands.nq, -1, 2, 8, 16).swapaxes(2, 3)
        return tables.reshape(operands.nq, -1, layout.size)[:, : layout.parts].astype(np.int64)

    def sparse(self, operands, s):
        """The sums of a segment of outliers, (n, nq)."""
        entries = np.ascontiguousarray(self.entries(operands, s, 4 * self.layouts[s].dims))
        return sparse.raw(*self.parts[s], entries.view(np.int32))

    def scores(self, operands):
        """(n, nq) float32"""
        parts, nq = [], operands.nq
        for s, (layout, part) in enumerate(zip(self.layouts, self.parts, strict=True)):
            if isinstance(layout, DecodedCodes) and layout.is_float:
                parts.append(decoded.dot(part, operands.entries[:nq, : layout.dims]))
                continue
            if isinstance(layout, OffsetColumn):
                parts.append(part * operands.gamma[s, :nq])
                continue
            if isinstance(layout, SparseCodes):
                raw = self.sparse(operands, s)
                parts.append(score.part(raw, operands.half[s, :nq], operands.gamma[s, :nq]))
                continue
            entries = self.entries(operands, s, part.shape[1])
            if isinstance(layout, TableCodes):
                raw = table_codes.raw(part, self.tables(operands, s))
            elif isinstance(layout, DecodedCodes | CodebookCodes | PyramidCodes | PolarCodes):
                raw = decoded.raw(part, entries)
            elif isinstance(layout, MixedCodes):
                bits = layout.entry_bits[: part.shape[1]]
                t = mixed.levels_of(part, bits, layout.tables)
                raw = t.astype(np.int64) @ entries.astype(np.int64).T
            else:
                raw = scalar.raw(part.astype(np.uint8), self.magnitudes(s), entries)
            parts.append(score.part(raw, operands.half[s, :nq], operands.gamma[s, :nq]))
        scales = [
            scale * own if getattr(layout, "ratio", None) else scale
            for layout, scale, own in zip(self.layouts, self.scales, self.ratios, strict=True)
        ]
        return score.score(parts, scales, self.bias)

    def magnitudes(self, s):
        """Of a scalar or sign segment, (ksub / 2,) int8."""
        layout = self.layouts[s]
        segments = getattr(layout, "segments", (Segment(layout.dims, (0,)),))
        return np.int8(segments[s - self.layouts.index(layout)].magnitudes)

    def negative(self, s):
        """Signs of a segment's codes, (n, dims) bool."""
        if isinstance(self.layouts[s], MixedCodes):
            bits = self.layouts[s].entry_bits[: self.parts[s].shape[1]]
            return self.parts[s] >> (bits - 1) & 1 == 1
        return self.parts[s] >= len(self.magnitudes(s))

    def weighed(self, operands, s):
        """A segment's entries, as many as fill words, times its weights; and half their sums."""
        entries = padded(self.entries(operands, s, self.parts[s].shape[1])).astype(np.int64)
        weights = getattr(self.layouts[s], "weights", None)
        if weights is not None:
            entries *= weights
        entries *= getattr(self.layouts[s], "worth", 1)
        return entries, entries.sum(axis=1).astype(F32) * F32(0.5)

    def bounds(self, operands, slack=0.0):
        """(n, nq) float32"""
        estimates, nq, signs = [], operands.nq, self.stored.signs
        for s in range(signs):
            if isinstance(self.layouts[s], TableCodes):
                estimates.append(self.coarse(operands, s, slack))
                continue
            if isinstance(self.layouts[s], SparseCodes):
                base = operands.half[s, :nq] + F32(slack if s == 0 else 0)
                estimates.append(
                    score.estimate(self.sparse(operands, s), base, operands.gamma[s, :nq])
                )
                continue
            if isinstance(self.layouts[s], OffsetColumn):
                estimates.append(self.parts[s] * operands.gamma[s, :nq])
                continue
            entries, half = self.weighed(operands, s)
            tables, floor, span = sign.tables(entries)
            gamma = operands.gamma[s, :nq]
            base, unit, margin = score.line(half, gamma, floor, span, entries.shape[1] // 4)
            if s == 0:
                margin = np.maximum(margin, F32(slack))
            total = sign.table_sums(padded(self.negative(s)), tables)
            estimates.append(score.estimate(total, base + margin, unit))
        return score.bound(estimates, self.scales[:signs], self.ratios[:signs], self.bias)

    def coarse(self, operands, s, slack):
        """What bounds say of a segment of table codes, (n, nq)."""
        tables, layout = self.tables(operands, s), self.layouts[s]
        half, gamma = operands.half[s, : operands.nq], operands.gamma[s, : operands.nq]
        looked = 16 * layout.words if layout.bits == 4 else layout.words
        base, unit, margin = score.coarse_line(half, gamma, looked)
        if s == 0:
            margin = np.maximum(margin, F32(slack))
        total = table_codes.raw(self.parts[s], table_codes.coarse(tables))
        return score.estimate(total, base + margin, unit)

    def limited(self, operands, slack=0.0):
        """Scores, or bounds where they are less, (nq, n)."""
        scores = self.scores(operands).T
        bounds = self.bounds(operands, slack).T if self.stored.signs else scores
        return np.where(bounds < scores, bounds, scores)

    def finish(self, kept, k):
        """Scores and ids of what was kept, best first."""
        return finished(kept, k, self.stored.ids)


def finished(held, k, ids):
    """(nq, k) scores and ids of what was kept, best first."""
    nq = held.at.nq
    out = np.full((nq, k), np.nan, F32), np.full((nq, k), -77), np.full(nq, F32(-0.0))
    scores, found, alpha = (array.ctypes.data for array in out)
    select.finish(held.at, k, ids, alpha, Answers(scores, found, k))
    return out[:2]


def score_blocks(case, operands, blocks):
    """(32 * blocks, nq) for at most CHUNK queries."""
    asked = case.asked(operands, signs=0)
    out = np.full((len(blocks), BLOCK, CHUNK), np.nan, F32)
    scratch = records.scratch(asked.row_bytes)
    search.score_blocks(case.unbounded, blocks, asked, scratch, out)
    assert np.isnan(out[..., asked.padded :]).all()
    return out[..., : operands.nq].reshape(-1, operands.nq)


def masks_of(n, allowed=None):
    bits = np.zeros(-(-n // BLOCK) * BLOCK, bool)
    bits[:n] = True if allowed is None else allowed
    return np.packbits(bits, bitorder="little").view("<u4").astype(np.uint32)


def empty(nq, k, padded=None, spare=9):
    """A Kept with room for `spare` more than k candidates, all of it poisoned."""
    shape = nq, k + spare
    thresholds = np.full(padded or nq, np.nan, F32)
    thresholds[:nq] = -np.inf
    counts, reads = np.zeros((2, nq), np.int64)
    arrays = np.full(shape, np.nan, F32), np.full(shape, 2**40), counts, thresholds
    places = (array.ctypes.data for array in (*arrays, reads))
    return Held(Kept(*shape, *places), *arrays)


def same(got, want):
    """Scores bit for bit, and ids."""
    return got[0].tobytes() == want[0].tobytes() and np.array_equal(got[1], want[1])
