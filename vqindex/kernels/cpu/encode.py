"""Encoding on the CPU: norms, level search and packing, a row at a time."""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel

_SMALL, _LARGE = np.float32(1e-15), np.float32(1e15)  # norms whose squares are far from float32's
_MAGNITUDE = 256  # what steps of a code that counts magnitudes above its low byte are worth


@kernel
def square_norms(values, start, dims, out):
    """Sum of squares of `dims` entries of each row, sixteen partial sums, halves first.

    values (n, d) float32; out (n,) float32
    """
    for i in range(values.shape[0]):
        out[i] = square_norm(row_at(values, i) + 4 * start, dims)


@kernel
def inner_products(x, y, out):
    """Inner product of each row of x with that of y, summed as `square_norms`.

    x, y (n, d) float32; out (n,) float32
    """
    dims = x.shape[1]
    for i in range(x.shape[0]):
        total, at, to = simd.splat_float(np.float32(0)), row_at(x, i), row_at(y, i)
        for j in range(0, dims, 16):
            product = simd.multiply_float(
                _entries(at + 4 * j, dims - j), _entries(to + 4 * j, dims - j)
            )
            total = simd.add_float(total, product)
        out[i] = simd.sum_floats(total)


@kernel
def normalize(values, center, norms, out):
    """out = values / norms - center, each step rounded once; where a norm is 0, not finite.

    values, out (n, d) float32; center (d,) float32; norms (n,) float32, written as well
    returns whether a norm is so small or large that its square may have lost digits
    """
    dims, odd = values.shape[1], False
    for i in range(values.shape[0]):
        norms[i] = normalize_row(row_at(values, i), simd.address_of(center), dims, row_at(out, i))
        odd |= is_odd(norms[i])
    return odd


@inlined
def normalize_row(row, origin, dims, to):
    """`normalize` of one row; its norm."""
    norm, whole = np.sqrt(square_norm(row, dims)), 4 * (dims - dims % 16)
    divisor = simd.splat_float(norm)
    for j in range(0, whole, 64):
        unit = simd.divide_float(simd.load(row + j), divisor)
        simd.store(to + j, simd.subtract_float(unit, simd.load(origin + j)))
    for j in range(whole, 4 * dims, 4):
        simd.store_float(to + j, simd.load_float(row + j) / norm - simd.load_float(origin + j))
    return norm


@inlined
def is_odd(norm):
    """Whether a norm is so small or large that its square may have lost digits."""
    return not (_SMALL < norm < _LARGE)


@kernel
def dots(values, vector, out):
    """Inner products of rows (n, d) float32 with one vector; out (n,) float32.

    vector   address of (d,) float32, which may be read-only
    """
    for i in range(values.shape[0]):
        out[i] = dot(row_at(values, i), vector, values.shape[1])


@inlined
def dot(row, vector, dims):
    """The inner product of two vectors of float32, summed in float64 from first to last."""
    total = 0.0
    for j in range(0, 4 * dims, 4):
        total += np.float64(simd.load_float(row + j)) * np.float64(simd.load_float(vector + j))
    return np.float32(total)


