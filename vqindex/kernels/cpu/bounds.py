"""Upper bounds of scores from signs, by their one formula.

    bound = sum over signed segments s of (base_s + unit_s * S_s) * factor_s + bias

and, of rows in lists, lean * drift in the first bracket; see lean. S is a row's exact total of
table look-ups (see tables); factor is the segment's scale, times the ratio of the signs' own scale
for the first `rated` segments. Each float32 step rounds once, in this order, so that one row or a
block, one query or many, give the same bits.

A search that uses bounds gives a row the smaller of its score and its bound. So whatever the
order of visit, leaving out rows whose bound is below the k-th best changes nothing.
"""

import numpy as np

from vqindex.kernels.cpu import lookups, simd, sparse, tables
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import (
    block_at,
    field,
    float_at,
    half_at,
    owner_of,
    segment_at,
    share_of,
)
from vqindex.kernels.cpu.lean import lean_of
from vqindex.kernels.cpu.program import (
    BITS,
    BLOCK,
    FIRST,
    OCTETS,
    PLANE,
    PLANE_WORDS,
    REST,
    REST_BYTES,
    SCALE,
    SPARSE,
    UNBOUND,
    WORDS,
)

_AHEAD = 12  # blocks whose factors are asked for ahead of their use
LANES = 4 * BLOCK  # bytes of one float32 for each row of a block


@inlined
def _estimate(sums, base, unit, factor):
    product = simd.multiply_float(unit, simd.to_float(sums))
    return simd.multiply_float(simd.add_float(base, product), factor)


@inlined
def _base(asked, query, slack):
    """Of the first segment, for a slack of a list's own."""
    margin = simd.load_float(asked.margin + 4 * query)
    return simd.load_float(asked.middle + 4 * query) + max(margin, slack)


@inlined
def _leaned(sums, base, unit, lean, drift, factor):
    product = simd.multiply_float(unit, simd.to_float(sums))
    known = simd.multiply_float(lean, simd.load_halves(drift))
    return simd.multiply_float(simd.add_float(simd.add_float(base, product), known), factor)


@inlined
def _put(out, low, high, is_first):
    """Write a block's 32 floats, or add them to what is there."""
    if not is_first:
        low = simd.add_float(simd.load(out), low)
        high = simd.add_float(simd.load(out + 64), high)
    simd.store(out, low)
    simd.store(out + 64, high)


