"""Every kind of program that kernels run, and random rows of what its layouts pack."""

from dataclasses import dataclass, replace

import numpy as np

from vqindex.kernels.reference import codebook
from vqindex.layouts.codebook import CodebookCodes
from vqindex.layouts.decoded import DecodedCodes
from vqindex.layouts.mixed import MixedCodes
from vqindex.layouts.offset import OffsetColumn
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