@kernel
def encode(values, start, dims, factors, thresholds, magnitudes, plane, rest, word, offsets, sums):
    """Code `dims` entries of each row: reference.scalar.encode, packed as layouts.scalar says.

    values       (n, d) float32; factors (n,) float32: |value| * factor meets the thresholds
    thresholds   (m - 1,) float32 ascending; magnitudes (m,) float32, the levels t + 1/2
    plane, rest  (n, words) uint64, written from `word` on; offsets (9,) of the planes in `rest`
    sums         (n, 3) float32: of value * level, of level^2, of |value|
    """
    bits = 1
    while 1 << bits < 2 * magnitudes.size:
        bits += 1
    steps = np.empty(magnitudes.size, np.int32)  # to a code with its magnitude, first from nothing
    steps[0] = _MAGNITUDE * np.int32(magnitudes[0])
    for t in range(thresholds.size):
        steps[t + 1] = 1 + _MAGNITUDE * np.int32(magnitudes[t + 1] - magnitudes[t])
    for i in range(values.shape[0]):
        row = row_at(values, i) + 4 * start
        dot = square = total = simd.splat_float(np.float32(0))
        for w in range((dims + 63) // 64):
            left = dims - 64 * w
            x = load_word(row + 256 * w, left)
            size = (
                simd.magnitude(x[0]),
                simd.magnitude(x[1]),
                simd.magnitude(x[2]),
                simd.magnitude(x[3]),
            )
            codes = _search(size, factors[i], thresholds, steps)
            octets = signed_bytes(codes, x, np.int32(1 << (bits - 1)))
            plane[i, word + w] = simd.bits_where(octets, np.uint8(1 << (bits - 1)))
            for p in range(1, bits):
                bit = np.uint8(1 << (bits - 1 - p))
                rest[i, offsets[p] + word + w] = simd.bits_where(octets, bit)
            levels = _levels(codes, left)
            dot = add_products(dot, size, levels)
            square = add_products(square, levels, levels)
            for v in range(4):
                total = simd.add_float(total, size[v])
        sums[i, 0] = simd.sum_floats(dot)
        sums[i, 1] = simd.sum_floats(square)
        sums[i, 2] = simd.sum_floats(total)


@kernel
def levels(plane, rest, word, offsets, magnitudes, scales, out, start, dims):
    """Write scale * level of the codes of `dims` entries of each row, from `start` on.

    magnitudes   (m,) uint8, the integers t of the levels +-(t + 1/2); scales (n,) float32
    out          (n, d) float32; plane, rest, word and offsets as `encode` has them
    """
    table, octets = np.empty(128, np.uint8), np.empty(64, np.int8)
    for t in range(128):
        table[t] = magnitudes[t % magnitudes.size]
    for i in range(out.shape[0]):
        half, scale = simd.splat_float(np.float32(0.5)), simd.splat_float(scales[i])
        for w in range((dims + 63) // 64):
            index = simd.splat(np.int32(0))
            size, p = 2, 1
            while size <= magnitudes.size:
                mask = rest[i, offsets[p] + word + w]
                index = simd.add_where(simd.double_bytes(index), mask, np.uint8(1))
                size, p = 2 * size, p + 1
            found = simd.lookup128(simd.address_of(table), index)
            at = simd.address_of(octets)
            simd.store(at, simd.invert_where(found, plane[i, word + w]))
            first, last = 64 * w, min(64 * w + 64, dims)
            whole = last - last % 16
            for j in range(first, whole, 16):
                level = simd.add_float(simd.to_float(simd.load_bytes(at + j - first)), half)
                to = row_at(out, i) + 4 * (start + j)
                simd.store(to, simd.multiply_float(level, scale))
            for j in range(whole, last):
                level = np.float32(octets[j - first]) + np.float32(0.5)
                out[i, start + j] = level * scales[i]


@kernel
def to_bytes(values, out, scales):
    """Write scale = max |value| / 127.5 of each row, and of each entry t = floor(value / scale).

    values (n, d) float32; out (n, d) int8: scale * (t + 1/2) is nearest; scales (n,) float32
    """
    dims = values.shape[1]
    for i in range(values.shape[0]):
        scales[i] = row_to_bytes(row_at(values, i), dims, simd.address_of(out) + dims * i)


@inlined
def row_to_bytes(row, dims, to):
    """`to_bytes` of one row; its scale."""
    largest = simd.splat_float(np.float32(0))
    for j in range(0, dims, 16):
        largest = simd.max_float(largest, simd.magnitude(_entries(row + 4 * j, dims - j)))
    scale = simd.max_floats(largest) / np.float32(127.5)
    unit = scale if scale > 0 else np.float32(1)
    for j in range(dims):
        t = np.floor(simd.load_float(row + 4 * j) / unit)
        simd.store_byte(to + j, np.int64(min(max(t, np.float32(-128)), np.float32(127))))
    return scale


@kernel
def to_fine_bytes(values, scales, rows, out):
    """Code what `to_bytes` leaves of values, in steps of scale / 256, as it codes values.

    values (n, d) float32; scales, rows   as `to_bytes` wrote them; out (n, d) int8
    """
    dims = values.shape[1]
    for i in range(values.shape[0]):
        at = dims * i
        row_to_fine_bytes(row_at(values, i), dims, scales[i], simd.address_of(rows) + at,
                          simd.address_of(out) + at)  # fmt: skip


@inlined
def row_to_fine_bytes(row, dims, scale, octets, to):
    """`to_fine_bytes` of one row."""
    unit = scale if scale > 0 else np.float32(1)
    for j in range(dims):
        middle = np.float32(np.int8(simd.load_byte(octets + j))) + np.float32(0.5)
        t = np.floor((simd.load_float(row + 4 * j) / unit - middle) * np.float32(256))
        simd.store_byte(to + j, np.int64(min(max(t, np.float32(-128)), np.float32(127))))


@inlined
def row_at(array, i):
    return simd.address_of(array) + 4 * array.shape[1] * i


@inlined
def _entries(where, left):
    """Sixteen entries of a row that has `left` more: zeros after the last."""
    return simd.load(where) if left >= 16 else simd.load_first(where, left)


@inlined
def square_norm(row, dims):
    """Sum of squares of one row, as `square_norms`."""
    total = simd.splat_float(np.float32(0))
    for j in range(0, dims, 16):
        x = _entries(row + 4 * j, dims - j)
        total = simd.add_float(total, simd.multiply_float(x, x))
    return simd.sum_floats(total)


@inlined
def load_word(where, left):
    return (
        _entries(where, left),
        _entries(where + 64, left - 16),
        _entries(where + 128, left - 32),
        _entries(where + 192, left - 48),
    )


@inlined
def _search(size, factor, thresholds, steps):
    """The sum of steps up to each entry's cell: its code, and its magnitude above that."""
    by = simd.splat_float(factor)
    z0, z1 = simd.multiply_float(size[0], by), simd.multiply_float(size[1], by)
    z2, z3 = simd.multiply_float(size[2], by), simd.multiply_float(size[3], by)
    c0 = c1 = c2 = c3 = simd.splat(steps[0])
    for t in range(thresholds.size):
        threshold, step = simd.splat_float(thresholds[t]), simd.splat(steps[t + 1])
        c0 = simd.add_where_above(c0, z0, threshold, step)
        c1 = simd.add_where_above(c1, z1, threshold, step)
        c2 = simd.add_where_above(c2, z2, threshold, step)
        c3 = simd.add_where_above(c3, z3, threshold, step)
    return c0, c1, c2, c3


@inlined
def signed_bytes(codes, x, sign):
    """Codes of 64 entries, with the bit `sign` where an entry is negative."""
    negative = simd.splat(sign)
    return simd.join_low_bytes(
        simd.add_where_negative(codes[0], x[0], negative),
        simd.add_where_negative(codes[1], x[1], negative),
        simd.add_where_negative(codes[2], x[2], negative),
        simd.add_where_negative(codes[3], x[3], negative),
    )


@inlined
def _levels(codes, left):
    u0, u1, u2, u3 = _level(codes[0]), _level(codes[1]), _level(codes[2]), _level(codes[3])
    if left >= 64:
        return u0, u1, u2, u3
    return (
        simd.keep_lanes(u0, left),
        simd.keep_lanes(u1, left - 16),
        simd.keep_lanes(u2, left - 32),
        simd.keep_lanes(u3, left - 48),
    )


@inlined
def _level(code):
    half = simd.splat_float(np.float32(0.5))
    return simd.add_float(simd.to_float(simd.high_bytes(code)), half)


@inlined
def add_products(total, x, y):
    for v in range(4):
        total = simd.add_float(total, simd.multiply_float(x[v], y[v]))
    return total
