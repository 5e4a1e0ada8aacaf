"""Scans of signs by counting, of tables, of codewords and of floats, on an emulated block."""

import numpy as np
import pytest

from tests.cuda import layout
from tests.cuda.emulated import emulate, needs_compiler
from tests.cuda.layout import CODEWORDS, FLOATS, HALVES, NIBBLES, SIGNS, TABLE4, TABLE8, Part
from tests.cuda.scans import check, scan
from vqindex.kernels.gpu.launch import row_bytes
from vqindex.kernels.reference import codebook, decoded, table
from vqindex.layouts.codebook import CodebookCodes
from vqindex.layouts.table import TableCodes
from vqindex.sketches.qjl import QJL

pytestmark = needs_compiler
NONE16 = np.zeros(16, np.uint8)
MOST = 127 * 128  # an entry of a table


class Tables(Part):
    """Codes that are looked up; `levels` are the codes."""

    @property
    def codes_of_row(self):
        return TableCodes(self.levels.shape[1], 4 if self.kind == TABLE4 else 8)

    @property
    def entries(self):
        return self.codes_of_row.words * (16 if self.kind == TABLE4 else 1)

    @property
    def bytes(self):
        return self.codes_of_row.operand_bytes

    def ask(self, nq, rng):
        self.tables = rng.integers(0, MOST + 1, (nq, self.levels.shape[1], self.codes_of_row.size))
        self.tables[:, 0] = MOST
        spread = self.codes_of_row.spread(self.tables.reshape(nq, -1).astype(np.float32))
        entries = np.zeros((nq, self.bytes), np.int8)
        entries[:] = spread[:, : self.bytes // 4].astype(np.int32).view(np.int8)
        return entries, rng.normal(0, 9, nq).astype(np.float32)

    def raw(self, entries):
        return table.raw(self.levels, self.tables)


class Codewords(Part):
    """Streams of codes; `levels` are those that codes stand for."""

    def ask(self, nq, rng):
        entries, _ = super().ask(nq, rng)
        entries[:, self.extra_dims :] = 0
        total = entries.sum(axis=1, dtype=np.int64)
        return entries, total.astype(np.float32) * np.float32(0.5)


class Floats(Part):
    """Rows of floats; `levels` are the rows."""

    @property
    def entries(self):
        return -(-self.levels.shape[1] // 16) * 16

    @property
    def bytes(self):
        return 4 * self.entries

    def ask(self, nq, rng):
        values = np.zeros((nq, self.entries), np.float32)
        values[:, : self.levels.shape[1]] = rng.normal(0, 1, (nq, self.levels.shape[1]))
        return values.view(np.int8), np.full(nq, np.nan, np.float32)

    def value(self, entries, half, gamma):
        query = entries.view(np.float32)[:, : self.levels.shape[1]]
        return decoded.dot(self.levels.astype(np.float32), query)


def tables_part(kind, n, count, rng):
    codes = rng.integers(0, 16 if kind == TABLE4 else 256, (n, count)).astype(np.uint8)
    scale = rng.uniform(0.5, 2, n).astype(np.float32)
    return Tables(kind, layout.pack(kind, codes), codes, NONE16, scale)


def codewords_part(n, dims, window, stride, group, rng):
    book = rng.integers(-128, 128, (1 << window, group)).astype(np.int8)
    codes = CodebookCodes(dims, book, stride)
    streams = rng.integers(0, 2, (n, codes.codes * stride)).astype(np.uint8)
    columns = {"codes": np.zeros((n, codes.columns[0].width), np.uint8)}
    packed = np.packbits(streams, axis=1, bitorder="little")
    columns["codes"][:, : packed.shape[1]] = packed
    found = codebook.windows(streams, stride, window, codes.codes)
    wide = np.zeros((1 << window, 4 if group <= 4 else 8), np.int8)
    wide[:, :group] = book
    part = Codewords(
        CODEWORDS, layout.pieces(columns["codes"]), codebook.levels(found, book), NONE16, None,
        extra={"codebook": wide, "window": window, "stride": stride, "count": codes.codes,
               "group": group},
    )  # fmt: skip
    part.extra_dims = dims
    return part


def floats_part(kind, n, dims, rng):
    rows = rng.normal(0, 1, (n, dims)).astype(np.float32 if kind == FLOATS else np.float16)
    if kind == HALVES:
        rows[:3, 0] = [6e-8, -6e-5, 65504]
    return Floats(kind, layout.pieces(rows.view(np.uint8)), rows, NONE16)


@pytest.mark.parametrize("dims", [1, 31, 33, 128, 129, 1000, 128 * 128 + 1])
def test_signs_by_counting(dims):
    rng = np.random.default_rng(dims)
    n = 70 if dims < 2000 else 33
    index = layout.Index(n, [layout.part(SIGNS, n, dims, rng)])
    index.bias = rng.normal(0, 100, n).astype(np.float32)
    check(index, layout.queries(index, 2, rng), 20, file="sign.cu", parts=2)


@pytest.mark.parametrize("chunks", [1, 2, 16])
@pytest.mark.parametrize(("kind", "count"), [(TABLE4, 1), (TABLE4, 33), (TABLE4, 80),
                                             (TABLE8, 1), (TABLE8, 17), (TABLE8, 50)])  # fmt: skip
def test_tables_whole_and_in_pieces(kind, count, chunks):
    rng = np.random.default_rng(count)
    index = layout.Index(50, [tables_part(kind, 50, count, rng), tables_part(TABLE8, 50, 3, rng)])
    asked = layout.queries(index, 2, rng)
    check(index, asked, 30, file="table.cu", dynamic=8192 * chunks)


@pytest.mark.parametrize(
    ("dims", "window", "stride", "group"),
    [(1, 1, 1, 1), (7, 4, 4, 1), (64, 8, 8, 4), (65, 12, 4, 2), (100, 16, 3, 2), (33, 8, 8, 5),
     (130, 9, 9, 8), (20, 16, 1, 1), (300, 10, 7, 3)],
)  # fmt: skip
def test_codewords(dims, window, stride, group):
    rng = np.random.default_rng(dims)
    index = layout.Index(40, [codewords_part(40, dims, window, stride, group, rng)])
    check(index, layout.queries(index, 2, rng), 25, file="decoded.cu")


@pytest.mark.parametrize("dims", [1, 8, 15, 16, 17, 40, 129])
@pytest.mark.parametrize("kind", [FLOATS, HALVES])
def test_floats(kind, dims):
    rng = np.random.default_rng(dims)
    index = layout.Index(40, [floats_part(kind, 40, dims, rng)])
    check(index, layout.queries(index, 2, rng), 25, file="decoded.cu")


def test_families_follow_each_other():
    rng = np.random.default_rng(1)
    parts = [layout.part(NIBBLES, 90, 70, rng), tables_part(TABLE4, 90, 20, rng),
             layout.part(SIGNS, 90, 70, rng)]  # fmt: skip
    index = layout.Index(90, parts, bias=rng.normal(0, 9, 90).astype(np.float32))
    asked = layout.queries(index, 3, rng)
    sums = np.full((3, 96), np.nan, np.float32)
    scan(index, asked, 1, span=(0, 1), after=sums)
    scan(index, asked, 1, file="table.cu", span=(1, 2), before=sums, after=sums, dynamic=16384)
    assert (sums[:, :90] == layout.scores(index, asked, 2).T).all()
    check(index, asked, 40, file="sign.cu", span=(2, 3), before=sums)


@pytest.mark.parametrize("projection", ["orthogonal", "gaussian"])
@pytest.mark.parametrize(("dim", "bits"), [(5, 5), (20, 33), (128, 100), (192, 400)])
def test_qjl_signs_and_scales(dim, bits, projection):
    rng = np.random.default_rng(dim)
    sketch = QJL(bits, projection).fit(None, dim, 3)
    y = rng.normal(0, 1, (35, dim)).astype(np.float32)
    y[3] = 0
    columns = sketch.encode(y).columns
    first, chunks = 30, -(-bits // 128)
    codes = np.full((3, chunks, 32, 16), 0xA5, np.uint8)
    scale = np.full(96, np.nan, np.float32)
    if hasattr(sketch.blocks[0], "signs"):
        signs = np.stack([b.signs for b in sketch.blocks])
        mixes = np.stack([b.mixes for b in sketch.blocks])
    else:
        signs = np.ones((len(sketch.blocks), 1, dim), np.float32)
        mixes = np.stack([b.matrix.T[None] for b in sketch.blocks])
    worth = np.float32(2 / (bits * sketch.mean_magnitude))
    emulate("qjl.cu", ("vq_qjl",)).run(
        "vq_qjl", (2, 1), y, np.int64(35), np.int64(first), np.int32(dim), np.int32(bits),
        np.int32(mixes.shape[2]), np.int32(signs.shape[1]), signs, np.ascontiguousarray(mixes),
        codes, np.int32(chunks), scale, worth, threads=128,
        dynamic=3 * row_bytes(dim) + 16 * chunks,
    )  # fmt: skip
    expected = layout.pack(SIGNS, sketch.layout.unpack(columns).astype(np.uint8))
    own = codes.swapaxes(1, 2).reshape(96, -1)[first : first + 35]
    assert (own == expected.swapaxes(1, 2).reshape(64, -1)[:35]).all()
    assert (scale[first : first + 35] == columns[sketch.scale].ravel()).all()
