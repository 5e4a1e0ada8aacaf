"""Searches on a GPU, some queries at a time: what is made ready here, and what is queued there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from vqindex.indexes.device.codes import ALIGN, DeviceCodes
from vqindex.indexes.device.places import Allowed, Routes, Some, bits, left
from vqindex.indexes.device.search import DeviceSearch
from vqindex.indexes.model import Model
from vqindex.indexes.rows import Rows
from vqindex.indexes.scan import Questions, questions
from vqindex.kernels.gpu import topk
from vqindex.kernels.gpu.driver import Device
from vqindex.kernels.gpu.records import Asked, Where, keep
from vqindex.layouts.base import Array, FloatArray
from vqindex.memory import address

QUERIES = 4096  # made ready at a time


class Staging:
    """Arrays that go to a GPU in one piece, each at a multiple of 256 bytes."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, Array]] = []
        self.nbytes = 0

    def add(self, array: Array) -> int:
        """Where an array is going to begin."""
        start, whole = self.nbytes, np.ascontiguousarray(array)
        self._parts.append((start, whole))
        self.nbytes += -(-whole.nbytes // ALIGN) * ALIGN
        return start

    @property
    def whole(self) -> Array:
        """The piece."""
        out = np.zeros(self.nbytes, np.uint8)
        for start, array in self._parts:
            out[start : start + array.nbytes] = array.reshape(-1).view(np.uint8)
        return out


@final
@dataclass(frozen=True)
class Job:
    """A search of queries `start` to `start + nq - 1`, ready to be queued.

    asked    offsets in what is staged, in the place of addresses
    some     blocks to look at, None for all; each, blocks of every query
    """

    search: DeviceSearch
    staging: Staging
    asked: Asked
    start: int
    k: int
    some: tuple[Some, int, int] | None
    each: list[tuple[Some, int, int]] | None

    @property
    def nq(self) -> int:
        """Queries."""
        return self.asked.nq

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes on the GPU."""
        codes = self.search.codes
        if self.each is not None:
            most = max((len(some.blocks) for some, _, _ in self.each), default=0)
            return self.staging.nbytes + self.search.each_nbytes(self.nq, self.k, most)
        blocks = codes.plan.blocks if self.some is None else len(self.some[0].blocks)
        return self.staging.nbytes + self.search.nbytes(self.nq, self.k, blocks)

    def queue(self, memory: int, scores: int, found: int, stream: int) -> None:
        """Queue it on a stream, to write scores and ids (nq, k); memory, of `nbytes` bytes."""
        codes, device = self.search.codes, self.search.device
        device.upload(memory, self.staging.whole, stream)
        asked, work = self.asked.moved(memory), memory + self.staging.nbytes
        if self.each is not None:
            where = [_where(one, memory) for one in self.each]
            best = self.search.run_each(asked, self.k, where, work, stream)
        else:
            plain = shuffled = Where(codes.plan.blocks, codes.order, codes.masks)
            if self.some is not None:
                plain = shuffled = _where(self.some, memory)
            elif not codes.masks:
                plain = Where(codes.plan.blocks)
            best = self.search.run(asked, self.k, plain, shuffled, work, stream)
        device.launch(
            topk.answer(best, self.nq, self.k, keep(self.k), asked.alpha, codes.ids, scores, found),
            stream,
        )


def _where(one: tuple[Some, int, int], memory: int) -> Where:
    some, blocks, masks = one
    return Where(len(some.blocks), memory + blocks, memory + masks)


@final
class Jobs:
    """Makes jobs for an index on a GPU."""

    def __init__(self, device: Device, rows: Rows, model: Model, threads: int) -> None:
        self.codes = DeviceCodes(device, rows, model, threads)
        self.search = DeviceSearch(self.codes)
        self._model, self._lists = model, rows.lists
        self.routes = None
        if rows.lists is not None and model.centroids is not None:
            self.routes = Routes(rows.lists, model.centroids)

    def of(
        self, queries: FloatArray, k: int, filters: Allowed | list[Allowed | None] | None,
        nprobe: int,
    ) -> Iterator[Job]:  # fmt: skip
        """Jobs of queries (nq, d) float32; filters is a mask (n,), one for each, or None."""
        step = 1 if isinstance(filters, list) else min(QUERIES, self.search.step)
        for start in range(0, len(queries), step):
            allowed = filters[start] if isinstance(filters, list) else filters
            yield self._job(queries[start : start + step], start, k, allowed, nprobe)

    def _job(
        self, queries: FloatArray, start: int, k: int, allowed: Allowed | None, nprobe: int
    ) -> Job:
        asking, staging = questions(self._model, queries), Staging()
        asked = self._stage(asking, staging)

        def staged(some: Some) -> tuple[Some, int, int]:
            return some, staging.add(some.blocks), staging.add(some.masks)

        some, each = None, None
        routed = self.routes is not None and not self.routes.is_few(nprobe, allowed)
        if allowed is not None or routed:
            masks = bits(allowed, self._lists, self.codes.plan.blocks)
            if routed and self.routes is not None and asking.shares is not None:
                places = self.routes.of(asking.shares, masks, nprobe, k)
                each = [staged(one) for one in places]
            else:
                some = staged(left(masks, self.codes.shuffle))
        return Job(self.search, staging, asked, start, k, some, each)

    def _stage(self, asking: Questions, staging: Staging) -> Asked:
        operands = asking.operands
        whole = operands.memory[operands.start - address(operands.memory) :]
        factors = 4 * len(operands.program) * operands.padded
        half = operands.padded * operands.row_bytes + factors  # seeds come before
        entries = staging.add(whole[: half + 2 * factors])
        shares = 0 if asking.shares is None else staging.add(asking.shares)
        return Asked(
            operands.nq, operands.padded, operands.row_bytes, entries, entries + half,
            entries + half + factors, staging.add(operands.alpha), shares,
            0 if asking.shares is None else asking.shares.shape[1],
        )  # fmt: skip
