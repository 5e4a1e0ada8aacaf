"""The best keys of each query, and the answers they stand for."""

import numpy as np

from vqindex.kernels.gpu.launch import Launch, blocks, pointer
from vqindex.kernels.gpu.records import ANY, Counted, keep

THREADS = 256


def merge(
    keys: int, nq: int, k: int, stride: int, total: int, out: int, *, before: int = 0,
    floors: int = 0, length: int | None = None, counted: Counted = ANY, overflowed: bool = False,
) -> Launch:  # fmt: skip
    """Keep the best k of the keys of each query, (nq, stride), of which `total` count.

    out          (nq, parts, keep(k)), one part for each `length` keys; by default of all
    before       (nq, keep(k)) keys that the first part takes in as well; may be `out`
    floors       (nq,) keys that k of these are known to reach, 0 where none is known
    counted      how many count instead of `total`, unless there are more than there is room for
    overflowed   `total` keys of those queries, and nothing of others
    """
    length = total if length is None else length
    return Launch(
        "topk", (("VQ_KEEP", keep(k)),), "vq_merge", (-(-total // length), nq, 1), THREADS, 0,
        (
            pointer(keys, 8), np.int64(stride), np.int64(length), np.int64(total),
            pointer(counted.counts, 4), np.uint32(counted.capacity), np.int32(overflowed),
            pointer(before, 8), pointer(floors, 8), pointer(out, 8), np.int32(k),
        ),
    )  # fmt: skip


def answer(
    keys: int, nq: int, k: int, stride: int, alpha: int, ids: int, scores: int, found: int
) -> Launch:
    """Write scores (nq, k) float32 and ids (nq, k) int64 of the keys (nq, stride), best first.

    alpha   (nq,) float32, added to scores; ids, by rank
    """
    return Launch(
        "topk", (("VQ_KEEP", keep(k)),), "vq_answer", (blocks(k, THREADS, "neighbours"), nq, 1),
        THREADS, 0,
        (
            pointer(keys, 8), np.int64(stride), np.int32(k), pointer(alpha, 4), pointer(ids, 8),
            pointer(scores, 4), pointer(found, 8),
        ),
    )  # fmt: skip
