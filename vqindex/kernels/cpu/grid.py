"""Encoding to evenly spaced levels, whose cell is found by rounding: any bits cost the same."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.encode import add_products, load_word, row_at, signed_bytes


@kernel
def encode(values, centers, factors, bits, plane, rest, offsets, sums):
    """Code each row: reference.scalar.encode_grid, packed as layouts.scalar says of one segment.

    values            (n, d) float32
    centers, factors  (n,) float32: what is coded is (value - center) * factor, each step rounded
    plane, rest       (n, words) uint64; offsets (9,) of the planes in `rest`
    sums              (n, 3) float32: of size * |level|, of level^2 and of size = |value - center|
    """
    dims = values.shape[1]
    for i in range(values.shape[0]):
        row, center = row_at(values, i), simd.splat_float(centers[i])
        factor = simd.splat_float(factors[i])
        dot = square = total = simd.splat_float(np.float32(0))
        for w in range((dims + 63) // 64):
            left = dims - 64 * w
            x = _centered(load_word(row + 256 * w, left), center, left)
            codes = _indexes(x, factor, bits)
            octets = signed_bytes(codes, x, np.int32(1 << (bits - 1)))
            plane[i, w] = simd.bits_where(octets, np.uint8(1 << (bits - 1)))
            for p in range(1, bits):
                rest[i, offsets[p] + w] = simd.bits_where(octets, np.uint8(1 << (bits - 1 - p)))
            size = _sizes(x)
            levels = _kept(_above(codes), left)
            dot = add_products(dot, size, levels)
            square = add_products(square, levels, levels)
            for v in range(4):
                total = simd.add_float(total, size[v])
        sums[i, 0] = simd.sum_floats(dot)
        sums[i, 1] = simd.sum_floats(square)
        sums[i, 2] = simd.sum_floats(total)


@kernel
def remainders(values, centers, factors, bits, gain, out):
    """Write gain * (z - level) of z = (value - center) * factor, in out (n, d) float32.

    values, centers, factors, bits   as `encode` has them
    """
    dims, top = values.shape[1], np.float32((1 << (bits - 1)) - 1)
    for i in range(values.shape[0]):
        for j in range(dims):
            z = (values[i, j] - centers[i]) * factors[i]
            level = np.float32(np.int32(min(abs(z), top))) + np.float32(0.5)
            out[i, j] = gain * (z + level if z < 0 else z - level)


@kernel
def extents(values, low, high):
    """Write the least and the greatest entry of each row, (n,) float32; values (n, d) float32."""
    dims = values.shape[1]
    whole = dims - dims % 16
    for i in range(values.shape[0]):
        row, first = row_at(values, i), values[i, 0]
        least = most = simd.splat_float(first)
        for j in range(0, 4 * whole, 64):
            x = simd.load(row + j)
            least, most = simd.min_float(least, x), simd.max_float(most, x)
        least = simd.subtract_float(simd.splat_float(np.float32(0)), least)
        low[i], high[i] = -simd.max_floats(least), simd.max_floats(most)
        for j in range(whole, dims):
            low[i], high[i] = min(low[i], values[i, j]), max(high[i], values[i, j])


@inlined
def _centered(x, center, left):
    return _kept(
        (
            simd.subtract_float(x[0], center),
            simd.subtract_float(x[1], center),
            simd.subtract_float(x[2], center),
            simd.subtract_float(x[3], center),
        ),
        left,
    )


@inlined
def _kept(x, left):
    """The first `left` of 64 lanes, zero in the others."""
    if left >= 64:
        return x
    return (
        simd.keep_lanes(x[0], left),
        simd.keep_lanes(x[1], left - 16),
        simd.keep_lanes(x[2], left - 32),
        simd.keep_lanes(x[3], left - 48),
    )


@inlined
def _sizes(x):
    return (
        simd.magnitude(x[0]),
        simd.magnitude(x[1]),
        simd.magnitude(x[2]),
        simd.magnitude(x[3]),
    )


@inlined
def _indexes(x, factor, bits):
    top = simd.splat_float(np.float32((1 << (bits - 1)) - 1))
    return (
        _index(x[0], factor, top),
        _index(x[1], factor, top),
        _index(x[2], factor, top),
        _index(x[3], factor, top),
    )


@inlined
def _index(x, factor, top):
    z = simd.magnitude(simd.multiply_float(x, factor))
    return simd.to_int(simd.min_float(z, top))


@inlined
def _above(codes):
    return _half(codes[0]), _half(codes[1]), _half(codes[2]), _half(codes[3])


@inlined
def _half(code):
    return simd.add_float(simd.to_float(code), simd.splat_float(np.float32(0.5)))
