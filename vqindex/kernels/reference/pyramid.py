"""What pyramid codes mean: points of integers on a pyramid, numbered one after another.

    P(n, k) = {y in Z^n: sum |y_j| = k}

V(n, k) counts them, and U(n, k) those whose first entry is not negative, of one pulse less:
V(n, k) = U(n, k) + U(n, k + 1). Integers of any size are Python's.

Source: Fischer, A pyramid vector quantizer, 1986; search and numbering as in Opus (RFC 6716),
celt/vq.c, op_pvq_search, and celt/cwrs.c, icwrs and cwrsi.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Pulses = npt.NDArray[np.int64]


@lru_cache(maxsize=1 << 20)
def count(n: int, k: int) -> int:
    """V(n, k) = V(n - 1, k) + V(n, k - 1) + V(n - 1, k - 1), V(n, 0) = 1, V(0, k) = 0 else."""
    if k == 0 or n == 0:
        return int(k == 0)
    return count(n - 1, k) + count(n, k - 1) + count(n - 1, k - 1)


def below(n: int, k: int) -> int:
    """U(n, k) = sum of V(n - 1, j) over j < k."""
    return sum(count(n - 1, j) for j in range(k))


def rank(y: Pulses) -> int:
    """The number of a point, from 0 to V - 1."""
    n = len(y)
    index, k = int(y[-1] < 0), abs(int(y[-1]))
    for j in range(n - 2, -1, -1):
        index += below(n - j, k)
        k += abs(int(y[j]))
        if y[j] < 0:
            index += below(n - j, k + 1)
    return index


def unrank(index: int, n: int, k: int) -> Pulses:
    """The point (n,) of a number."""
    y = np.zeros(n, np.int64)
    for j in range(n):
        negative = index >= below(n - j, k + 1)
        if negative:
            index -= below(n - j, k + 1)
        before = k
        while below(n - j, k) > index:
            k -= 1
        index -= below(n - j, k)
        y[j] = k - before if negative else before - k
    return y


def search(x: npt.NDArray[np.float32], k: int) -> Pulses:
    """A point (n,) of k pulses in about the direction of x (n,), pulse by pulse, in float64.

    Where k > n / 2 it begins with floor((k + 0.8) |x_j| / sum |x|), which is never too many; then
    each pulse goes where (<x, y>)^2 / |y|^2 becomes largest, to the first of equals. Sums run from
    the first entry on. All pulses of x = 0 lie on the first entry.
    """
    size = np.abs(x.astype(np.float64))
    total = np.add.accumulate(size)[-1]
    y = np.zeros(len(x))
    if total == 0:
        y[0] = k
        return y.astype(np.int64)
    if 2 * k > len(x):
        y = np.floor((k + 0.8) / total * size)
    dot, square = np.add.accumulate(size * y)[-1], float((y * y).sum())
    for _ in range(k - int(y.sum())):
        best, top, bottom = 0, -1.0, 1.0
        for j in range(len(x)):
            above, under = (dot + size[j]) ** 2, square + 2 * y[j] + 1
            if above * bottom > top * under:
                best, top, bottom = j, above, under
        dot, square = dot + size[best], square + 2 * y[best] + 1
        y[best] += 1
    return np.where(x < 0, -y, y).astype(np.int64)


def levels(y: Pulses, gain: np.float32) -> npt.NDArray[np.int8]:
    """The integers t of the half-integers t + 1/2 nearest to gain * y / |y|, in float32."""
    factor = gain / np.sqrt(np.float32((y * y).sum()))
    t: npt.NDArray[np.float32] = np.floor(y.astype(np.float32) * factor)
    return t.clip(-128, 127).astype(np.int8)
