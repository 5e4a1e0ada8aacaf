"""Queries made ready for integer scoring: int8 entries and packed groups."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import kernel
from vqindex.kernels.cpu.program import OPERAND, WORDS


@kernel
def quantize(queries, program, entries, seed, half, gamma, padded):
    """Round each segment of each query to int8, at a scale of its own.

        query[j] ~ gamma * entry[j],  entry in [-127, 127],  gamma = max |query| / 127

    queries             (nq, d) float32, d = total of 64 * words, zero where a segment is padded
    entries             address of (nq, d) int8
    seed, half, gamma   addresses of (segments, padded) int32, float32, float32: -ROW_BIAS * sum of
                        the entries, half that sum, and the scale
    """
    limit = np.float32(127)
    for q in range(queries.shape[0]):
        for s in range(program.shape[0]):
            start = program[s][OPERAND]
            stop = start + 64 * program[s][WORDS]
            largest = np.float32(0)
            for j in range(start, stop):
                largest = max(largest, abs(queries[q, j]))
            unit = largest / limit
            to = entries + q * queries.shape[1]
            total = np.int64(0)
            for j in range(start, stop):
                steps = queries[q, j] / unit if unit > 0 else np.float32(0)
                entry = np.int8(min(max(np.rint(steps), -limit), limit))  # a unit may be denormal
                simd.store_byte(to + j, entry)
                total += entry
            here = 4 * (s * padded + q)
            simd.store_int(seed + here, np.int32(-simd.ROW_BIAS * total))
            simd.store_float(half + here, np.float32(total) * np.float32(0.5))
            simd.store_float(gamma + here, unit)


@kernel
def pack(asked):
    """Sixteen queries side by side, four entries each: (padded / 16, d / 4, 16, 4)."""
    steps = asked.row_bytes // 4
    for q in range(asked.padded):
        to = asked.packed + 64 * ((q // 16) * steps) + 4 * (q % 16)
        for step in range(steps):
            four = simd.load_int(asked.entries + q * asked.row_bytes + 4 * step)
            simd.store_int(to + 64 * step, four)
