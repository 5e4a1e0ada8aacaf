"""Queries made ready for integer scoring: int8 entries, packed groups, bit planes."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import kernel
from vqindex.kernels.cpu.program import OPERAND, WORDS


@kernel
def quantize(queries, program, entries, seed, half, gamma):
    """Round each segment of each query to int8, at a scale of its own.

        query[j] ~ gamma * entry[j],  entry in [-127, 127],  gamma = max |query| / 127

    queries             (nq, d) float32, d = total of 64 * words, zero where a segment is padded
    entries             (nq, d) int8
    seed, half, gamma   (segments, >= nq) int32, float32, float32: -ROW_BIAS * sum of the entries,
                        half that sum, and the scale
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
            total = 0
            for j in range(start, stop):
                steps = queries[q, j] / unit if unit > 0 else np.float32(0)
                entry = np.int8(min(max(np.rint(steps), -limit), limit))  # a unit may be denormal
                entries[q, j] = entry
                total += entry
            seed[s, q] = -simd.ROW_BIAS * total
            half[s, q] = np.float32(total) * np.float32(0.5)
            gamma[s, q] = unit


@kernel
def pack(entries, packed):
    """Sixteen queries side by side, four entries each: (groups, d / 4, 16, 4) from (nq, d)."""
    for q in range(entries.shape[0]):
        for step in range(packed.shape[1]):
            for i in range(4):
                packed[q // 16, step, q % 16, i] = entries[q, 4 * step + i]


@kernel
def bit_planes(entries, program, out):
    """The eight two's complement bit planes of a query, lowest first.

    entries (d,) int8; out uint64, segment after segment of (8, words)
    """
    at = 0
    for s in range(program.shape[0]):
        words = program[s][WORDS]
        start = program[s][OPERAND]
        for word in range(words):
            values = simd.load(simd.address_of(entries) + start + 64 * word)
            for bit in range(8):
                out[at + bit * words + word] = simd.bits_where(values, np.uint8(1 << bit))
        at += 8 * words
