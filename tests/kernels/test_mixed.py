"""Codes of mixed bits as they lie in blocks, against the integer reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.codes import Codes
from vqindex.kernels.cpu import mixed, simd
from vqindex.kernels.cpu.program import BLOCK, NONE, SLAB, bind
from vqindex.kernels.cpu.score import decode_block
from vqindex.kernels.reference import mixed as reference
from vqindex.layouts.mixed import MixedCodes

POISON = 0xA5
SHAPES = st.integers(1, 4).flatmap(
    lambda words: st.lists(st.integers(1, 7), min_size=8 * words, max_size=8 * words)
).map(lambda bits: tuple(sorted(bits, reverse=True)))  # fmt: skip
PLAIN = [
    (1,) * 8,
    (7,) * 8,
    (2, *(1,) * 7),
    (7, 6, 5, 4, 3, 2, 1, 1),
    (5, *(4,) * 15),
    (3,) * 7 + (1,) * 9,
]


def layout_of(bits, dims=None, fine=0):
    """A layout with random magnitudes, ascending within each number of bits."""
    rng = np.random.default_rng(len(bits))
    tables = np.zeros((len(bits) // 8, 128), np.uint8)
    for table in tables:
        for b in range(1, 8):
            chosen = rng.choice(128, 2 ** (b - 1), replace=False)
            table[2 ** (b - 1) : 2**b] = np.sort(chosen)
    return MixedCodes(dims or 8 * len(bits), bits, tables, fine)


def codes_of(layout, n, seed=0):
    """Random codes (n, 64 * words), zero beyond the layout's entries."""
    rng = np.random.default_rng([seed, n])
    codes = rng.integers(0, 1 << layout.entry_bits, (n, len(layout.entry_bits))).astype(np.uint8)
    codes[:, layout.dims :] = 0
    return codes


class Case:
    """Random codes, stored, and a bound program."""

    def __init__(self, bits, n, fine=0):
        self.layout = layout_of(bits, fine=fine)
        self.codes = codes_of(self.layout, n)
        self.store = Codes(self.layout.columns)
        self.store.append(self.layout.pack(self.codes))
        self.fields = bind(self.layout.program(self.store.index, NONE, 0), self.store.addresses)
        self.want = reference.levels_of(self.codes, self.layout.entry_bits, self.layout.tables)

    def dot(self, i, query):
        """The sum over row i's first levels, as bytes, and so many entries."""
        levels = self.want[i, : len(query)].astype(np.int64) + simd.ROW_BIAS
        return levels @ query

    def row(self, i):
        """The addresses of row i's sign plane block and other planes, and its place inside."""
        block, inside = divmod(i, BLOCK)
        found = []
        for column, place in ((0, 0), (len(self.store.columns) - 1, inside)):
            row_bytes = self.store.columns[column].row_bytes
            slab = int(self.store.addresses[column, block // SLAB])
            found.append(slab + (block % SLAB * BLOCK + place) * row_bytes)
        return *found, inside


def check(bits, n, fine=0):
    case = Case(bits, n, fine)
    segment, width = case.fields[0].ctypes.data, case.codes.shape[1]
    query = np.random.default_rng(n).integers(-127, 128, width + 64 * fine, np.int8)
    first, more = query[:width], query[width:]
    for i in range(n):
        plane, rest, inside = case.row(i)
        got = mixed.dot_row(plane, rest, segment, inside, query.ctypes.data)
        assert got == (case.dot(i, first), case.dot(i, more))


def check_blocks(bits, n, fine=0):
    """Decode whole blocks: rows beyond the last of n may be anything."""
    case = Case(bits, n, fine)
    stride = case.layout.operand_bytes + 64
    out = np.empty((BLOCK, stride), np.uint8)
    for block in range(case.store.nblocks):
        out[:] = POISON
        decode_block(case.fields.ctypes.data, len(case.fields), block, out.ctypes.data, stride)
        rows = case.want[BLOCK * block :][:BLOCK]
        levels = (out[: len(rows), :-64] - np.uint8(simd.ROW_BIAS)).view(np.int8)
        assert (levels == np.hstack([rows, rows[:, : 64 * fine]])).all()
        assert (out[:, -64:] == POISON).all()


@pytest.mark.parametrize("bits", PLAIN)
@pytest.mark.parametrize("n", [1, 33])
def test_rows_are_decoded_and_multiplied(bits, n):
    for fine in range(len(bits) // 8 + 1):
        check(bits, n, fine)
        check_blocks(bits, n, fine)


@given(SHAPES)
@settings(max_examples=40, deadline=None)
def test_any_bits(bits):
    check(bits, 5)
    check_blocks(bits, 5, 1)


def thresholds_of(layout, rng):
    """Ascending thresholds of each entry's own number."""
    limits = np.full((layout.words, 64, 64), np.inf, np.float32)
    for j, b in enumerate(layout.entry_bits):
        count = 2 ** (b - 1) - 1
        limits[j // 64, :count, j % 64] = np.sort(np.abs(rng.standard_normal(count)))
    return limits


@given(SHAPES, st.sampled_from([0, 1, 9]))
@settings(max_examples=40, deadline=None)
def test_encode_is_the_reference(bits, n):
    rng, layout = np.random.default_rng([*bits, n]), layout_of(bits)
    width = len(layout.entry_bits)
    values = rng.standard_normal((n, width)).astype(np.float32)
    values[rng.random((n, width)) < 0.1] = 0.0
    values[rng.random((n, width)) < 0.1] = -0.0
    limits, factors = thresholds_of(layout, rng), rng.lognormal(size=n).astype(np.float32)
    weights = rng.random((2, width)).astype(np.float32)
    if n:
        values[0, : width // 2] = limits[0, 0, 0] if np.isfinite(limits[0, 0, 0]) else 1
        factors[0] = 1
    columns, sums = layout.encode(values, factors, limits, weights)
    codes = reference.encode(values * factors[:, None], layout.entry_bits, limits)
    want = layout.pack(codes)
    assert columns.keys() == want.keys()
    assert all(columns[name].tobytes() == want[name].tobytes() for name in want)
    levels = reference.levels_of(codes, layout.entry_bits, layout.tables) + 0.5
    sizes = np.abs(values).astype(np.float64)
    exact = [(sizes * weights[0] * np.abs(levels)).sum(axis=1), (sizes * weights[1]).sum(axis=1)]
    bound = (2 + width / 16 + 4) * 2.0**-24 * 1.01
    assert (np.abs(sums - np.stack(exact, axis=1)) <= bound * np.stack(exact, axis=1)).all()
    for i in range(n):
        alone, one = layout.encode(values[i : i + 1], factors[i : i + 1], limits, weights)
        assert one.tobytes() == sums[i : i + 1].tobytes()
        assert all(alone[name].tobytes() == want[name][i : i + 1].tobytes() for name in want)
