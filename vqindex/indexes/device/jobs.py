"""Searches on a GPU, some queries at a time: what is made ready here, and what is queued there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from vqindex.indexes.device.codes import ALIGN, DeviceCodes
from vqindex.indexes.device.making import maker
from vqindex.indexes.device.places import Allowed, Routes, Some, bits, left
from vqindex.indexes.device.search import DeviceSearch
from vqindex.indexes.model import Model
from vqindex.indexes.questions import Questions, questions
from vqindex.indexes.rows import Rows
from vqindex.kernels.gpu import topk
from vqindex.kernels.gpu.driver import Device
from vqindex.kernels.gpu.query import Making, query
from vqindex.kernels.gpu.records import Asked, Where, keep
from vqindex.layouts.base import Array, FloatArray
from vqindex.memory import address

QUERIES = 4096  # made ready at a time

Filters = Allowed | list[Allowed | None] | None
Placed = tuple[Some, int, int]  # and where its blocks and masks are staged


class Staging:
    """Arrays that go to a GPU in one piece, each at a multiple of 256 bytes, and room behind it."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, Array]] = []
        self._filled = self.nbytes = 0

    def add(self, array: Array) -> int:
        """Where an array is going to begin; arrays come before room."""
        whole = np.ascontiguousarray(array)
        start = self.room(whole.nbytes)
        self._parts.append((start, whole))
        self._filled = self.nbytes
        return start

    def room(self, nbytes: int) -> int:
        """Where so many bytes begin that are written on the GPU."""
        start = self.nbytes
        self.nbytes += -(-nbytes // ALIGN) * ALIGN
        return start

    @property
    def whole(self) -> Array:
        """The piece."""
        out = np.zeros(self._filled, np.uint8)
        for start, array in self._parts:
            out[start : start + array.nbytes] = array.reshape(-1).view(np.uint8)
        return out


@final
@dataclass(frozen=True)
class Job:
    """A search of queries `start` to `start + nq - 1`, ready to be queued.

    asked    offsets in what is staged, in the place of addresses
    some     blocks to look at, None for all; each, blocks of every query
    made     how queries are made ready on the GPU, and their address there; None where they are
    """

    search: DeviceSearch
    staging: Staging
    asked: Asked
    start: int
    k: int
    some: Placed | None
    each: list[Placed] | None
    made: tuple[Making, int] | None = None

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
        if self.made is not None:
            making, queries = self.made
            device.launch(query(making, queries, codes.stored, asked), stream)
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


def _where(one: Placed, memory: int) -> Where:
    some, blocks, masks = one
    return Where(len(some.blocks), memory + blocks, memory + masks)


@final
class Jobs:
    """Makes jobs for an index on a GPU.

    maker    what makes queries ready there, or None where only the CPU does
    routes   which lists queries look into, or None
    """

    def __init__(self, device: Device, rows: Rows, model: Model, threads: int) -> None:
        self.codes = DeviceCodes(device, rows, model, threads)
        self.search = DeviceSearch(self.codes)
        self._model, self._lists = model, rows.lists
        self.maker, self.routes = maker(device, model), None
        if rows.lists is not None and model.centroids is not None:
            self.routes = Routes(rows.lists, model.centroids)

    def of(self, queries: FloatArray, k: int, filters: Filters, nprobe: int) -> Iterator[Job]:
        """Jobs of queries (nq, d) float32; filters is a mask (n,), one for each, or None."""
        for start, stop, allowed in self._steps(len(queries), filters):
            asking, staging = questions(self._model, queries[start:stop]), Staging()
            asked = _staged(asking, staging)
            routes = self.routes
            if routes is None or asking.shares is None or routes.is_few(nprobe, allowed):
                some = self._left(allowed, staging)
                yield Job(self.search, staging, asked, start, k, some, None)
                continue
            masks = bits(allowed, self._lists, self.codes.plan.blocks)
            places = routes.of(asking.shares, masks, nprobe, k)
            each = [_placed(some, staging) for some in places]
            yield Job(self.search, staging, asked, start, k, None, each)

    def of_address(self, queries: int, nq: int, k: int, filters: Filters) -> Iterator[Job]:
        """The same of queries on the GPU; only where there is a `maker`."""
        assert self.maker is not None
        for start, stop, allowed in self._steps(nq, filters):
            staging, making = Staging(), self.maker.making
            some = self._left(allowed, staging)
            asked = self.maker.asked(stop - start, staging.room)
            made = making, queries + 4 * making.dim * start
            yield Job(self.search, staging, asked, start, k, some, None, made)

    def _steps(self, nq: int, filters: Filters) -> Iterator[tuple[int, int, Allowed | None]]:
        step = 1 if isinstance(filters, list) else min(QUERIES, self.search.step)
        for start in range(0, nq, step):
            allowed = filters[start] if isinstance(filters, list) else filters
            yield start, min(start + step, nq), allowed

    def _left(self, allowed: Allowed | None, staging: Staging) -> Placed | None:
        """The blocks that a filter leaves."""
        if allowed is None:
            return None
        masks = bits(allowed, self._lists, self.codes.plan.blocks)
        return _placed(left(masks, self.codes.shuffle), staging)


def _placed(some: Some, staging: Staging) -> Placed:
    return some, staging.add(some.blocks), staging.add(some.masks)


def _staged(asking: Questions, staging: Staging) -> Asked:
    """Where prepared queries are going to be."""
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
