"""Queries made ready for integer scoring: int8 entries and packed groups."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import field, segment_at
from vqindex.kernels.cpu.program import BITS, NIBBLES, OPERAND, SPARSE, WORDS

_WHOLE = np.float32(2.0**23)  # where floats have no fraction: adding it rounds what is below
_SIGN = np.int32(-(2**31))
STEPS = 127 * 128  # of a table: bytes of up to 127, by which bounds are looked up, are 128 of them
FINEST = 32767  # entry that meets outliers: 512 of up to 127 add up to less than 2**31


@kernel
def quantize(queries, program, entries, seed, half, gamma, padded):
    """Round each segment of each query to integers, at a scale of its own.

        query[j] ~ gamma * entry[j],                       entry int8 in [-127, 127]
        table[t, j] ~ gamma * (entry[t, j] + half share)   entry int32 in [0, STEPS]
        of outliers, query[j] ~ gamma * entry[j],          entry int32 in [-FINEST, FINEST]

    queries             (nq, d) float32, d = bytes of a prepared query, zero where it is padded; the
                        int32 of a segment are the first quarter of its share
    entries             address of (nq, d) bytes
    seed, half, gamma   addresses of (segments, padded) int32, float32, float32: -ROW_BIAS * sum of
                        the entries, half that sum, and the scale; of a segment without codes 0, 1
                        and its entry as it is; of tables 0, the sum of their least entries in units
                        of the scale, and the scale; of outliers 0, 0 and the scale
    """
    width = queries.shape[1]
    for q in range(queries.shape[0]):
        values, skip = simd.address_of(queries) + 4 * q * width, 4 * q
        quantize_one(values, simd.address_of(program), program.shape[0], entries + q * width,
                     seed + skip, half + skip, gamma + skip, padded)  # fmt: skip


@inlined
def quantize_one(query, program, segments, entries, seed, half, gamma, padded):
    """`quantize` of one query at its address, by a program at its; the others point at its own."""
    for s in range(segments):
        segment = segment_at(program, s)
        start, words, bits = field(segment, OPERAND), field(segment, WORDS), field(segment, BITS)
        values, to, total = query + 4 * start, entries + start, np.int64(0)
        if words == 0:
            middle, unit = np.float32(1), simd.load_float(values)
        elif bits == SPARSE:
            middle, unit = np.float32(0), _fine(values, 64 * words, to)
        elif bits >= NIBBLES:
            size = np.int64(16 if bits == NIBBLES else 256)
            middle, unit = _tables(values, 256 * words, size, to)
        else:
            total, unit = _integers(values, 64 * words, to)
            middle = np.float32(total) * np.float32(0.5)
        here = 4 * s * padded
        simd.store_int(seed + here, np.int32(-simd.ROW_BIAS * total))
        simd.store_float(half + here, middle)
        simd.store_float(gamma + here, unit)


@inlined
def _integers(values, count, to):
    """Write entries in [-127, 127]; their sum, and gamma = max |value| / 127."""
    limit, largest, total = np.float32(127), np.float32(0), np.int64(0)
    for j in range(count):
        largest = max(largest, abs(simd.load_float(values + 4 * j)))
    unit = largest / limit
    for j in range(count):
        steps = simd.load_float(values + 4 * j) / unit if unit > 0 else np.float32(0)
        entry = np.int8(min(max(np.rint(steps), -limit), limit))  # a unit may be denormal
        simd.store_byte(to + j, np.int64(entry))
        total += entry
    return total, unit


@inlined
def _fine(values, count, to):
    """Write int32 entries in [-FINEST, FINEST]; gamma."""
    limit, largest = np.float32(FINEST), np.float32(0)
    for j in range(count):
        largest = max(largest, abs(simd.load_float(values + 4 * j)))
    unit = largest / limit
    for j in range(count):
        steps = simd.load_float(values + 4 * j) / unit if unit > 0 else np.float32(0)
        simd.store_int(to + 4 * j, np.int32(min(max(np.rint(steps), -limit), limit)))
    return unit


@inlined
def _tables(values, count, size, to):
    """Write tables of `size` in steps of the widest over STEPS; sum of their least, and a step.

    A step is no less than what is lost of the sum in float32.
    """
    floor, span = 0.0, np.float32(0)
    for start in range(0, count, size):
        low, high = _extremes(values + 4 * start, size)
        floor += low
        span = max(span, high - low)
    unit = max(span / np.float32(STEPS), np.float32(abs(floor) * 2.0**-32))
    if unit == 0:
        unit = np.float32(1)
    each, most = simd.splat_float(unit), simd.splat_float(np.float32(STEPS))
    whole = simd.splat_float(_WHOLE)
    for start in range(0, count, size):
        least = simd.splat_float(_extremes(values + 4 * start, size)[0])
        for j in range(4 * start, 4 * (start + size), 64):
            steps = simd.divide_float(simd.subtract_float(simd.load(values + j), least), each)
            raised = simd.add_float(simd.min_float(steps, most), whole)
            simd.store(to + j, simd.to_int(simd.subtract_float(raised, whole)))
    return np.float32(floor / unit), unit


@inlined
def _extremes(values, count):
    """The least and the largest of `count` floats, a multiple of sixteen."""
    low = high = simd.load(values)
    for at in range(values + 64, values + 4 * count, 64):
        low, high = simd.min_float(low, simd.load(at)), simd.max_float(high, simd.load(at))
    sign = simd.splat(_SIGN)
    return -simd.max_floats(simd.xor(low, sign)), simd.max_floats(high)


@kernel
def pack(asked):
    """Sixteen queries side by side, four entries each: (padded / 16, d / 4, 16, 4)."""
    steps = asked.row_bytes // 4
    for q in range(asked.padded):
        to = asked.packed + 64 * ((q // 16) * steps) + 4 * (q % 16)
        for step in range(steps):
            four = simd.load_int(asked.entries + q * asked.row_bytes + 4 * step)
            simd.store_int(to + 64 * step, four)
