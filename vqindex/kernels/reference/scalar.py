"""What scalar codes mean: exact integers; `score` says what becomes of them.

A level is a half-integer t + 1/2, so that a sum of level times query is an integer sum of t times
query and half the query's own sum.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def encode(
    z: npt.NDArray[np.floating], thresholds: npt.NDArray[np.floating]
) -> npt.NDArray[np.uint8]:
    """Code of the cell that each coordinate falls in.

        m = number of thresholds below |z|,  code = ksub / 2 * [z < 0] + m

    A coordinate on a threshold belongs to the cell nearer zero, and -0.0 is positive.

    z           (n, d)
    thresholds  (ksub / 2 - 1,), ascending
    returns     (n, d) uint8, below ksub
    """
    m: npt.NDArray[np.int64] = (np.abs(z)[..., None] > thresholds).sum(axis=-1)
    return ((z < 0) * (len(thresholds) + 1) + m).astype(np.uint8)


def encode_grid(z: npt.NDArray[np.floating], bits: int) -> npt.NDArray[np.uint8]:
    """Code of the nearest of evenly spaced levels, +-1/2, +-3/2, ..., +-(2**(bits - 1) - 1/2).

        m = min(trunc |z|, 2**(bits - 1) - 1),  code = 2**(bits - 1) * [z < 0] + m

    A coordinate halfway belongs to the level farther from zero, and -0.0 is positive.

    z         (n, d)
    returns   (n, d) uint8, below 2**bits
    """
    size = 2 ** (bits - 1)
    m = np.minimum(np.trunc(np.abs(z)), size - 1).astype(np.int64)
    codes: npt.NDArray[np.int64] = (z < 0) * size + m
    return codes.astype(np.uint8)


def levels_of(
    codes: npt.NDArray[np.uint8], magnitudes: npt.NDArray[np.int8]
) -> npt.NDArray[np.int8]:
    """The integer t of each code, whose level is t + 1/2.

        t = magnitudes[m],  or -magnitudes[m] - 1 where the sign bit is set

    codes       (n, d) uint8, below ksub; the sign is the highest of their log2(ksub) bits
    magnitudes  (ksub / 2,) int8, ascending, >= 0
    returns     (n, d) int8
    """
    t = magnitudes[codes % len(magnitudes)]
    return np.where(codes >= len(magnitudes), ~t, t)


def raw(
    codes: npt.NDArray[np.uint8],
    magnitudes: npt.NDArray[np.int8],
    query: npt.NDArray[np.int8],
) -> npt.NDArray[np.int64]:
    """Integer part of the inner products of rows and queries.

        raw[i, s] = sum_j t[i, j] * query[s, j]

    codes       (n, d) uint8
    magnitudes  (ksub / 2,) int8
    query       (nq, d) int8
    returns     (n, nq) int64
    """
    return levels_of(codes, magnitudes).astype(np.int64) @ query.astype(np.int64).T


def half(query: npt.NDArray[np.int8]) -> Floats:
    """What the half in every level adds to `raw`: half the query's sum, (nq,) float32."""
    total: npt.NDArray[np.int64] = query.sum(axis=1, dtype=np.int64)
    return total.astype(np.float32) * np.float32(0.5)
