"""What sign codes mean, and the tables by which they are summed four at a time."""

from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def raw(signs: npt.NDArray[np.bool_], query: npt.NDArray[np.int8]) -> Integers:
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


def tables(
    entries: npt.NDArray[np.integer[Any]],
) -> tuple[npt.NDArray[np.uint8], Integers, Integers]:
    """Look-up tables of queries: of each four entries, all sums of some of them, in few steps.

        table[g, i] = round((sum of the entries of group g whose bit is set in i - low_g) / step)
        step        = span / 127, as the 16-bit fraction floor(2**16 * 127 / span) of its inverse
        low_g       = the least such sum,  floor = sum of low_g over g
        span        = the largest range of such sums of a group, or 1

    A row's sum of the entries where it is negative is near floor + step * `table_sums`.

    entries   (nq, m) int8, times weights where a segment has them; m a multiple of 64
    returns   tables (nq, 4 * m) uint8, of each 64 entries the groups 0, 2, ..., 14 and then
              1, 3, ..., 15; floor and span (nq,) int64
    """
    groups = entries.astype(np.int64).reshape(len(entries), -1, 4)
    low, high = np.minimum(groups, 0).sum(axis=2), np.maximum(groups, 0).sum(axis=2)
    span: Integers = np.maximum((high - low).max(axis=1), 1)
    above = groups @ (np.arange(16) >> np.arange(4)[:, None] & 1) - low[..., None]
    inverse = ((127 << 16) // span)[:, None, None]
    steps = (above * inverse + (1 << 15) >> 16).astype(np.uint8)
    placed = steps.reshape(len(entries), -1, 8, 2, 16).swapaxes(2, 3)
    return placed.reshape(len(entries), -1), low.sum(axis=1), span


def table_sums(signs: npt.NDArray[np.bool_], tables: npt.NDArray[np.uint8]) -> Integers:
    """What rows of signs look up.

        total[i, s] = sum_g table[s, g, signs of row i in group g]

    signs    (n, m) bool, True = negative, m a multiple of 64
    tables   (nq, 4 * m) uint8, from `tables`
    returns  (n, nq) int64
    """
    index = signs.reshape(len(signs), -1, 4) @ np.array([1, 2, 4, 8])
    groups = tables.reshape(len(tables), -1, 2, 8, 16).swapaxes(2, 3).reshape(len(tables), -1, 16)
    found = groups[:, np.arange(index.shape[1]), index]
    total: Integers = found.sum(axis=2, dtype=np.int64).T
    return total
