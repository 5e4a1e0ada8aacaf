"""Random rows of a program, stored, with random queries; scores and bounds by the reference."""

import numpy as np

from tests.kernels.programs import F32, PROGRAMS, random_rows
from vqindex.codes import Codes
from vqindex.kernels.cpu import records, search, select
from vqindex.kernels.cpu.program import BLOCK, NONE, OPERAND, bind, looked_words, table
from vqindex.kernels.cpu.records import Answers, Held, Kept, Stored
from vqindex.kernels.cpu.score import CHUNK
from vqindex.kernels.reference import decoded, mixed, scalar, score, sign, sparse
from vqindex.kernels.reference import table as table_codes
from vqindex.layouts.base import Column
from vqindex.layouts.codebook import CodebookCodes
from vqindex.layouts.decoded import DecodedCodes
from vqindex.layouts.mixed import MixedCodes
from vqindex.layouts.offset import OffsetColumn
from vqindex.layouts.operands import prepare
from vqindex.layouts.polar import PolarCodes
from vqindex.layouts.pyramid import PyramidCodes
from vqindex.layouts.scalar import Segment
from vqindex.layouts.sparse import SparseCodes
from vqindex.layouts.table import TableCodes

SLACKS = (0.0, 3.0, 300.0, 1e7)  # below most errors, about them, above most, above all


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
