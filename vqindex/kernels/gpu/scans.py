"""Scans of one or a few queries: the four kernels that share a list of arguments.

scalar   codes that are multiplied          sign      one segment of signs alone
table    codes that are looked up           decoded   rows of floats
"""

from typing import NamedTuple

import numpy as np

from vqindex.kernels.gpu.launch import Launch, pointer
from vqindex.kernels.gpu.records import ANY, Asked, Counted, Where, keep

THREADS = 256
TABLE_BYTES = 8192  # of the tables that one chunk of codes is looked up in
OWN_BYTES = 26 * 1024  # of shared memory that kernels declare, at most
RESIDENT = {"scalar": 4, "sign": 2, "table": 4, "decoded": 3}  # blocks of a multiprocessor
KERNELS = {
    "scalar": "vq_scan_scalar",
    "sign": "vq_scan_signs",
    "table": "vq_scan_tables",
    "decoded": "vq_scan_decoded",
}


class Selection(NamedTuple):
    """Where the best of each query go: `kept` (nq, parts, keep(k)) keys, `floors` (nq,) keys.

    counted   where given, only queries of more candidates than there is room for are scanned
    """

    k: int
    parts: int
    kept: int
    floors: int
    counted: Counted = ANY


def scan(
    stem: str, stored: int, span: tuple[int, int], asked: Asked, where: Where,
    chosen: Selection, before: int = 0, after: int = 0, shared: int = 0,
) -> Launch:  # fmt: skip
    """Add up segments span[0]..span[1]-1 of some blocks for every query.

    before, after   (nq, 32 * blocks) float32: sums of the segments before, 0 where there are none,
                    and where sums go instead of a selection
    """
    return Launch(
        stem, (("VQ_KEEP", keep(chosen.k)),), KERNELS[stem],
        (chosen.parts if where.n else 0, asked.nq, 1), THREADS, shared,
        (
            pointer(stored), np.int32(span[0]), np.int32(span[1]),
            pointer(asked.entries), np.int64(asked.row_bytes),
            pointer(asked.half, 4), pointer(asked.gamma, 4), np.int32(asked.padded),
            pointer(asked.shares, 4), np.int32(asked.lists),
            pointer(where.blocks, 8), pointer(where.masks, 4), np.int64(where.n),
            pointer(before, 4), pointer(after, 4),
            pointer(0 if after else chosen.kept, 8), np.int32(chosen.k),
            pointer(chosen.floors, 8), pointer(chosen.counted.counts, 4),
            np.uint32(chosen.counted.capacity), pointer(where.starts, 8),
        ),
    )  # fmt: skip


def shared(stem: str, chunks: list[int], most: int) -> int:
    """Bytes of shared memory for segments of so many chunks, where a block may have `most`."""
    if stem != "table":
        return 0
    return TABLE_BYTES * max(1, min(sum(chunks), (most - OWN_BYTES) // TABLE_BYTES))


def parts(blocks: int, nq: int, slots: int) -> int:
    """Blocks of a grid for each query: all run at once, each on eight blocks of codes or more.

    slots   how many run at once: RESIDENT of a multiprocessor
    """
    return max(1, min(slots // max(nq, 1), -(-blocks // 8)))
