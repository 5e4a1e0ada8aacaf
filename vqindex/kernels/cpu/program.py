"""What a scoring kernel is told of each segment: one row of int64 fields.

A row's score is a sum over segments of scale * gamma * (raw + half), plus a bias. A layout names
columns by number; `bind` puts the address of the column's slab table in their place. Kernels read
fields by address too: a view of an array would be counted by Numba in the innermost loops.
"""

import numpy as np
import numpy.typing as npt

BLOCK = 32  # rows of a block
SLAB = 128  # blocks of a slab
SLAB_ROWS = BLOCK * SLAB

(
    BITS,  # 1..8: bit planes; MIXED: of mixed bits; REPEAT: see there; above, codes looked up in
    # tables; below 1, see CODE_ROWS
    WORDS,  # 64-byte vectors of a decoded row of this segment; 0 where its scale is all it has;
    # of NIBBLES 64-bit words of a row, of OCTETS codes of a row: 256 entries of tables each; of
    # SPARSE entries of a query over 64
    FIRST,  # its first 64-bit word in a row of the sign plane; of REPEAT that OPERAND
    PLANE,  # column of the sign plane
    PLANE_WORDS,  # 64-bit words of a row in that column
    REST,  # column of the other planes, of codes or of decoded rows
    REST_BYTES,  # bytes of a row in that column
    SCALE,  # column of the scale, or NONE
    RATIO,  # one more than the column of float16 that the scale is multiplied by, or 0
    OPERAND,  # byte offset of this segment in a query
    TABLE,  # address of its 128-byte level table, of the records of mixed bits, or of its codebook
    WEIGHTS,  # address of an int32 for each entry, its mean level times two, or UNBOUND for all one
    PLANES,  # PLANES + p: word offset of plane p (1..7) in a row of the REST column
) = range(13)
FIELDS = PLANES + 8
(
    CODES,  # codes of a row, or outliers
    GROUP,  # entries that a code stands for
    WINDOW,  # bits of a code
    STRIDE,  # bits from a code to the next
    EASY,  # codes from the first on that can be read by 4 bytes and written by 4 or 8
    LOOKUPS,  # address of tables to look up 64 codes at a time, or 0; see codebook.lookup_tables
) = range(PLANES, PLANES + 6)  # of CODE_ROWS and SPARSE, which have no planes

REPEATED = PLANES  # of MIXED: words that the segment after it repeats
MIXED = 9
REPEAT = 10  # the first words of the segment before once more, which is MIXED
# Codes of 4 bits in PLANE, laid out as signs, and in REST codes of 8 bits and a row's outliers.
NIBBLES, OCTETS, SPARSE = 16, 17, 18
# Codes that are decoded to integers, rows of integers, and rows of floats.
CODE_ROWS, PYRAMID_ROWS, POLAR_ROWS, BYTE_ROWS, FLOAT_ROWS, HALF_ROWS = 0, -1, -2, -3, -4, -5
NONE = -1  # no such column
UNBOUND = 0  # ... once bound


def is_decoded(fields: npt.NDArray[np.int64]) -> bool:
    """Whether all segments are decoded to bytes: see score.score_block."""
    bits = fields[:, BITS]
    return bool(((bits >= BYTE_ROWS) & (bits < NIBBLES)).all())


def looked_words(fields: npt.NDArray[np.int64]) -> int:
    """64-bit words of the codes that segments look up."""
    in_rest = fields[:, BITS] >= OCTETS
    words = np.where(in_rest, -(-fields[:, REST_BYTES] // 16), fields[:, WORDS])
    return int(words.sum())


def table(addresses: npt.NDArray[np.int64], column: int) -> int:
    """The address of a column's slab table, UNBOUND for NONE; addresses (columns, slabs)."""
    if column == NONE or addresses.size == 0:
        return UNBOUND
    return int(addresses.ctypes.data) + column * int(addresses.strides[0])


def bind(fields: npt.NDArray[np.int64], addresses: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Fields whose columns are addresses; `addresses` must outlive their use."""
    bound = fields.copy()
    for name in (PLANE, REST, SCALE):
        bound[:, name] = [table(addresses, int(column)) for column in fields[:, name]]
    bound[:, RATIO] = [table(addresses, int(after) - 1) for after in fields[:, RATIO]]
    return bound
