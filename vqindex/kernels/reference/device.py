"""How codes lie on a GPU: the definitions, row by row.

A row of a segment is a run of bytes, in pieces of sixteen; the pieces of 32 rows lie side by side.
"""

import numpy as np
import numpy.typing as npt

Octets = npt.NDArray[np.uint8]


def pieces(rows: Octets) -> Octets:
    """Rows (n, bytes) as blocks: (blocks, chunks, 32, 16), zeros beyond rows and bytes."""
    n, size = rows.shape
    whole = np.zeros((-(-n // 32) * 32, -(-size // 16) * 16), np.uint8)
    whole[:n, :size] = rows
    return whole.reshape(-1, 32, whole.shape[1] // 16, 16).swapaxes(1, 2)


def signs(negative: npt.NDArray[np.bool_]) -> Octets:
    """Rows of signs (n, d): bit j % 8 of byte j // 8 is set where entry j is negative."""
    octets: Octets = np.packbits(negative, axis=1, bitorder="little")
    return octets


def pairs(codes: Octets) -> Octets:
    """Rows of codes (n, d) of two bits, the sign above the magnitude's.

    Of each 64 entries eight bytes of signs, then eight of sign XOR magnitude.
    """
    whole = np.zeros((len(codes), -(-codes.shape[1] // 64) * 64), np.uint8)
    whole[:, : codes.shape[1]] = codes
    sign = signs(whole >> 1 != 0).reshape(len(codes), -1, 8)
    differs = signs((whole >> 1 ^ whole & 1) != 0).reshape(len(codes), -1, 8)
    return np.concatenate([sign, differs], axis=2).reshape(len(codes), whole.shape[1] // 4)


def nibbles(codes: Octets, bits: int) -> Octets:
    """Rows of codes (n, d) of up to four bits: bit 3 the sign, the magnitude's index below it.

    Entry 2 j is the low half of byte j.
    """
    whole = np.zeros((len(codes), codes.shape[1] + codes.shape[1] % 2), np.uint8)
    index = codes & np.uint8((1 << bits - 1) - 1)
    whole[:, : codes.shape[1]] = index | codes >> np.uint8(bits - 1) << np.uint8(3)
    octets: Octets = whole[:, ::2] | whole[:, 1::2] << np.uint8(4)
    return octets
