"""Rotations in float32, in one fixed order: `rotate`, `unrotate` and `matmul`.

Every output element is one chain of additions, subtractions and products whose order depends on
the dimension alone. The compiler may only lay independent elements side by side, so a row comes
out the same, bit for bit, alone or in any batch and on any CPU. Hence no BLAS and no fused
multiply-add here.
"""

import numpy as np
from numpy.typing import NDArray

from vqindex.kernels.cpu.compile import kernel

Floats = NDArray[np.float32]

LANES = 32  # columns summed side by side; a constant, so that LLVM unrolls the loop over them
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
    sums = np.empty(4 * LANES, np.float32)
    for top in range(0, n, rows):
        m = min(rows, n - top)
        y = out[top : top + m]
        _rotate(x[top : top + m], y, signs[0], mixes[:1], a[:m], b[:m], sums)
        for i in range(1, signs.shape[0]):
            _rotate(y, y, signs[i], mixes[i : i + 1], a[:m], b[:m], sums)


@kernel
def unrotate(y: Floats, out: Floats, signs: Floats, mixes: Floats) -> None:
    """The inverse of `rotate`, for mixes that were transposed before `pack`."""
    n, d = y.shape
    rows = _block_rows(n, d, d // mixes.shape[1])
    a, b = np.empty((rows, d), np.float32), np.empty((rows, d), np.float32)
    sums = np.empty(4 * LANES, np.float32)
    last = signs.shape[0] - 1
    for top in range(0, n, rows):
        m = min(rows, n - top)
        x = out[top : top + m]
        _unrotate(y[top : top + m], x, signs[last], mixes[last:], a[:m], b[:m], sums)
        for i in range(last - 1, -1, -1):
            _unrotate(x, x, signs[i], mixes[i : i + 1], a[:m], b[:m], sums)


@kernel
def matmul(x: Floats, matrix: Floats, out: Floats) -> None:
    """out = x @ matrix; x (n, inner), out (n, width), matrix (1, inner, width) through `pad`."""
    n, inner = x.shape
    width = out.shape[1]
    sums = np.empty(4 * LANES, np.float32)
    for top in range(0, n, _ROWS):
        m = min(_ROWS, n - top)
        a, y = x[top : top + m], out[top : top + m]
        _products(a.reshape(1, m, inner), matrix, y.reshape(1, m, width), sums)


@kernel
def _block_rows(n: int, d: int, width: int) -> int:
    rows = max(1, _BLOCK_FLOATS // d)
    if width < 4:
        rows += -rows % 4  # `_fours` takes four at a time
    return max(1, min(rows, n))


@kernel
def _rotate(
    x: Floats, out: Floats, signs: Floats, mix: Floats, a: Floats, b: Floats, sums: Floats
) -> None:
    n, d = x.shape
    p = mix.shape[1]
    width = d // p
    _multiply(x, signs, a)
    if width >= LANES:
        a = _spread(a, b, width)
        _products(mix, a.reshape(n, p, width), out.reshape(n, p, width), sums)
    else:
        _products(a.reshape(1, n * width, p), mix, b.reshape(1, n * width, p), sums)
        _copy(_spread(b, a, width), out)


@kernel
def _unrotate(
    y: Floats, out: Floats, signs: Floats, mix: Floats, a: Floats, b: Floats, sums: Floats
) -> None:
    n, d = y.shape
    p = mix.shape[1]
    width = d // p
    if width >= LANES:
        _products(mix, y.reshape(n, p, width), a.reshape(n, p, width), sums)
        _multiply(_gather(a, b, width), signs, out)
    else:
        _copy(y, a)
        a = _gather(a, b, width)
        _products(a.reshape(1, n * width, p), mix, out.reshape(1, n * width, p), sums)
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
def _products(a: Floats, b: Floats, out: Floats, s: Floats) -> None:
    """out[g] = a[g] @ b[g], each element summed over the inner index from first to last.

    a    (1 or m, n, >= inner), where one matrix serves every g
    b    (1 or m, inner, width rounded up to LANES), likewise
    out  (m, n, width)
    s    (4 * LANES,), scratch
    """
    _fours(a, b, out, s)
    _rest(a, b, out)


@kernel
def _fours(a: Floats, b: Floats, out: Floats, s: Floats) -> None:
    """`_products` for four rows at a time: four products to each load and store of a sum."""
    inner = b.shape[1]
    whole = inner - inner % 4
    for g in range(out.shape[0]):
        x, m, y = a[min(g, a.shape[0] - 1)], b[min(g, b.shape[0] - 1)], out[g]
        for c in range(0, y.shape[1], LANES):
            for r in range(0, y.shape[0] - 3, 4):
                x0, x1, x2, x3 = x[r], x[r + 1], x[r + 2], x[r + 3]
                s[: 4 * LANES] = 0
                for j in range(0, whole, 4):
                    v0, v1, v2, v3 = m[j][c:], m[j + 1][c:], m[j + 2][c:], m[j + 3][c:]
                    p0, p1, p2, p3 = x0[j], x0[j + 1], x0[j + 2], x0[j + 3]
                    q0, q1, q2, q3 = x1[j], x1[j + 1], x1[j + 2], x1[j + 3]
                    f0, f1, f2, f3 = x2[j], x2[j + 1], x2[j + 2], x2[j + 3]
                    g0, g1, g2, g3 = x3[j], x3[j + 1], x3[j + 2], x3[j + 3]
                    for t in range(LANES):
                        u0, u1, u2, u3 = v0[t], v1[t], v2[t], v3[t]
                        s[t] = s[t] + p0 * u0 + p1 * u1 + p2 * u2 + p3 * u3
                        k = t + LANES
                        s[k] = s[k] + q0 * u0 + q1 * u1 + q2 * u2 + q3 * u3
                        k = t + 2 * LANES
                        s[k] = s[k] + f0 * u0 + f1 * u1 + f2 * u2 + f3 * u3
                        k = t + 3 * LANES
                        s[k] = s[k] + g0 * u0 + g1 * u1 + g2 * u2 + g3 * u3
                for j in range(whole, inner):
                    v, p, q, f, h = m[j][c:], x0[j], x1[j], x2[j], x3[j]
                    for t in range(LANES):
                        s[t] += p * v[t]
                        s[t + LANES] += q * v[t]
                        s[t + 2 * LANES] += f * v[t]
                        s[t + 3 * LANES] += h * v[t]
                for i in range(4):
                    z = y[r + i][c:]
                    for t in range(min(LANES, z.size)):
                        z[t] = s[i * LANES + t]


@kernel
def _rest(a: Floats, b: Floats, out: Floats) -> None:
    """The last rows of `_products`, fewer than four."""
    n = out.shape[1]
    for g in range(out.shape[0]):
        x, m, y = a[min(g, a.shape[0] - 1)], b[min(g, b.shape[0] - 1)], out[g]
        for r in range(n - n % 4, n):
            u, z = x[r], y[r]
            z[:] = 0
            for j in range(m.shape[0]):
                p, v = u[j], m[j]
                for t in range(z.size):
                    z[t] += p * v[t]
