"""Totals of look-ups, for registers of either width."""

import numba
import numpy as np
import pytest

from tests.kernels.cases import padded
from tests.kernels.programs import scalar_layout
from vqindex.codes import Codes
from vqindex.kernels.cpu import lookups, simd
from vqindex.kernels.cpu.program import BLOCK, FIRST, NONE, PLANE_WORDS, SLAB, WORDS, bind
from vqindex.kernels.reference import sign

POISON = -77


def runner(plane_sums, index, group_sums):
    """They as functions that write what they give."""

    @numba.njit
    def plane(plane, group, words, tables, spare, out):
        low, high = plane_sums(plane, group, words, tables, spare)
        simd.store(out, low)
        simd.store(out + 64, high)

    @numba.njit
    def together(plane, group, words, tables, table_bytes, count, spare, out):
        index(plane, group, words, spare)
        group_sums(plane, group, words, tables, table_bytes, count, spare, out)

    return plane, together


WIDTHS = {
    "wide": runner(lookups._wide_plane_sums, lookups._wide_index, lookups._wide_group_sums),
    "narrow": runner(lookups._narrow_plane_sums, lookups._narrow_indexes,
                     lookups._narrow_group_sums),
}  # fmt: skip
MOST = {"wide": 8, "narrow": 4}  # queries together


class Planes:
    """Random codes of segments (dims, bits), stored, and their signs."""

    def __init__(self, shape, n):
        rng = np.random.default_rng([n, *np.ravel(shape)])
        self.layout, self.n = scalar_layout(*shape), n
        parts = [rng.integers(0, 1 << bits, (n, dims), np.uint8) for dims, bits in shape]
        self.signs = [part >> (bits - 1) == 1 for part, (_, bits) in zip(parts, shape, strict=True)]
        self.codes = Codes(self.layout.columns)
        self.codes.append(self.layout.pack(np.concatenate(parts, axis=1)))
        fields = self.layout.program(self.codes.index, NONE, 0)
        self.fields = bind(fields, self.codes.addresses)
        self.group = 64 * int(self.fields[0, PLANE_WORDS])
        entries = [rng.integers(-127, 128, (8, 64 * int(w)), np.int8) for w in fields[:, WORDS]]
        entries[0][0] = 127
        self.tables = [sign.tables(part)[0] for part in entries]

    def blocks(self):
        """For each segment and block: where it lies, words, tables, totals (8, rows)."""
        for signs, tables, fields in zip(self.signs, self.tables, self.fields, strict=True):
            totals = sign.table_sums(padded(signs), tables).T
            for block in range(self.codes.nblocks):
                slab = int(self.codes.addresses[self.codes.index["plane"], block // SLAB])
                at = slab + block % SLAB * 4 * self.group + 64 * int(fields[FIRST])
                here = slice(BLOCK * block, BLOCK * (block + 1))
                yield at, int(fields[WORDS]), tables, totals[:, here]


def check_plane_sums(planes, width):
    out, spare = (
        np.full(BLOCK + 8, POISON, np.int32),
        np.full(lookups.INDEX_BYTES + 64, 1, np.uint8),
    )
    for plane, words, tables, want in planes.blocks():
        for query in (0, 1):
            out[:] = POISON
            at = tables[query].ctypes.data, spare.ctypes.data, out.ctypes.data
            WIDTHS[width][0](plane, planes.group, words, *at)
            assert (out[: want.shape[1]] == want[query]).all()
            assert (out[BLOCK:] == POISON).all()
    assert (spare[-64:] == 1).all()


def check_group_sums(planes, width):
    for plane, words, tables, want in planes.blocks():
        spare = np.full(lookups.INDEX_BYTES * words + 64, 1, np.uint8)
        for count in range(1, MOST[width] + 1):
            out = np.full((MOST[width] + 1, BLOCK), POISON, np.int32)
            asked = tables.ctypes.data, tables.strides[0], count
            at = spare.ctypes.data, out.ctypes.data
            WIDTHS[width][1](plane, planes.group, words, *asked, *at)
            assert (out[:count, : want.shape[1]] == want[:count]).all()
            assert (out[MOST[width] :] == POISON).all()
        assert (spare[-64:] == 1).all()


CHECKS = pytest.mark.parametrize("check", [check_plane_sums, check_group_sums])
# Where registers are narrow the wide form is never used, and takes 20 s to compile.
FOREIGN = [] if simd.WIDE else [pytest.mark.slow]
EITHER = pytest.mark.parametrize("width", ["narrow", pytest.param("wide", marks=FOREIGN)])
SHAPES = [[(1, 1)], [(63, 2)], [(64, 4)], [(65, 8)], [(384, 1)], [(64, 8), (1, 5), (129, 1)]]


@EITHER
@CHECKS
@pytest.mark.parametrize("shape", SHAPES)
def test_totals_equal_the_reference(shape, check, width):
    for n in (1, 32, 33, 4200 if len(shape) > 1 else 70):
        check(Planes(shape, n), width)


@EITHER
@CHECKS
@pytest.mark.parametrize("words", [1, 31, 32, 33, 64, 70])
def test_the_largest_totals(words, check, width):
    """Every look-up is 127: nothing overflows, of however many words."""
    planes = Planes([(64 * words, 1)], 40)
    planes.signs[0][:] = True
    planes.codes.put(np.arange(40), planes.layout.pack(planes.signs[0].astype(np.uint8)))
    planes.tables[0] = sign.tables(np.full((8, 64 * words), 127, np.int8))[0]
    assert next(planes.blocks())[3].max() == 127 * 16 * words
    check(planes, width)


def test_the_level_decides_the_width():
    assert lookups.group_sums is (
        lookups._wide_group_sums if simd.WIDE else lookups._narrow_group_sums
    )
    assert MOST["wide" if simd.WIDE else "narrow"] == lookups.TOGETHER
    assert lookups.INDEXED != simd.WIDE
