"""Rotations in float32, in one fixed order: `rotate`, `unrotate` and `matmul`.

Every output element is one chain of additions, subtractions and products whose order depends on
the dimension alone. The compiler may only lay independent elements side by side, so a row comes
out the same, bit for bit, alone or in any batch and on any CPU. Hence no BLAS and no fused
multiply-add here.
"""

import numpy as np
from numpy.typing import NDArray

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.butterflies import gather, spread
from vqindex.kernels.cpu.compile import inlined, kernel

Floats = NDArray[np.float32]

LANES = simd.PRODUCT_LANES  # columns summed side by side
_BLOCK_FLOATS = 4096  # narrow rows rotated at a time: they stay in the first-level cache, twice
_ROWS = 64  # rows of `matmul` that share one passage of the matrix through the cache
_EDGE = simd.PRODUCT_ROWS * LANES


def pack(mixes: Floats, dim: int) -> Floats:
    """Lay mixing matrices out as the kernels read them.

    mixes    (rounds, p, p) for `rotate`, each of them transposed for `unrotate`
    returns  (rounds, p, p), or each transposed and through `pad` where it is the right operand
    """
    wide = dim // mixes.shape[1] >= LANES
    return np.ascontiguousarray(mixes) if wide else pad(mixes.transpose(0, 2, 1))


def scratch_floats(rows: int, d: int) -> int:
    """Floats of scratch, at a multiple of 64 bytes, that rotating so many rows takes."""
    return _EDGE + 2 * rows * d


def pad(matrices: Floats) -> Floats:
    """Matrices (m, n, d) with zero columns up to a multiple of LANES, as right operands."""
    return np.ascontiguousarray(np.pad(matrices, ((0, 0), (0, 0), (0, -matrices.shape[2] % LANES))))


