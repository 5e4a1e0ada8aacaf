"""What sign codes mean, and the identity by which popcount computes it."""

import numpy as np
import numpy.typing as npt


def raw(signs: npt.NDArray[np.bool_], query: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Inner products of rows of signs and integer queries.

        raw[i, s] = sum_j (-1)**signs[i, j] * query[s, j]

    signs    (n, m) bool, True = negative
    query    (nq, m) int8
    returns  (n, nq) int64
    """
    return np.where(signs, -1, 1) @ query.astype(np.int64).T


def pack(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """Bit j of each row at bit j % 64 of word j // 64: (..., m) bool to (..., ceil(m / 64)).

    The spare bits of the last word are zero.
    """
    padding = [(0, 0)] * (bits.ndim - 1) + [(0, -bits.shape[-1] % 64)]
    return np.packbits(np.pad(bits, padding), axis=-1, bitorder="little").view("<u8")


def planes(query: npt.NDArray[np.int8]) -> npt.NDArray[np.uint64]:
    """Two's complement bit planes of queries, lowest first: (nq, m) int8 to (nq, 8, words)."""
    return pack((query.view(np.uint8)[:, None, :] >> np.arange(8)[:, None]) % 2 == 1)


def bit_sliced(words: npt.NDArray[np.uint64], query: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """`raw` again, by counting bits.

        raw[i, s] = sum_j query[s, j] - 2 sum_p weight_p popcount(words[i] & planes[s, p])
        weight    = 1, 2, 4, ..., 64, -128

    The sum over p is that of the query where the row is negative: bit p of a two's complement byte
    is worth 2**p, but for the highest, which is worth -2**7.

    words    (n, ceil(m / 64)) uint64, from `pack`; spare bits may hold anything
    query    (nq, m) int8
    returns  (n, nq) int64
    """
    weight = np.array([1, 2, 4, 8, 16, 32, 64, -128])
    both = np.bitwise_count(words[:, None, None, :] & planes(query))
    negative: npt.NDArray[np.int64] = both.sum(axis=-1, dtype=np.int64) @ weight
    total: npt.NDArray[np.int64] = query.sum(axis=1, dtype=np.int64)
    return total - 2 * negative
