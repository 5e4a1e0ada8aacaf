"""The checksums: CRC-32s of the header, of each MiB of data, and of themselves.

    table[0]     length and header
    table[1:-1]  the data section before the table, MiB by MiB, the last one shorter
    table[-1]    the bytes of table[:-1]

Whatever is flipped, one of them differs; and it is known which.
"""

import zlib

import numpy as np
import numpy.typing as npt

from vqindex.errors import CorruptFileError

BLOCK_BYTES = 1 << 20
TABLE_DTYPE = np.dtype("<u4")
Table = npt.NDArray[np.uint32]


class BlockCrcs:
    """CRC-32 of each MiB of a stream, in whatever pieces it comes."""

    def __init__(self) -> None:
        self._closed: list[int] = []
        self._open = 0
        self._open_bytes = 0

    def update(self, data: memoryview) -> None:
        """Take the next bytes of the stream."""
        while data:
            piece = data[: BLOCK_BYTES - self._open_bytes]
            self._open = zlib.crc32(piece, self._open)
            self._open_bytes += len(piece)
            if self._open_bytes == BLOCK_BYTES:
                self._close()
            data = data[len(piece) :]

    def finish(self) -> list[int]:
        """One value per MiB begun."""
        if self._open_bytes:
            self._close()
        return self._closed

    def _close(self) -> None:
        self._closed.append(self._open)
        self._open = self._open_bytes = 0


def table_length(data_bytes: int) -> int:
    """Entries of the table of so many bytes of data."""
    return -(-data_bytes // BLOCK_BYTES) + 2


def make_table(head: bytes, crcs: list[int]) -> Table:
    """The table of a header, length included, and the data's checksums."""
    table = np.array([zlib.crc32(head), *crcs, 0], TABLE_DTYPE)
    table[-1] = zlib.crc32(table[:-1].data)
    return table


def check_header(table: Table, head: bytes) -> None:
    """Raise CorruptFileError unless the table is whole and the header is the one it was made of."""
    if zlib.crc32(table[:-1].data) != table[-1]:
        raise CorruptFileError("the checksums are damaged; restore the file from a copy")
    if zlib.crc32(head) != table[0]:
        raise CorruptFileError("the header is damaged; restore the file from a copy")


def damaged_blocks(table: Table, crcs: list[int]) -> list[int]:
    """Numbers of the MiBs of data that are not what was written."""
    return [int(block) for block in np.flatnonzero(table[1:-1] != np.array(crcs, TABLE_DTYPE))]
