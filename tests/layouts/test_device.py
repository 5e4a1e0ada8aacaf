"""Codes as they lie on a GPU, packed from slabs: what the definitions give, row by row."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.kernels.reference import device as reference
from vqindex.layouts import device as layouts

DIMS = (1, 7, 63, 64, 65, 130, 200)


def slabs(codes, segment):
    return [np.concatenate(list(codes.chunks(codes.columns[i].name))) for i in segment.columns]


def coded(spec, d, n=1055):
    index = vq.index_factory(spec)
    x = np.random.default_rng(d).standard_normal((n, d)).astype(np.float32)
    index.fit(x).add(x)
    return index._rows


def check(got, rows):
    """Pieces are those of rows of bytes (n, bytes); there may be more chunks, of zeros."""
    want = reference.pieces(rows)
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    assert got.shape[::2] == want.shape[::2]
    np.testing.assert_array_equal(got[:, : want.shape[1]], want)
    assert not got[:, want.shape[1] :].any()


@pytest.mark.parametrize("d", DIMS)
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_scalar_codes(bits, d):
    rows = coded(f"EDEN{bits}", d)
    (segment,) = layouts.segments(rows.codec.scorer.fields)
    layout = rows.codec.quantizer.layout
    codes = layout.unpack(rows.codes.take(np.arange(rows.n)))
    packed = {
        1: lambda: reference.signs(codes > 0),
        2: lambda: reference.pairs(codes),
    }.get(bits, lambda: reference.nibbles(codes, bits))()
    got = segment.pack(*slabs(rows.codes, segment))
    assert got.shape[1] == segment.chunks
    check(got, packed)
    size = len(layout.segments[0].magnitudes)
    assert segment.table[:size] == bytes(layout.segments[0].magnitudes)
    assert segment.dims == -(-d // 64) * 64


@pytest.mark.parametrize("d", DIMS)
@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_rows_of_floats(kind, d):
    rows = coded(kind, d, n=70)
    (segment,) = layouts.segments(rows.codec.scorer.fields)
    whole = rows.codes.take(np.arange(rows.n), ["rows"])["rows"]
    check(segment.pack(*slabs(rows.codes, segment)), whole.view(np.uint8))
    assert segment.dims == -(-d // 16) * 16


@pytest.mark.parametrize("spec", ["PQ1x4", "PQ20x4", "PQ40x4", "PQ1x8", "PQ16x8", "PQ19x8"])
def test_codes_of_tables(spec):
    rows = coded(spec, 40)
    (segment,) = layouts.segments(rows.codec.scorer.fields)
    codes = rows.codec.quantizer.layout.unpack(rows.codes.take(np.arange(rows.n)))
    if spec.endswith("x4"):
        codes = reference.nibbles(codes, 4)
    check(segment.pack(*slabs(rows.codes, segment)), codes)


def test_levels():
    levels = np.random.default_rng(0).integers(-128, 128, (2, 32, 200)).astype(np.int8)
    rows = coded("SQ8", 130, n=64)
    (segment,) = layouts.segments(rows.codec.scorer.fields)
    assert segment.is_decoded
    own = np.ascontiguousarray(levels[:, :, : segment.dims]).reshape(64, -1)
    assert segment.dims == 192
    check(segment.pack(levels), own.view(np.uint8))


def test_a_column_of_numbers_has_no_codes():
    rows = coded("LVQ4", 40)
    kinds = [s.kind for s in layouts.segments(rows.codec.scorer.fields)]
    assert kinds == [layouts.NIBBLES, layouts.EMPTY]


@pytest.mark.parametrize(("d", "each"), [(40, 2), (300, 3)])
def test_outliers(d, each):
    rows = coded("NUQ4", d)
    codes, segment = layouts.segments(rows.codec.scorer.fields)
    assert (codes.kind, segment.kind) == (layouts.TABLE4, layouts.SPARSE)
    whole = rows.codes.take(np.arange(rows.n), ["outliers"])["outliers"]
    assert whole.shape[1] % each == 0
    check(segment.pack(*slabs(rows.codes, segment)), whole)


@pytest.mark.parametrize(
    ("spec", "window", "stride", "group"),
    [("TCQ2", 12, 4, 2), ("TCQ1.5", 12, 3, 2), ("VQ2", 4, 4, 2), ("VQ4", 4, 4, 4)],
)
def test_streams_of_codes(spec, window, stride, group):
    rows = coded(spec, 72, n=100)
    fields = rows.codec.scorer.fields
    (segment,) = layouts.segments(fields)
    assert (segment.kind, segment.dims, segment.pieces) == (layouts.CODEWORDS, 128, 8)
    whole = rows.codes.take(np.arange(rows.n), ["codes"])["codes"]
    assert whole.shape[1] == max(8, -(-36 * 2 // group * stride // 8))
    check(segment.pack(*slabs(rows.codes, segment)), whole)
    book = np.frombuffer(segment.codebook, np.int8).reshape(1 << window, 4)
    np.testing.assert_array_equal(book[:, :group], rows.codec.quantizer.book.words)
    assert not book[:, group:].any()
    beside, _ = layouts.segments(np.repeat(fields, 2, axis=0))
    assert beside.kind == layouts.BYTES


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33])
def test_pieces_of_few_rows(n):
    rows = np.arange(20 * n, dtype=np.uint8).reshape(n, 20)
    pieces = reference.pieces(rows)
    assert pieces.shape == (-(-n // 32), 2, 32, 16)
    for i in range(n):
        assert pieces[i // 32, 0, i % 32].tolist() == rows[i, :16].tolist()
        assert pieces[i // 32, 1, i % 32].tolist() == [*rows[i, 16:].tolist(), *[0] * 12]
