"""Rotations in float32, in one fixed order: `rotate`, `unrotate` and `matmul`.

Every output element is one chain of additions, subtractions and products whose order depends on
the dimension alone. The compiler may only lay independent elements side by side, so a row comes
out the same, bit for bit, alone or in any batch and on any CPU. Hence no BLAS and no fused
multiply-add here.
"""

import numpy as np
from numpy.typing import NDArray

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import kernel

Floats = NDArray[np.float32]

LANES = simd.PRODUCT_LANES  # columns summed side by side
_BLOCK_FLOATS = 4096  # rows rotated at a time: they stay in the first-level cache, twice
_ROWS = 64  # rows of `matmul` that share one passage of the matrix through the cache


def pack(mixes: Floats, dim: int) -> Floats:
    """Lay mixing matrices out as the kernels read them.

    mixes    (rounds, p, p) for `rotate`, each of them transposed for `unrotate`
    returns  (rounds, p, p rounded up to LANES), each transposed where it is the right operand
    """
    wide = dim // mixes.shape[1] >= LANES
    return pad(mixes if wide else mixes.transpose(0, 2, 1))


def pad(matrices: Floats) -> Floats:
    """Matrices (m, n, d) with zero columns up to a multiple of LANES, as right operands."""
    return np.ascontiguousarray(np.pad(matrices, ((0, 0), (0, 0), (0, -matrices.shape[2] % LANES))))


