"""Scalar codes as they lie in blocks, against the integer reference."""

import numpy as np
import pytest

from vqindex.codes import Codes
from vqindex.kernels.cpu import scalar, simd
from vqindex.kernels.cpu.program import BLOCK, NONE, SLAB, bind
from vqindex.kernels.reference import scalar as reference
from vqindex.layouts.scalar import ScalarCodes, Segment

POISON = 0xA5
SEVERAL = [
    [(64, 8), (1, 5), (65, 5), (128, 1)],
    [(7, 6), (130, 2)],
    [(63, 7), (129, 4), (64, 3), (1, 1)],
]


def layout_of(shape, rng):
    """A layout of (dims, bits) segments with random magnitudes, the largest among them."""
    segments = []
    for dims, bits in shape:
        lower = rng.choice(127, 2 ** (bits - 1) - 1, replace=False)
        segments.append(Segment(dims, (*sorted(lower.tolist()), 127)))
    return ScalarCodes(tuple(segments))


class Case:
    """Random codes and a random query, packed and stored."""

    def __init__(self, shape, n):
        rng = np.random.default_rng([n, *np.ravel(shape)])
        self.layout = layout_of(shape, rng)
        self.codes = [rng.integers(0, 1 << bits, (n, dims), np.uint8) for dims, bits in shape]
        self.store = Codes(self.layout.columns)
        self.store.append(self.layout.pack(np.concatenate(self.codes, axis=1)))
        fields = self.layout.program(self.store.index, NONE, 0)
        self.fields = bind(fields, self.store.addresses)
        self.query = [rng.integers(-127, 128, (1, dims), np.int8) for dims, _ in shape]

    def segments(self):
        """Each segment's address in the program, magnitudes, codes and query."""
        for s, segment in enumerate(self.layout.segments):
            at = self.fields[s].ctypes.data
            yield at, np.array(segment.magnitudes, np.int8), self.codes[s], self.query[s]

    def block(self, name, block):
        """The address of a block in a column."""
        column = self.store.index.get(name, 0)
        row_bytes = self.store.columns[column].row_bytes
        slab = int(self.store.addresses[column, block // SLAB])
        return slab + block % SLAB * BLOCK * row_bytes

    def row(self, i):
        """The addresses of row i's sign plane block and other planes, and its place inside."""
        block, inside = divmod(i, BLOCK)
        rest = self.store.columns[-1].row_bytes * inside
        return self.block("plane", block), self.block("rest", block) + rest, inside


def padded(values):
    out = np.zeros((len(values), -(-values.shape[1] // 64) * 64), values.dtype)
    out[:, : values.shape[1]] = values
    return out


def check_decode_row(case):
    for segment, magnitudes, codes, _ in case.segments():
        want = reference.levels_of(padded(codes), magnitudes).astype(np.int64)
        out = np.full(want.shape[1] + 64, POISON, np.uint8)
        for i in range(len(codes)):
            plane, rest, inside = case.row(i)
            out[:-64] = POISON
            scalar.decode_row(plane, rest, segment, inside, out.ctypes.data)
            assert ((out[:-64] - np.uint8(simd.ROW_BIAS)).view(np.int8) == want[i]).all()
        assert (out[-64:] == POISON).all()


def check_dot_row(case):
    for segment, magnitudes, codes, query in case.segments():
        entries = padded(query)
        want = reference.raw(codes, magnitudes, query)[:, 0]
        want += simd.ROW_BIAS * query.sum(dtype=np.int64)
        for i in range(len(codes)):
            plane, rest, inside = case.row(i)
            assert scalar.dot_row(plane, rest, segment, inside, entries.ctypes.data) == want[i]


CHECKS = [check_decode_row, check_dot_row]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("dims", [1, 7, 63, 64, 65, 127, 128, 129, 384])
@pytest.mark.parametrize("bits", range(1, 9))
def test_one_segment(bits, dims, check):
    check(Case([(dims, bits)], 33))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("shape", SEVERAL)
def test_several_segments(shape, check):
    check(Case(shape, 70))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 100, 4095, 4096, 4097])
def test_any_number_of_rows(n, check):
    check(Case([(7, 3), (65, 1)], n))


@pytest.mark.parametrize("bits", range(1, 9))
def test_largest_sums(bits):
    """The largest levels of either sign against the largest entries do not overflow."""
    case = Case([(384, bits)], 4)
    for i in range(4):
        case.codes[0][i] = np.where(i % 2, 2**bits - 1, 2 ** (bits - 1) - 1)
    case.store.put(np.arange(4), case.layout.pack(case.codes[0]))
    case.query[0][:] = [127]
    check_dot_row(case)
    case.query[0][:] = -127
    check_dot_row(case)