@kernel
def rotate(x: Floats, out: Floats, signs: Floats, mixes: Floats) -> None:
    """reference.hadamard.rotate; x, out (n, d), signs (rounds, d), mixes as `pack` leaves them."""
    n, d = x.shape
    p, mix_bytes = mixes.shape[1], 4 * mixes.shape[1] * mixes.shape[2]
    rows = _block_rows(n, d, d // p)
    memory = np.empty(_EDGE + 2 * rows * d + 16, np.float32)
    for top in range(0, n, rows):
        scratch = simd.address_of(memory) + (-simd.address_of(memory) & 63)
        rotate_some(
            simd.address_of(x) + 4 * top * d, simd.address_of(out) + 4 * top * d,
            min(rows, n - top), d, p, simd.address_of(signs), signs.shape[0],
            simd.address_of(mixes), mix_bytes, scratch,
        )  # fmt: skip


@inlined
def rotate_some(x, out, rows, d, p, signs, rounds, mixes, mix_bytes, scratch):
    """`rotate` by addresses, of one row or as many as `scratch_floats` allows for."""
    for i in range(rounds):
        sign, mix = signs + 4 * i * d, mixes + i * mix_bytes
        if d // p >= LANES:
            _rotate_wide(x, out, sign, mix, d, p, scratch)
        else:
            _rotate_narrow(x, out, sign, mix, rows, d, p, scratch)
        x = out


@inlined
def multiply_one(x, inner, matrix, matrix_bytes, width, out, scratch):
    """`matmul` of one row by addresses; matrix_bytes from row to row of the matrix."""
    _product(x, np.int64(1), inner, matrix, matrix_bytes, width, out, scratch)


@kernel
def unrotate(y: Floats, out: Floats, signs: Floats, mixes: Floats) -> None:
    """The inverse of `rotate`, for mixes that were transposed before `pack`."""
    n, d = y.shape
    p, mix_bytes = mixes.shape[1], 4 * mixes.shape[1] * mixes.shape[2]
    rows = _block_rows(n, d, d // p)
    memory = np.empty(_EDGE + 2 * rows * d + 16, np.float32)
    for top in range(0, n, rows):
        scratch = simd.address_of(memory) + (-simd.address_of(memory) & 63)
        source, x = simd.address_of(y) + 4 * top * d, simd.address_of(out) + 4 * top * d
        for i in range(signs.shape[0] - 1, -1, -1):
            sign, mix = simd.address_of(signs) + 4 * i * d, simd.address_of(mixes) + i * mix_bytes
            if d // p >= LANES:
                _unrotate_wide(source, x, sign, mix, d, p, scratch)
            else:
                _unrotate_narrow(source, x, sign, mix, min(rows, n - top), d, p, scratch)
            source = x


@kernel
def matmul(x: Floats, matrix: Floats, out: Floats) -> None:
    """out = x @ matrix; x (n, inner), out (n, width), matrix (1, inner, width) through `pad`."""
    n, inner = x.shape
    width = out.shape[1]
    edge = np.empty(_EDGE, np.float32)
    for top in range(0, n, _ROWS):
        left, to = simd.address_of(x) + 4 * top * inner, simd.address_of(out) + 4 * top * width
        _product(
            left, min(_ROWS, n - top), inner, simd.address_of(matrix), 4 * matrix.shape[2], width,
            to, simd.address_of(edge),
        )  # fmt: skip


@inlined
def _block_rows(n, d, width):
    if width >= LANES:
        return 1
    rows = max(1, _BLOCK_FLOATS // d)
    if width < 4:
        rows += -rows % 4  # products take PRODUCT_ROWS at a time
    return max(1, min(rows, n))


@kernel
def _rotate_wide(x, out, signs, mix, d, p, scratch):
    a = scratch + 4 * _EDGE
    _mix(mix, p, spread(x, signs, a, a + 4 * d, d // p, d), d // p, out, scratch)


@kernel
def _unrotate_wide(y, out, signs, mix, d, p, scratch):
    a = scratch + 4 * _EDGE
    b = a + 4 * d
    _mix(mix, p, y, d // p, b, scratch)
    _multiply(gather(b, a, b, d // p, d), signs, out, d)


@kernel
def _rotate_narrow(x, out, signs, mix, rows, d, p, scratch):
    width = d // p
    a = scratch + 4 * _EDGE
    b = a + 4 * rows * d
    for row in range(0, 4 * rows * d, 4 * d):
        _multiply(x + row, signs, a + row, d)
    _product(a, rows * width, p, mix, 4 * (p + -p % LANES), p, b, scratch)
    for row in range(0, 4 * rows * d, 4 * d):
        _copy(spread(b + row, np.int64(0), a + row, b + row, width, d), out + row, d)


@kernel
def _unrotate_narrow(y, out, signs, mix, rows, d, p, scratch):
    width = d // p
    a = at = scratch + 4 * _EDGE
    b = a + 4 * rows * d
    for row in range(0, 4 * rows * d, 4 * d):
        _copy(y + row, b + row, d)
        at = gather(b + row, a + row, b + row, width, d) - row
    _product(at, rows * width, p, mix, 4 * (p + -p % LANES), p, out, scratch)
    for row in range(0, 4 * rows * d, 4 * d):
        _multiply(out + row, signs, out + row, d)


@inlined
def _copy(x, out, d):
    whole = 4 * (d - d % 16)
    for j in range(0, whole, 64):
        simd.store(out + j, simd.load(x + j))
    for j in range(whole, 4 * d, 4):
        simd.store_float(out + j, simd.load_float(x + j))


@inlined
def _multiply(x, signs, out, d):
    whole = 4 * (d - d % 16)
    for j in range(0, whole, 64):
        simd.store(out + j, simd.multiply_float(simd.load(x + j), simd.load(signs + j)))
    for j in range(whole, 4 * d, 4):
        simd.store_float(out + j, simd.load_float(x + j) * simd.load_float(signs + j))


@inlined
def _mix(mix, p, x, width, out, edge):
    """out = mix @ x; x, out (p, width), mix (p, p)."""
    if p > 1:
        _product(mix, p, p, x, 4 * width, width, out, edge)
        return
    factor, zero = simd.splat_float(simd.load_float(mix)), simd.splat_float(np.float32(0))
    for j in range(0, 4 * width, 64):
        simd.store(out + j, simd.add_float(zero, simd.multiply_float(factor, simd.load(x + j))))


@kernel
def _product(left, n, inner, right, right_bytes, width, out, edge):
    """out = left @ right, each element summed over the inner index from first to last.

    left   address of (n, inner) float32
    right  address of (inner, width rounded up to LANES), `right_bytes` from row to row
    out    address of (n, width)
    edge   address of (PRODUCT_ROWS, LANES), scratch
    """
    left_bytes = 4 * inner
    for c in range(0, width, LANES):
        columns = min(LANES, width - c)
        for r in range(0, n, simd.PRODUCT_ROWS):
            to, to_bytes = out + 4 * (r * width + c), 4 * width
            if columns < LANES:
                to, to_bytes = edge, 4 * LANES
            at, rows = left + r * left_bytes, min(simd.PRODUCT_ROWS, n - r)
            if rows == simd.PRODUCT_ROWS:
                simd.product_tile(at, left_bytes, right + 4 * c, right_bytes, inner, to, to_bytes)
            else:
                for i in range(rows):
                    simd.product_row(
                        at + i * left_bytes, left_bytes, right + 4 * c, right_bytes, inner,
                        to + i * to_bytes, to_bytes,
                    )  # fmt: skip
            if columns < LANES:
                for i in range(rows):
                    for t in range(columns):
                        value = simd.load_float(edge + 4 * (i * LANES + t))
                        simd.store_float(out + 4 * ((r + i) * width + c + t), value)
