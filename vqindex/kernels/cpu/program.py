"""What a scoring kernel is told of each segment: one row of int64 fields.

A row's score is a sum over segments of scale * gamma * (raw + half), plus a bias. Segments read
columns by number; the addresses of a column's slabs stand in a table (columns, slabs).
"""

BLOCK = 32  # rows of a block
SLAB = 128  # blocks of a slab
SLAB_ROWS = BLOCK * SLAB

(
    BITS,  # 1..8: bit planes; BYTE_ROWS, FLOAT_ROWS, HALF_ROWS: decoded rows
    WORDS,  # 64-byte vectors of a decoded row of this segment
    FIRST,  # its first 64-bit word in a row of the sign plane
    PLANE,  # column of the sign plane
    PLANE_WORDS,  # 64-bit words of a row in that column
    REST,  # column of the other planes, or of decoded rows
    REST_WORDS,  # 64-bit words of a row in that column
    SCALE,  # column of the scale, or NONE
    OPERAND,  # byte offset of this segment in a query
    TABLE,  # address of its 128-byte level table
    PLANES,  # PLANES + p: word offset of plane p (1..7) in a row of the REST column
) = range(11)
FIELDS = PLANES + 8

NONE = -1
BYTE_ROWS, FLOAT_ROWS, HALF_ROWS = 0, -1, -2
