"""The best rows of each query, scored once more by originals."""

import numpy as np

from vqindex.kernels.gpu.launch import Launch, blocks, pointer
from vqindex.kernels.gpu.records import Asked

THREADS = 256
_ROWS = 16  # of a block of threads


def rerank(
    stored: int, asked: Asked, keys: int, stride: int, some: int, slots: int, out: int
) -> Launch:
    """Score the rows that keys (nq, stride) name, the first `some` of each query.

    stored, asked   of the originals
    slots           (rows,) uint32, the row of each rank; 0 where they are the same
    out             (nq, some) keys, in the same order
    """
    return Launch(
        "rerank", (), "vq_rerank", (blocks(some, _ROWS, "candidates"), asked.nq, 1), THREADS, 0,
        (
            pointer(stored), pointer(asked.entries, 4), np.int64(asked.row_bytes),
            pointer(keys, 8), np.int64(stride), np.int32(some), pointer(slots, 4), pointer(out, 8),
        ),
    )  # fmt: skip
