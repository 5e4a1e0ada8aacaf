"""Reading bound programs and columns by address."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined
from vqindex.kernels.cpu.program import BLOCK, FIELDS, SLAB, SLAB_ROWS, UNBOUND

field = simd.load_entry  # field(segment, name)


@inlined
def segment_at(program, s):
    """The address of a program's segment."""
    return program + 8 * FIELDS * s


@inlined
def owner_of(stored, block):
    """The list of a block."""
    return np.int64(simd.load_int(stored.owners + 4 * block))


@inlined
def share_of(stored, asked, block, query):
    """What the list of a block adds to the scores of a query."""
    if stored.owners == UNBOUND:
        return np.float32(-0.0)  # x + -0.0 is x, of either zero
    at = query * asked.lists + owner_of(stored, block)
    return simd.load_float(asked.shares + 4 * at)


@inlined
def block_at(table, block, row_bytes):
    """The address of a block in a column of `row_bytes` bytes a row."""
    return simd.load_int64(table + 8 * (block // SLAB)) + (block % SLAB) * (BLOCK * row_bytes)


@inlined
def float_at(table, row):
    """A row's entry of a float32 column."""
    return simd.load_float(simd.load_int64(table + 8 * (row // SLAB_ROWS)) + 4 * (row % SLAB_ROWS))


@inlined
def half_at(table, row):
    """A row's entry of a float16 column."""
    return simd.load_half(simd.load_int64(table + 8 * (row // SLAB_ROWS)) + 2 * (row % SLAB_ROWS))


@inlined
def int64_at(table, row):
    """A row's entry of an int64 column."""
    return simd.load_int64(simd.load_int64(table + 8 * (row // SLAB_ROWS)) + 8 * (row % SLAB_ROWS))
