"""Queries made ready on the GPU that they lie on."""

from typing import NamedTuple

import numpy as np

from vqindex.kernels.gpu.launch import Launch, blocks, pointer, row_bytes
from vqindex.kernels.gpu.records import Asked

THREADS = 128
OWN_BYTES = 128  # of shared memory that the kernel declares, at most
METRICS = {"l2": 0, "ip": 1, "cosine": 2}


class Making(NamedTuple):
    """How queries are made ready: addresses of what a codec has learned, 0 for none.

    center          (dim,) float32
    signs, mixes    float32, of runs of dimensions that are rotated; see transforms.runs
    """

    dim: int
    metric: str
    center: int = 0
    signs: int = 0
    mixes: int = 0
    rounds: int = 0
    run: int = 1
    order: int = 1

    @property
    def shared(self) -> int:
        """Bytes of shared memory."""
        return 2 * row_bytes(self.dim)


def query(making: Making, queries: int, stored: int, asked: Asked) -> Launch:
    """Make queries (nq, dim) float32 ready, and write them where `asked` says."""
    return Launch(
        "query", (), "vq_query", (blocks(asked.nq, 1, "queries"), 1, 1), THREADS, making.shared,
        (
            pointer(queries, 4), np.int32(making.dim), np.int32(METRICS[making.metric]),
            pointer(making.center, 4), pointer(making.signs, 4), pointer(making.mixes),
            np.int32(making.rounds), np.int32(making.run), np.int32(making.order), pointer(stored),
            pointer(asked.entries), np.int64(asked.row_bytes), pointer(asked.half, 4),
            pointer(asked.gamma, 4), np.int32(asked.padded), pointer(asked.alpha, 4),
        ),
    )  # fmt: skip
