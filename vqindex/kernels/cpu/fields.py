"""Reading bound programs and columns by address."""

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined
from vqindex.kernels.cpu.program import BLOCK, FIELDS, SLAB, SLAB_ROWS

field = simd.load_entry  # field(segment, name)


@inlined
def segment_at(program, s):
    """The address of a program's segment."""
    return program + 8 * FIELDS * s


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
