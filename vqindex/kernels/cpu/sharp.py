"""Tables of 4-bit codes in finer steps, once it is known what the best rows score.

Look-ups are bytes: their steps are the finer, the less tables span. What takes more off the
highest sum there could be than the k-th best row has lost says enough when it says that much:

    sum over tables of their largest entries - sum of the k-th best row

is all that tables need to span, and what rounding takes. Where that is less than they do, as for
queries among flat patches of photographs, thousands of rows that are all near can be told apart.

Source: Andre, Kermarrec and Le Scouarnec, Cache locality is not enough: high-performance nearest
neighbor search with product quantization fast scan, PVLDB 9(4), 2015, on quantizing distances.
"""

from typing import NamedTuple

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import field
from vqindex.kernels.cpu.program import BITS, BLOCK, NIBBLES, OPERAND, SCALE, UNBOUND, WORDS
from vqindex.kernels.cpu.select import threshold_of
from vqindex.kernels.cpu.tables import BLURRED, LARGEST

WORTH = 1024  # rows of a query that are scored before its tables may be written anew
_FINER = 2  # times as fine, at least
_ROUNDING = np.float32(0.51)  # of an entry
_FLOATS = np.float32(8)  # steps of the entries that float32 may take of a sum
_CODES = 16  # of a table
_BESIDE = 16  # bytes of a query besides its tables


class Own(NamedTuple):
    """Tables of some queries that a scan may write anew.

    tables       address of the first query's; those of the next are asked.table_bytes on
    base, unit   addresses of a float32 for each, as in records.Asked
    scored       address of an int64 for each: rows scored before tables may be written; 0 where
                 they are not the scan's own
    """

    tables: int
    base: int
    unit: int
    scored: int


@inlined
def own_tables(stored, asked, first, count, scratch):
    """Tables of queries from `first` on: a copy, if they can be of use and there is room."""
    size = asked.table_bytes
    tables, base = asked.tables + first * size, asked.base + 4 * first
    unit, room = asked.unit + 4 * first, 2 * BLOCK * scratch.slab * count
    bare = field(stored.program, SCALE) == UNBOUND and stored.bias == UNBOUND
    if (
        field(stored.program, BITS) != NIBBLES
        or not bare
        or stored.owners != UNBOUND
        or count * (size + _BESIDE) > room
    ):
        return Own(tables, base, unit, np.int64(0))
    to = scratch.bounds
    scored = to + count * size
    own = Own(to, scored + 8 * count, scored + 12 * count, scored)
    for byte in range(0, count * size, 64):
        simd.store(to + byte, simd.load(tables + byte))
    for i in range(count):
        simd.store_int64(scored + 8 * i, np.int64(WORTH))
        simd.store_float(own.base + 4 * i, simd.load_float(base + 4 * i))
        simd.store_float(own.unit + 4 * i, simd.load_float(unit + 4 * i))
    return own


@inlined
def after(own, i, scored, stored, asked, query, kept):
    """Some more rows of the i-th query were scored: write its tables anew if it is time."""
    if own.scored != 0 and scored > 0:
        left = simd.load_int64(own.scored + 8 * i) - scored
        if left <= 0:
            left = np.int64(WORTH)
            _sharpen(own, i, stored, asked, query, kept)
        simd.store_int64(own.scored + 8 * i, left)


@kernel
def _sharpen(own, i, stored, asked, query, kept):
    """Write a query's tables in steps of span / LARGEST, if these are finer by far.

    Entries are rounded, by less than half a step and what is cut off the factor.
    """
    words = field(stored.program, WORDS)
    entries = asked.entries + query * asked.row_bytes + field(stored.program, OPERAND)
    half = simd.load_float(asked.half + 4 * query)
    gamma = simd.load_float(asked.gamma + 4 * query)
    highest, tables = np.int64(0), _CODES * words
    for t in range(tables):
        highest += _highest(entries + 4 * _CODES * t)
    lost = np.float32(highest) - (threshold_of(kept, query) / gamma - half)
    left = np.float32(1) - np.float32(tables) * _ROUNDING / np.float32(LARGEST)
    step = simd.load_float(own.unit + 4 * i) / gamma
    if not (lost + _FLOATS) * np.float32(_FINER) < left * np.float32(LARGEST) * step:
        return
    span = max(np.int64((lost + _FLOATS) / left), np.int64(1))
    factor = np.int32((LARGEST << 16) // span)
    for t in range(tables):
        _write(entries + 4 * _CODES * t, span, factor, own.tables + i * asked.table_bytes
               + _CODES * t)  # fmt: skip
    step = np.float32(span) / np.float32(LARGEST)
    off = _ROUNDING + np.float32(span) / np.float32(1 << 16)
    margin = gamma * (step * np.float32(tables) * off + _FLOATS) + abs(half * gamma) * BLURRED
    base = (np.float32(highest - span * tables) + half) * gamma + margin
    simd.store_float(own.base + 4 * i, base)
    simd.store_float(own.unit + 4 * i, gamma * step)


@inlined
def _highest(entries):
    return np.int64(simd.max_floats(simd.to_float(simd.load(entries))))


@inlined
def _write(entries, span, factor, to):
    """A table of the entries above the highest less the span; those below it are at it."""
    least = np.float32(_highest(entries) - span)
    above = simd.subtract_float(simd.to_float(simd.load(entries)), simd.splat_float(least))
    above = simd.to_int(simd.max_float(above, simd.splat_float(np.float32(0))))
    simd.store_low_bytes(to, simd.scale_down(above, factor))
