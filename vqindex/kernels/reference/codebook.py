"""What codes of a codebook mean, and which word is nearest."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def stream(codes: npt.NDArray[np.integer], stride: int) -> npt.NDArray[np.uint8]:
    """The lowest `stride` bits of each code one after another, lowest first, (n, bits)."""
    bits = codes[:, :, None] >> np.arange(stride) & 1
    return bits.reshape(len(codes), -1).astype(np.uint8)


def windows(
    bits: npt.NDArray[np.uint8], stride: int, window: int, count: int
) -> npt.NDArray[np.int64]:
    """Codes of streams: the `window` bits from bit j * stride on, which wrap round.

    bits     (n, count * stride) of 0 and 1
    returns  (n, count)
    """
    at = (stride * np.arange(count)[:, None] + np.arange(window)) % bits.shape[1]
    found: npt.NDArray[np.int64] = bits[:, at].astype(np.int64) @ (1 << np.arange(window))
    return found


def levels(codes: npt.NDArray[np.integer], codebook: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """The integers t of the entries that codes (n, count) stand for, (n, count * group)."""
    found: npt.NDArray[np.int8] = codebook[codes].reshape(len(codes), -1)
    return found


def gains(z: Floats, words: Floats, offsets: Floats) -> Floats:
    """How much nearer to a word than to zero each group of entries is, over two.

        gain = ((offset + z_0 * word_0) + z_1 * word_1) + ...

    Every product and sum is rounded to float32. With offset = -|word|^2 / 2 the nearest word has
    the highest gain.

    z        (n, count * group); words (ksub, group); offsets (ksub,)
    returns  (n, count, ksub)
    """
    groups = z.reshape(len(z), -1, words.shape[1])
    total = np.broadcast_to(offsets, (*groups.shape[:2], len(words)))
    for i in range(words.shape[1]):
        total = total + groups[:, :, i, None] * words[:, i]
    return total


def nearest(z: Floats, words: Floats, offsets: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """The word of the highest gain for each group, the lowest one of equals, and that gain."""
    found = gains(z, words, offsets)
    return found.argmax(axis=2), found.max(axis=2)
