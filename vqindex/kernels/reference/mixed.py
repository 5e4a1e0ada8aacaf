"""What codes of mixed bits mean: scalar codes whose bits vary from run to run of eight entries.

A code of b bits is a sign and b - 1 bits of magnitude. The magnitudes of all bits up to 7 stand in
one table of 128, numbered as in a heap: index 2**(b - 1) + m for magnitude m of b bits. Entries of
a word (64 dimensions) share a table; entry 0 is unused.
"""

import numpy as np
import numpy.typing as npt

WORD = 64  # entries
MOST_BITS = 7


def indexes(codes: npt.NDArray[np.uint8], bits: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where the magnitude of each code stands in its word's table.

    codes    (n, d) uint8, the sign in bit b - 1, the magnitude below
    bits     (d,) 1..7
    returns  (n, d) int64, 1..127
    """
    top: npt.NDArray[np.int64] = np.int64(1) << (bits - 1)
    return top + codes % top


def levels_of(
    codes: npt.NDArray[np.uint8], bits: npt.NDArray[np.int64], tables: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int8]:
    """The integer t of each code, whose level is t + 1/2.

        t = table[2**(b - 1) + m],  or -t - 1 where the sign is set

    codes    (n, d) uint8; bits (d,)
    tables   (words, 128) uint8 below 128, a table for each 64 entries
    returns  (n, d) int8
    """
    word = np.arange(codes.shape[1]) // WORD
    t = tables[word, indexes(codes, bits)].astype(np.int8)
    return np.where(codes >> (bits - 1).astype(np.uint8) & 1, ~t, t)


def encode(
    z: npt.NDArray[np.float32], bits: npt.NDArray[np.int64], thresholds: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """Code of the cell that each coordinate falls in: how many thresholds lie below |z|, and sign.

    z            (n, d); bits (d,)
    thresholds   (words, 64, 64): row t is passed by magnitudes above t, infinity where there are
                 fewer; a column for each entry of a word
    returns      (n, d) uint8
    """
    j = np.arange(z.shape[1])
    limits = thresholds[j // WORD, :, j % WORD]  # (d, 64)
    m: npt.NDArray[np.int64] = (np.abs(z)[:, :, None] > limits).sum(axis=2)
    return (((z < 0) << (bits - 1)) + m).astype(np.uint8)


def planes(
    codes: npt.NDArray[np.uint8], bits: npt.NDArray[np.int64]
) -> list[npt.NDArray[np.uint8]]:
    """Bit planes, sign first, then most significant first: plane p has entries of more than p bits.

    Bits come non-increasing, so that those are the first; each plane is packed, lowest bit first.
    """
    return [
        np.packbits(
            codes[:, bits > p] >> (bits[bits > p] - 1 - p).astype(np.uint8) & 1,
            axis=1,
            bitorder="little",
        )
        for p in range(MOST_BITS)
    ]