@kernel
def rotate(x: Floats, out: Floats, signs: Floats, mixes: Floats) -> None:
    """reference.hadamard.rotate; x, out (n, d), signs (rounds, d), mixes as `pack` leaves them."""
    n, d = x.shape
    rows = _block_rows(n, d, d // mixes.shape[1])
    a, b = np.empty((rows, d), np.float32), np.empty((rows, d), np.float32)
    edge = np.empty(simd.PRODUCT_ROWS * LANES, np.float32)
    for top in range(0, n, rows):
        m = min(rows, n - top)
        source, y = x[top : top + m], out[top : top + m]
        for i in range(signs.shape[0]):
            _rotate(source, y, signs[i], mixes[i : i + 1], a[:m], b[:m], edge)
            source = y


@kernel
def unrotate(y: Floats, out: Floats, signs: Floats, mixes: Floats) -> None:
    """The inverse of `rotate`, for mixes that were transposed before `pack`."""
    n, d = y.shape
    rows = _block_rows(n, d, d // mixes.shape[1])
    a, b = np.empty((rows, d), np.float32), np.empty((rows, d), np.float32)
    edge = np.empty(simd.PRODUCT_ROWS * LANES, np.float32)
    for top in range(0, n, rows):
        m = min(rows, n - top)
        source, x = y[top : top + m], out[top : top + m]
        for i in range(signs.shape[0] - 1, -1, -1):
            _unrotate(source, x, signs[i], mixes[i : i + 1], a[:m], b[:m], edge)
            source = x


@kernel
def matmul(x: Floats, matrix: Floats, out: Floats) -> None:
    """out = x @ matrix; x (n, inner), out (n, width), matrix (1, inner, width) through `pad`."""
    n, inner = x.shape
    width = out.shape[1]
    edge = np.empty(simd.PRODUCT_ROWS * LANES, np.float32)
    for top in range(0, n, _ROWS):
        m = min(_ROWS, n - top)
        a, y = x[top : top + m], out[top : top + m]
        _products(a.reshape(1, m, inner), matrix, y.reshape(1, m, width), edge)


@kernel
def _block_rows(n: int, d: int, width: int) -> int:
    rows = max(1, _BLOCK_FLOATS // d)
    if width < 4:
        rows += -rows % 4  # `_fours` takes four at a time
    return max(1, min(rows, n))


@kernel
def _rotate(
    x: Floats, out: Floats, signs: Floats, mix: Floats, a: Floats, b: Floats, edge: Floats
) -> None:
    n, d = x.shape
    p = mix.shape[1]
    width = d // p
    _multiply(x, signs, a)
    if width >= LANES:
        a = _spread(a, b, width)
        _products(mix, a.reshape(n, p, width), out.reshape(n, p, width), edge)
    else:
        _products(a.reshape(1, n * width, p), mix, b.reshape(1, n * width, p), edge)
        _copy(_spread(b, a, width), out)


@kernel
def _unrotate(
    y: Floats, out: Floats, signs: Floats, mix: Floats, a: Floats, b: Floats, edge: Floats
) -> None:
    n, d = y.shape
    p = mix.shape[1]
    width = d // p
    if width >= LANES:
        _products(mix, y.reshape(n, p, width), a.reshape(n, p, width), edge)
        _multiply(_gather(a, b, width), signs, out)
    else:
        _copy(y, a)
        a = _gather(a, b, width)
        _products(a.reshape(1, n * width, p), mix, out.reshape(1, n * width, p), edge)
        _multiply(out, signs, out)


@kernel
def _copy(x: Floats, out: Floats) -> None:
    """out[:] = x, which takes Numba seconds to compile."""
    for r in range(x.shape[0]):
        v, y = x[r], out[r]
        for j in range(v.size):
            y[j] = v[j]


@kernel
def _multiply(x: Floats, signs: Floats, out: Floats) -> None:
    for r in range(x.shape[0]):
        v, y = x[r], out[r]
        for j in range(v.size):
            y[j] = v[j] * signs[j]


@kernel
def _spread(a: Floats, b: Floats, width: int) -> Floats:
    """Butterflies along the first axis of each row (width, p), which becomes the last: (p, width).

    Each of the log2(width) passes reads two halves and writes pairs, so every pass is the same
    long loop whatever its stride would have been. Returns whichever buffer was written last.
    """
    while width > 1:
        _halves_to_pairs(a, b)
        a, b = b, a
        width //= 2
    return a


@kernel
def _gather(a: Floats, b: Floats, width: int) -> Floats:
    """`_spread` backwards: butterflies along the last axis of (p, width), now to be the first."""
    while width > 1:
        _pairs_to_halves(a, b)
        a, b = b, a
        width //= 2
    return a


@kernel
def _halves_to_pairs(x: Floats, out: Floats) -> None:
    half = x.shape[1] // 2
    for r in range(x.shape[0]):
        v, y = x[r], out[r]
        for j in range(half):
            p, q = v[j], v[half + j]
            y[2 * j] = p + q
            y[2 * j + 1] = p - q


@kernel
def _pairs_to_halves(x: Floats, out: Floats) -> None:
    half = x.shape[1] // 2
    for r in range(x.shape[0]):
        v, y = x[r], out[r]
        for j in range(half):
            p, q = v[2 * j], v[2 * j + 1]
            y[j] = p + q
            y[half + j] = p - q


@kernel
def _products(a: Floats, b: Floats, out: Floats, edge: Floats) -> None:
    """out[g] = a[g] @ b[g], each element summed over the inner index from first to last.

    a     (1 or m, n, >= inner), where one matrix serves every g
    b     (1 or m, inner, width rounded up to LANES), likewise
    out   (m, n, width)
    edge  (PRODUCT_ROWS * LANES,), scratch
    """
    n, width = out.shape[1], out.shape[2]
    inner, a_bytes, b_bytes = b.shape[1], 4 * a.shape[2], 4 * b.shape[2]
    for g in range(out.shape[0]):
        left = simd.address_of(a) + min(g, a.shape[0] - 1) * a.shape[1] * a_bytes
        right = simd.address_of(b) + min(g, b.shape[0] - 1) * inner * b_bytes
        for c in range(0, width, LANES):
            columns = min(LANES, width - c)
            for r in range(0, n, simd.PRODUCT_ROWS):
                to, to_bytes = simd.address_of(out) + 4 * ((g * n + r) * width + c), 4 * width
                if columns < LANES:
                    to, to_bytes = simd.address_of(edge), 4 * LANES
                at, rows = left + r * a_bytes, min(simd.PRODUCT_ROWS, n - r)
                if rows == simd.PRODUCT_ROWS:
                    simd.product_tile(at, a_bytes, right + 4 * c, b_bytes, inner, to, to_bytes)
                else:
                    for i in range(rows):
                        simd.product_row(
                            at + i * a_bytes, a_bytes, right + 4 * c, b_bytes, inner,
                            to + i * to_bytes, to_bytes,
                        )  # fmt: skip
                if columns < LANES:
                    for i in range(rows):
                        for t in range(columns):
                            out[g, r + i, c + t] = edge[i * LANES + t]
