"""The file: named arrays and a little text, checksummed; it knows nothing of indexes.

A file is a strict safetensors file, so that the official reader opens it:

    8 bytes   little-endian length of the header
    header    JSON, padded with spaces until the data starts at a multiple of 64
    data      the tensors, each at a multiple of 64, holes filled by tensors named _pad<n>;
              the last tensor, _crc32, holds the checksums

`__metadata__` holds `format`, `version`, `created_by` and, under `user.<key>`, the caller's own.
Names that begin with "_" are reserved. The same input gives the same bytes. A checksum finds
damage; it is no defence against somebody who means harm, but reading a hostile file is safe.
"""

from vqindex.container.reading import Contents, Summary, from_bytes, inspect, read, verify
from vqindex.container.writing import Chunks, to_bytes, write

__all__ = [
    "Chunks",
    "Contents",
    "Summary",
    "from_bytes",
    "inspect",
    "read",
    "to_bytes",
    "verify",
    "write",
]
