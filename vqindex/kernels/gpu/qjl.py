"""Signs of projections of rows that lie on the GPU: QJL codes, or a sketch of what codes leave."""

from typing import NamedTuple

import numpy as np

from vqindex.kernels.gpu.launch import MOST_BLOCKS, Launch, pointer, row_bytes

THREADS = 128
_SIGNS = 128  # of a piece of 16 bytes


class Projection(NamedTuple):
    """A projection to `bits` signs, in blocks of dim rows; addresses of what they are made of.

    signs   (blocks, rounds, dim) float32
    mixes   (blocks, rounds, order, order) float32
    worth   what a row's norm is multiplied by for its scale
    """

    dim: int
    bits: int
    worth: float
    signs: int
    mixes: int
    rounds: int
    order: int

    @property
    def chunks(self) -> int:
        """Pieces of 16 bytes of a row's signs."""
        return -(-self.bits // _SIGNS)


def qjl(projection: Projection, y: int, n: int, first: int, codes: int, scale: int) -> Launch:
    """Code rows (n, dim) float32 as rows first..first+n-1 of SIGNS, with their scales."""
    shared = 3 * row_bytes(projection.dim) + 16 * projection.chunks
    return Launch(
        "qjl", (), "vq_qjl", (min(n, MOST_BLOCKS), 1, 1), THREADS, shared,
        (
            pointer(y, 4), np.int64(n), np.int64(first), np.int32(projection.dim),
            np.int32(projection.bits), np.int32(projection.order), np.int32(projection.rounds),
            pointer(projection.signs, 4), pointer(projection.mixes), pointer(codes),
            np.int32(projection.chunks), pointer(scale, 4), np.float32(projection.worth),
        ),
    )  # fmt: skip
