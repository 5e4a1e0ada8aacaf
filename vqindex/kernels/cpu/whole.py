"""Codes of one segment that look-ups score but for their rounding: where they are, what is beside.

Such are product codes, by their tables, and codes of one bit, whose signs are all there is.
"""

from typing import NamedTuple

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined
from vqindex.kernels.cpu.fields import block_at, field, share_of
from vqindex.kernels.cpu.program import (
    BITS,
    FIRST,
    NIBBLES,
    OCTETS,
    PLANE,
    PLANE_WORDS,
    REST,
    REST_BYTES,
    SCALE,
    UNBOUND,
    WORDS,
)


class Columns(NamedTuple):
    """Of the only segment: where its codes are, and what rows have beside them.

    bits               as program.BITS
    codes, row_bytes   slab table of the codes, and their bytes of a row
    first, words       bytes before the first word, and how many there are
    scale, bias        slab tables, UNBOUND for none
    owners             as in records.Stored
    """

    bits: int
    codes: int
    row_bytes: int
    first: int
    words: int
    scale: int
    bias: int
    owners: int


@inlined
def is_whole(stored, asked):
    """Whether look-ups in one segment are all that scores are made of."""
    bits = field(stored.program, BITS)
    whole = bits == 1 or bits in (NIBBLES, OCTETS)
    one = stored.segments == 1 and stored.signs == 1 and field(stored.program, WORDS) > 0
    plain = (stored.rated == 0 or stored.ratio == UNBOUND) and stored.drift == UNBOUND
    return whole and one and plain and asked.finer == UNBOUND


@inlined
def columns_of(stored):
    """The Columns of rows that `is_whole` says are such."""
    segment = stored.program
    scale, words = field(segment, SCALE), field(segment, WORDS)
    if field(segment, BITS) == OCTETS:
        codes, row_bytes, first = field(segment, REST), field(segment, REST_BYTES), np.int64(0)
    else:
        codes, row_bytes = field(segment, PLANE), 8 * field(segment, PLANE_WORDS)
        first = 64 * field(segment, FIRST)
    return Columns(field(segment, BITS), codes, row_bytes, first, words, scale, stored.bias,
                   stored.owners)  # fmt: skip


@inlined
def codes_at(columns, block):
    """The address of a block's first codes."""
    return block_at(columns.codes, block, columns.row_bytes) + columns.first


@inlined
def finished(columns, stored, block, asked, query, low, high):
    """Parts of 32 rows, times their scales and with what is added."""
    if columns.scale != UNBOUND:
        at = block_at(columns.scale, block, 4)
        low = simd.multiply_float(low, simd.load(at))
        high = simd.multiply_float(high, simd.load(at + 64))
    if columns.bias != UNBOUND:
        at = block_at(columns.bias, block, 4)
        low, high = simd.add_float(low, simd.load(at)), simd.add_float(high, simd.load(at + 64))
    if columns.owners != UNBOUND:
        share = simd.splat_float(share_of(stored, asked, block, query))
        low, high = simd.add_float(low, share), simd.add_float(high, share)
    return low, high


@inlined
def reached_of(low, high, least):
    """Bit r is set where that of row r is at least this."""
    each = simd.splat_float(least)
    return simd.at_least(low, each) | (simd.at_least(high, each) << np.uint32(16))