@inlined
def _factors(scale, ratio):
    """A block's factors from the addresses of its scales and ratios, UNBOUND for none."""
    low = high = simd.splat_float(np.float32(1))
    if scale != UNBOUND:
        simd.prefetch(scale + LANES * _AHEAD)
        simd.prefetch(scale + LANES * _AHEAD + 64)
        low, high = simd.load(scale), simd.load(scale + 64)
    if ratio != UNBOUND:
        simd.prefetch(ratio + LANES // 2 * _AHEAD)
        low = simd.multiply_float(low, simd.load_halves(ratio))
        high = simd.multiply_float(high, simd.load_halves(ratio + 32))
    return low, high


@inlined
def _at(table, block, row_bytes):
    return block_at(table, block, row_bytes) if table != UNBOUND else np.int64(UNBOUND)


@inlined
def run_bounds(stored, block, count, asked, query, spare, out):
    """The bounds of a run of blocks in one slab for one query, but for the bias.

    spare   address of INDEX_BYTES to work in; out, of (count, 32) float32
    """
    look_up = asked.tables + query * asked.table_bytes
    for s in range(stored.signs):
        segment = segment_at(stored.program, s)
        words, row_bytes = field(segment, WORDS), 8 * field(segment, PLANE_WORDS)
        plane = block_at(field(segment, PLANE), block, row_bytes)
        scale = _at(field(segment, SCALE), block, 4)
        ratio = _at(stored.ratio if s < stored.rated else UNBOUND, block, 2)
        here = 4 * (s * asked.padded + query)
        base = simd.splat_float(simd.load_float(asked.base + here))
        unit = simd.splat_float(simd.load_float(asked.unit + here))
        plane += 64 * field(segment, FIRST)
        rest_bytes = field(segment, REST_BYTES)
        codes = block_at(field(segment, REST), block, rest_bytes)
        drift = _at(stored.drift if s == 0 else UNBOUND, block, 2)
        owner, lean = np.int64(-1), simd.splat_float(np.float32(0))
        for b in range(count):
            if s == 0 and stored.sizes != UNBOUND and owner_of(stored, block + b) != owner:
                owner = owner_of(stored, block + b)
                more, slack = lean_of(stored, asked, query, owner)
                base, lean = simd.splat_float(_base(asked, query, slack)), simd.splat_float(more)
            if field(segment, BITS) >= OCTETS:
                sums, rest = _byte_sums(codes + b * BLOCK * rest_bytes, segment, look_up)
            else:
                sums, rest = lookups.plane_sums(
                    plane + b * BLOCK * row_bytes, 8 * row_bytes, words, look_up, spare
                )
            low, high = _factors(
                scale + LANES * b if scale != UNBOUND else scale,
                ratio + LANES // 2 * b if ratio != UNBOUND else ratio,
            )
            if drift != UNBOUND:
                here = drift + LANES // 2 * b
                low = _leaned(sums, base, unit, lean, here, low)
                high = _leaned(rest, base, unit, lean, here + 32, high)
            else:
                low, high = _estimate(sums, base, unit, low), _estimate(rest, base, unit, high)
            _put(out + LANES * b, low, high, s == 0)
        look_up += lookups.TABLE_BYTES * words


@inlined
def _byte_sums(codes, segment, look_up):
    """Totals of a block whose codes are bytes, or outliers."""
    if field(segment, BITS) == SPARSE:
        return sparse.block_sums(codes, segment, look_up)
    return lookups.octet_sums(codes, field(segment, WORDS), look_up)


@inlined
def store_indexes(stored, block, out):
    """Make a block's codes ready for `group_bounds`, segment after segment."""
    for s in range(stored.signs):
        segment = segment_at(stored.program, s)
        if field(segment, BITS) < OCTETS:
            words, row_bytes = field(segment, WORDS), 8 * field(segment, PLANE_WORDS)
            plane = block_at(field(segment, PLANE), block, row_bytes) + 64 * field(segment, FIRST)
            lookups.index(plane, 8 * row_bytes, words, out)
            out += lookups.INDEX_BYTES * words


@inlined
def store_factors(stored, block, mask, out):
    """Write a block's factors, segment after segment, and its biases: LANES bytes each.

    mask   the bias of rows without a bit in it is minus infinity
    """
    for s in range(stored.signs):
        scale = _at(field(segment_at(stored.program, s), SCALE), block, 4)
        ratio = _at(stored.ratio if s < stored.rated else UNBOUND, block, 2)
        low, high = _factors(scale, ratio)
        simd.store(out, low)
        simd.store(out + 64, high)
        out += LANES
    low = high = simd.splat_float(np.float32(-0.0))  # x + -0.0 is x, of either zero
    if stored.bias != UNBOUND:
        at = block_at(stored.bias, block, 4)
        low, high = simd.load(at), simd.load(at + 64)
    none = simd.splat_float(np.float32(-np.inf))
    simd.store(out, simd.choose(low, mask, none))
    simd.store(out + 64, simd.choose(high, mask >> np.uint32(16), none))


@inlined
def prefetch_codes(stored, block):
    """Ask for the codes of a block."""
    for s in range(stored.signs):
        segment = segment_at(stored.program, s)
        in_bytes = field(segment, BITS) >= OCTETS
        row_bytes = field(segment, REST_BYTES) if in_bytes else 8 * field(segment, PLANE_WORDS)
        codes = block_at(field(segment, REST if in_bytes else PLANE), block, row_bytes)
        for at in range(0, BLOCK * row_bytes, 64):
            simd.prefetch(codes + at)


@inlined
def group_bounds(stored, block, indexes, factors, asked, query, some, sums_at, out):
    """The bounds of a block for up to TOGETHER queries, but for the bias.

    indexes, factors   addresses of what `store_indexes` and `store_factors` wrote
    some               how many of the queries there are; nothing is written of others
    sums_at, out       addresses of (TOGETHER, 32) int32 to work in, and of float32
    """
    look_up, table_bytes = asked.tables + query * asked.table_bytes, asked.table_bytes
    for s in range(stored.signs):
        segment = segment_at(stored.program, s)
        words, row_bytes = field(segment, WORDS), 8 * field(segment, PLANE_WORDS)
        if field(segment, BITS) >= OCTETS or words == 0:
            codes = block_at(field(segment, REST), block, field(segment, REST_BYTES))
            for i in range(some):
                low, high = _byte_sums(codes, segment, look_up + i * table_bytes)
                simd.store(sums_at + LANES * i, low)
                simd.store(sums_at + LANES * i + 64, high)
        else:
            plane = block_at(field(segment, PLANE), block, row_bytes) + 64 * field(segment, FIRST)
            lookups.group_sums(plane, 8 * row_bytes, words, look_up, table_bytes, some,
                               indexes, sums_at)  # fmt: skip
            indexes += lookups.INDEX_BYTES * words
        here, drift = 4 * (s * asked.padded + query), np.int64(UNBOUND)
        if s == 0:
            drift = _at(stored.drift, block, 2)
        for i in range(some):
            sums, place = sums_at + LANES * i, here + 4 * i
            base = simd.splat_float(simd.load_float(asked.base + place))
            unit = simd.splat_float(simd.load_float(asked.unit + place))
            lean = np.float32(0)
            if s == 0 and stored.sizes != UNBOUND:
                lean, slack = lean_of(stored, asked, query + i, owner_of(stored, block))
                base = simd.splat_float(_base(asked, query + i, slack))
            if drift != UNBOUND:
                more = simd.splat_float(lean)
                low = _leaned(simd.load(sums), base, unit, more, drift, simd.load(factors))
                high = _leaned(
                    simd.load(sums + 64), base, unit, more, drift + 32, simd.load(factors + 64)
                )
            else:
                low = _estimate(simd.load(sums), base, unit, simd.load(factors))
                high = _estimate(simd.load(sums + 64), base, unit, simd.load(factors + 64))
            _put(out + LANES * i, low, high, s == 0)
        factors += LANES
        look_up += lookups.TABLE_BYTES * words


@kernel
def row_bound(stored, row, asked, query):
    """The bound of one row for one query."""
    block, inside = row // BLOCK, row % BLOCK
    look_up = asked.tables + query * asked.table_bytes
    bound = np.float32(-0.0)  # x + -0.0 is x, of either zero
    for s in range(stored.signs):
        segment = segment_at(stored.program, s)
        plane = block_at(field(segment, PLANE), block, 8 * field(segment, PLANE_WORDS))
        if field(segment, BITS) >= OCTETS:
            codes = block_at(field(segment, REST), block, field(segment, REST_BYTES))
            if field(segment, BITS) == SPARSE:
                total = np.float32(sparse.raw_row(codes, segment, inside, look_up))
            else:
                total = np.float32(tables.row_octets(codes, segment, inside, look_up))
        else:
            total = np.float32(tables.row_sum(plane, segment, inside, look_up))
        factor = np.float32(1)
        if field(segment, SCALE) != UNBOUND:
            factor = float_at(field(segment, SCALE), row)
        if s < stored.rated and stored.ratio != UNBOUND:
            factor *= half_at(stored.ratio, row)
        here = 4 * (s * asked.padded + query)
        base = simd.load_float(asked.base + here)
        lean = np.float32(0)
        if s == 0 and stored.sizes != UNBOUND:
            lean, slack = lean_of(stored, asked, query, owner_of(stored, block))
            base = _base(asked, query, slack)
        part = base + simd.load_float(asked.unit + here) * total
        if s == 0 and stored.drift != UNBOUND:
            part += lean * half_at(stored.drift, row)
        bound += part * factor
        look_up += lookups.TABLE_BYTES * field(segment, WORDS)
    if stored.bias != UNBOUND:
        bound += float_at(stored.bias, row)
    return bound + share_of(stored, asked, block, query)
