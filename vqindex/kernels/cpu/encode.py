"""Encoding on the CPU: norms, level search and packing, a row at a time."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import kernel


@kernel
def square_norms(values, start, dims, out):
    """Sum of squares of `dims` entries of each row, sixteen partial sums, halves first.

    values (n, d) float32; out (n,) float32
    """
    scratch = np.zeros(64 * ((dims + 63) // 64), np.float32)
    for i in range(values.shape[0]):
        for j in range(dims):
            scratch[j] = values[i, start + j]
        total = simd.splat_float(np.float32(0))
        for j in range(0, scratch.size, 16):
            x = simd.load(simd.address_of(scratch) + 4 * j)
            total = simd.add_float(total, simd.multiply_float(x, x))
        out[i] = simd.sum_floats(total)


@kernel
def encode(
    values, start, dims, factors, thresholds, magnitudes, plane, rest, word, offsets, sums, levels
):  # fmt: skip
    """Code `dims` entries of each row: reference.scalar.encode, packed as layouts.scalar says.

    values       (n, d) float32; factors (n,) float32: |value| * factor meets the thresholds
    thresholds   (m - 1,) float32 ascending; magnitudes (m,) float32, the levels t + 1/2
    plane, rest  (n, words) uint64, written from `word` on; offsets (9,) of the planes in `rest`
    sums         (n, 3) float32: of value * level, of level^2, of |value|
    levels       (n, d) float32, written in the same place as the values
    """
    bits = 1
    while 1 << bits < 2 * magnitudes.size:
        bits += 1
    words = (dims + 63) // 64
    scratch = np.zeros(64 * words, np.float32)
    signed = np.zeros(64 * words, np.float32)
    codes = np.zeros(64, np.uint8)
    scratch_at, signed_at = simd.address_of(scratch), simd.address_of(signed)
    one = simd.splat(np.int32(1))
    negative_bit = np.uint8(1 << (bits - 1))
    for i in range(values.shape[0]):
        codes_at = simd.address_of(codes)  # in the loop, for Numba frees what is not named again
        for j in range(dims):
            scratch[j] = values[i, start + j]
        factor = simd.splat_float(factors[i])
        dot = square = total = simd.splat_float(np.float32(0))
        for w in range(words):
            for v in range(4):
                at = 256 * w + 64 * v
                x = simd.load(scratch_at + at)
                size = simd.magnitude(x)
                scaled = simd.multiply_float(size, factor)
                code = simd.splat(np.int32(0))
                level = simd.splat_float(magnitudes[0])
                for t in range(thresholds.size):
                    threshold = simd.splat_float(thresholds[t])
                    step = simd.splat_float(magnitudes[t + 1] - magnitudes[t])
                    code = simd.add_where_above(code, scaled, threshold, one)
                    level = simd.add_float_where_above(level, scaled, threshold, step)
                code = simd.add_where_negative(code, x, simd.splat(np.int32(negative_bit)))
                simd.store_low_bytes(codes_at + 16 * v, code)
                simd.store(signed_at + at, simd.copy_sign(level, x))
                dot = simd.add_float(dot, simd.multiply_float(size, level))
                total = simd.add_float(total, size)
                filled = simd.keep_lanes(level, dims - (64 * w + 16 * v))
                square = simd.add_float(square, simd.multiply_float(filled, filled))
            octets = simd.load(codes_at)
            plane[i, word + w] = simd.bits_where(octets, negative_bit)
            for p in range(1, bits):
                bit = np.uint8(1 << (bits - 1 - p))
                rest[i, offsets[p] + word + w] = simd.bits_where(octets, bit)
        for j in range(dims):
            levels[i, start + j] = signed[j]
        sums[i, 0] = simd.sum_floats(dot)
        sums[i, 1] = simd.sum_floats(square)
        sums[i, 2] = simd.sum_floats(total)
