"""Rotations in float32, in one fixed order: `rotate`, `unrotate` and `matmul`.

Every output element is one chain of additions, subtractions and products whose order depends on
the dimension alone. The compiler may only lay independent elements side by side, so a row comes
out the same, bit for bit, alone or in any batch and on any CPU. Hence no BLAS and no fused
multiply-add here.
"""

import numpy as np
from numpy.typing import NDArray

from vqindex.kernels.cpu.compile import kernel

LANES = 32  # columns summed side by side; a constant, so that LLVM unrolls the loop over them
_BLOCK_FLOATS = 4096  # a block of rows this large stays in cache, twice


def pack(mixes: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """Lay mixing matrices out as the kernels read them.

    mixes (rounds, p, p) float32 for `rotate`, each of them transposed for `unrotate`
    returns (rounds, p, p rounded up to LANES), each transposed where it is the right operand
    """
    p = mixes.shape[1]
    facing = mixes if dim // p >= LANES else mixes.transpose(0, 2, 1)
    return np.ascontiguousarray(np.pad(facing, ((0, 0), (0, 0), (0, -p % LANES))))


@kernel
def rotate(x, out, signs, mixes):  # type: ignore[no-untyped-def]
    """reference.hadamard.rotate; x, out (n, d), signs (rounds, d), mixes as `pack` leaves them."""
    n, d = x.shape
    rows = max(1, min(n, _BLOCK_FLOATS // d))
    a, b = np.empty((rows, d), np.float32), np.empty((rows, d), np.float32)
    sums = np.empty(4 * LANES, np.float32)
    for top in range(0, n, rows):
        m = min(rows, n - top)
        y = out[top : top + m]
        _rotate(x[top : top + m], y, signs[0], mixes[0], a[:m], b[:m], sums)
        for i in range(1, signs.shape[0]):
            _rotate(y, y, signs[i], mixes[i], a[:m], b[:m], sums)


@kernel
def unrotate(y, out, signs, mixes):  # type: ignore[no-untyped-def]
    """The inverse of `rotate`, for mixes that were transposed before `pack`."""
    n, d = y.shape
    rows = max(1, min(n, _BLOCK_FLOATS // d))
    a, b = np.empty((rows, d), np.float32), np.empty((rows, d), np.float32)
    sums = np.empty(4 * LANES, np.float32)
    last = signs.shape[0] - 1
    for top in range(0, n, rows):
        m = min(rows, n - top)
        x = out[top : top + m]
        _unrotate(y[top : top + m], x, signs[last], mixes[last], a[:m], b[:m], sums)
        for i in range(last - 1, -1, -1):
            _unrotate(x, x, signs[i], mixes[i], a[:m], b[:m], sums)


@kernel
def _rotate(x, out, signs, mix, a, b, sums):  # type: ignore[no-untyped-def]
    n, d = x.shape
    p = mix.shape[0]
    width = d // p
    _multiply(x, signs, a)
    if width >= LANES:
        a = _spread(a, b, width)
        _mix(mix, a.reshape(n, p, width), out.reshape(n, p, width), sums)
    else:
        matmul(a.reshape(n * width, p), mix, b.reshape(n * width, p), sums)
        out[:] = _spread(b, a, width)


@kernel
def _unrotate(y, out, signs, mix, a, b, sums):  # type: ignore[no-untyped-def]
    n, d = y.shape
    p = mix.shape[0]
    width = d // p
    if width >= LANES:
        _mix(mix, y.reshape(n, p, width), a.reshape(n, p, width), sums)
        _multiply(_gather(a, b, width), signs, out)
    else:
        a[:] = y
        a = _gather(a, b, width)
        matmul(a.reshape(n * width, p), mix, out.reshape(n * width, p), sums)
        _multiply(out, signs, out)


@kernel
def _multiply(x, signs, out):  # type: ignore[no-untyped-def]
    for r in range(x.shape[0]):
        v, y = x[r], out[r]
        for j in range(v.size):
            y[j] = v[j] * signs[j]


@kernel
def _spread(a, b, width):  # type: ignore[no-untyped-def]
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
def _gather(a, b, width):  # type: ignore[no-untyped-def]
    """`_spread` backwards: butterflies along the last axis of (p, width), which becomes the first."""
    while width > 1:
        _pairs_to_halves(a, b)
        a, b = b, a
        width //= 2
    return a


@kernel
def _halves_to_pairs(x, out):  # type: ignore[no-untyped-def]
    half = x.shape[1] // 2
    for r in range(x.shape[0]):
        v, y = x[r], out[r]
        for j in range(half):
            p, q = v[j], v[half + j]
            y[2 * j] = p + q
            y[2 * j + 1] = p - q


@kernel
def _pairs_to_halves(x, out):  # type: ignore[no-untyped-def]
    half = x.shape[1] // 2
    for r in range(x.shape[0]):
        v, y = x[r], out[r]
        for j in range(half):
            p, q = v[2 * j], v[2 * j + 1]
            y[j] = p + q
            y[half + j] = p - q


@kernel
def _mix(mix, x, out, scratch):  # type: ignore[no-untyped-def]
    for r in range(x.shape[0]):
        matmul(mix, x[r], out[r], scratch)


@kernel
def matmul(a, b, out, s):  # type: ignore[no-untyped-def]
    """out = a @ b, each element summed over the inner index from first to last.

    a (n, >= inner), b (inner, width rounded up to LANES), out (n, width), s (4 * LANES,) scratch
    """
    n, width = out.shape
    inner = b.shape[0]
    fours = inner - inner % 4
    whole = n - n % 4
    for c in range(0, width, LANES):
        for r in range(0, whole, 4):
            x0, x1, x2, x3 = a[r], a[r + 1], a[r + 2], a[r + 3]
            s[: 4 * LANES] = 0
            for j in range(0, fours, 4):  # four products to each load and store of a sum
                v0, v1, v2, v3 = b[j][c:], b[j + 1][c:], b[j + 2][c:], b[j + 3][c:]
                p0, p1, p2, p3 = x0[j], x0[j + 1], x0[j + 2], x0[j + 3]
                q0, q1, q2, q3 = x1[j], x1[j + 1], x1[j + 2], x1[j + 3]
                f0, f1, f2, f3 = x2[j], x2[j + 1], x2[j + 2], x2[j + 3]
                g0, g1, g2, g3 = x3[j], x3[j + 1], x3[j + 2], x3[j + 3]
                for t in range(LANES):
                    w0, w1, w2, w3 = v0[t], v1[t], v2[t], v3[t]
                    s[t] = s[t] + p0 * w0 + p1 * w1 + p2 * w2 + p3 * w3
                    u = t + LANES
                    s[u] = s[u] + q0 * w0 + q1 * w1 + q2 * w2 + q3 * w3
                    u = t + 2 * LANES
                    s[u] = s[u] + f0 * w0 + f1 * w1 + f2 * w2 + f3 * w3
                    u = t + 3 * LANES
                    s[u] = s[u] + g0 * w0 + g1 * w1 + g2 * w2 + g3 * w3
            for j in range(fours, inner):
                v = b[j][c:]
                p, q, f, g = x0[j], x1[j], x2[j], x3[j]
                for t in range(LANES):
                    s[t] += p * v[t]
                    s[t + LANES] += q * v[t]
                    s[t + 2 * LANES] += f * v[t]
                    s[t + 3 * LANES] += g * v[t]
            for i in range(4):
                y = out[r + i][c:]
                for t in range(min(LANES, y.size)):
                    y[t] = s[i * LANES + t]
    for r in range(whole, n):
        x, y = a[r], out[r]
        y[:] = 0
        for j in range(inner):
            p, v = x[j], b[j]
            for t in range(y.size):
                y[t] += p * v[t]
