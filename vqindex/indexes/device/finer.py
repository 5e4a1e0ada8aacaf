"""Reranking on a GPU: the best rows by codes are scored again by originals that it holds, too."""

from math import ceil
from typing import final

from vqindex.errors import BackendError
from vqindex.indexes.device.codes import ALIGN, DeviceCodes
from vqindex.indexes.device.making import maker
from vqindex.indexes.model import Model
from vqindex.indexes.rows import Rows
from vqindex.kernels.gpu import topk
from vqindex.kernels.gpu.driver import Device
from vqindex.kernels.gpu.records import KEY_BYTES, MOST_K, Asked, keep
from vqindex.kernels.gpu.rerank import rerank
from vqindex.layouts import device as layouts

_ORIGINALS = {layouts.FLOATS, layouts.HALVES}


@final
class Finer:
    """Originals of rows on a GPU, float32 or float16.

    maker   what makes queries ready to meet them, or None where only the CPU does
    """

    def __init__(self, device: Device, rows: Rows, model: Model, threads: int) -> None:
        assert model.finer is not None
        self.codes = DeviceCodes(device, rows, model.finer, threads, model.width)
        kinds = {segment.kind for segment in self.codes.plan.segments}
        if not kinds <= _ORIGINALS:
            raise BackendError(
                f"on a GPU rows are scored again by float32 or float16, not as {rows.recipe.spec} "
                "has them: make the index with Rerank(f16) or Rerank(f32)."
            )
        self.maker = maker(device, model.finer)

    def some(self, k: int, oversample: float) -> int:
        """How many rows are scored again for k; BackendError for too many."""
        some = ceil(min(k * oversample, self.codes.plan.ids))
        if some > MOST_K:
            raise BackendError(
                f"on a GPU k * oversample is at most {MOST_K:,}, got {some:,}: ask for fewer, or "
                "search on the CPU."
            )
        return some

    @staticmethod
    def nbytes(nq: int, k: int, some: int) -> int:
        """Bytes of working memory of `queue`."""
        return -(-KEY_BYTES * nq * some // ALIGN) * ALIGN + KEY_BYTES * nq * keep(k)

    def queue(
        self, asked: Asked, best: int, k: int, some: int, memory: int, stream: int
    ) -> tuple[int, int]:
        """Queue it for keys `best` (nq, keep(some)); the keys it leaves, and columns of them."""
        device, nq = self.codes.device, asked.nq
        out = memory + -(-KEY_BYTES * nq * some // ALIGN) * ALIGN
        slots = self.codes.slots
        again = rerank(self.codes.stored, asked, best, keep(some), some, slots, memory)
        device.launch(again, stream)
        device.launch(topk.merge(memory, nq, k, some, some, out), stream)
        return out, keep(k)
