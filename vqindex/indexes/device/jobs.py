"""Searches on a GPU, some queries at a time: what is made ready here, and what is queued there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, final

from vqindex.indexes.device.codes import ALIGN, DeviceCodes
from vqindex.indexes.device.finer import Finer
from vqindex.indexes.device.making import maker
from vqindex.indexes.device.places import Allowed, Routes, bits, left
from vqindex.indexes.device.search import DeviceSearch
from vqindex.indexes.device.staging import Placed, Staging, placed, placed_each, staged
from vqindex.indexes.model import Model
from vqindex.indexes.questions import questions
from vqindex.indexes.rows import Rows
from vqindex.kernels.gpu import topk
from vqindex.kernels.gpu.driver import Device
from vqindex.kernels.gpu.query import Making, query
from vqindex.kernels.gpu.records import Asked, Where, keep
from vqindex.layouts.base import FloatArray

QUERIES = 4096  # made ready at a time

Filters = Allowed | list[Allowed | None] | None
WAYS = 1 << 23  # blocks that queries look at in lists, of a job


class Made(NamedTuple):
    """How queries are made ready to meet codes and finer ones, and their address on the GPU."""

    making: Making
    finer: Making | None
    queries: int


@final
@dataclass(frozen=True)
class Job:
    """A search of queries `start` to `start + nq - 1`, ready to be queued.

    asked    offsets in what is staged, in the place of addresses
    k, rows  neighbours, and rows of which they are the best: more where these are scored again
    some     blocks to look at, None for all
    made     how queries are made ready on the GPU, and their address there; None where they are
    finer    what scores rows again, and queries that meet it, or None
    """

    search: DeviceSearch
    staging: Staging
    asked: Asked
    start: int
    k: int
    rows: int
    some: Placed | None
    made: Made | None = None
    finer: tuple[Finer, Asked] | None = None

    @property
    def nq(self) -> int:
        """Queries."""
        return self.asked.nq

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes on the GPU."""
        codes, nbytes = self.search.codes, self.staging.nbytes
        if self.finer is not None:
            nbytes += self._room
        if self.some is None:
            return nbytes + self.search.nbytes(self.nq, self.rows, codes.plan.blocks)
        each = self.some.starts is not None
        return nbytes + self.search.nbytes(self.nq, self.rows, self.some.n, each)

    @property
    def _room(self) -> int:
        """Bytes of memory for scoring rows again."""
        return -(-Finer.nbytes(self.nq, self.k, self.rows) // ALIGN) * ALIGN

    def queue(self, memory: int, scores: int, found: int, stream: int) -> None:
        """Queue it on a stream, to write scores and ids (nq, k); memory, of `nbytes` bytes."""
        codes, device = self.search.codes, self.search.device
        device.upload(memory, self.staging.whole, stream)
        asked, work = self.asked.moved(memory), memory + self.staging.nbytes
        self._make(codes, self.made and self.made.making, asked, stream)
        stride, alpha, again = keep(self.rows), asked.alpha, 0
        if self.finer is not None:
            again, work = work, work + self._room
        best = self._found(asked, memory, work, stream)
        if self.finer is not None:
            finer, whole = self.finer[0], self.finer[1].moved(memory)
            self._make(finer.codes, self.made and self.made.finer, whole, stream)
            best, stride = finer.queue(whole, best, self.k, self.rows, again, stream)
            alpha = whole.alpha
        device.launch(
            topk.answer(best, self.nq, self.k, stride, alpha, codes.ids, scores, found), stream
        )

    def _make(self, codes: DeviceCodes, making: Making | None, asked: Asked, stream: int) -> None:
        """Make queries ready that lie on the GPU."""
        if self.made is not None and making is not None:
            codes.device.launch(query(making, self.made.queries, codes.stored, asked), stream)

    def _found(self, asked: Asked, memory: int, work: int, stream: int) -> int:
        """The address of the keys of the best rows by their codes."""
        codes = self.search.codes
        plain = shuffled = Where(codes.plan.blocks, codes.order, codes.masks)
        if self.some is not None:
            plain = shuffled = self.some.at(memory)
        elif not codes.masks:
            plain = Where(codes.plan.blocks)
        return self.search.run(asked, self.rows, plain, shuffled, work, stream)


@final
class Jobs:
    """Makes jobs for an index on a GPU.

    finer    what scores the best rows again, or None
    maker    what makes queries ready there, or None where only the CPU does
    routes   which lists queries look into, or None
    """

    def __init__(self, device: Device, rows: Rows, model: Model, threads: int) -> None:
        self.codes = DeviceCodes(device, rows, model.codec, threads)
        self.finer = None if model.finer is None else Finer(device, rows, model, threads)
        self.search = DeviceSearch(self.codes)
        self._model, self._lists = model, rows.lists
        self.maker = maker(device, model.codec) if model.centroids is None else None
        if self.finer is not None and self.finer.maker is None:
            self.maker = None
        self.routes = None
        if rows.lists is not None and model.centroids is not None:
            self.routes = Routes(rows.lists, model.centroids)

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes on the GPU: of codes, and originals beside them; of what makes queries ready."""
        held, makers = [self.codes], [self.maker]
        if self.finer is not None:
            held, makers = [*held, self.finer.codes], [*makers, self.finer.maker]
        return {
            "codes": sum(codes.memory.nbytes for codes in held),
            "model": sum(maker.nbytes for maker in makers if maker is not None),
        }

    def rows(self, k: int, oversample: float) -> int:
        """How many rows are looked for by codes; BackendError for too many."""
        return k if self.finer is None else self.finer.some(k, oversample)

    def of(
        self, queries: FloatArray, k: int, rows: int, filters: Filters, nprobe: int
    ) -> Iterator[Job]:
        """Jobs of queries (nq, d) float32; filters is a mask (n,), one for each, or None."""
        for start, stop, allowed in self._steps(len(queries), filters, nprobe):
            asking, staging = questions(self._model, queries[start:stop]), Staging()
            asked, finer, routes = staged(asking.operands, staging), None, self.routes
            if asking.shares is not None:
                lists = asking.shares.shape[1]
                asked = asked._replace(shares=staging.add(asking.shares), lists=lists)
            if self.finer is not None and asking.finer is not None:
                finer = self.finer, staged(asking.finer, staging)
            if routes is None or asking.shares is None or routes.is_few(nprobe, allowed):
                some = self._left(allowed, staging)
                yield Job(self.search, staging, asked, start, k, rows, some, None, finer)
                continue
            masks = bits(allowed, self._lists, self.codes.plan.blocks)
            places = routes.of(asking.shares, masks, nprobe, rows)
            each = placed_each(places, staging)
            yield Job(self.search, staging, asked, start, k, rows, each, None, finer)

    def of_address(
        self, queries: int, nq: int, k: int, rows: int, filters: Filters
    ) -> Iterator[Job]:
        """The same of queries on the GPU; only where there is a `maker`."""
        assert self.maker is not None
        for start, stop, allowed in self._steps(nq, filters, 0):
            staging, making, finer = Staging(), self.maker.making, None
            some = self._left(allowed, staging)
            asked = self.maker.asked(stop - start, staging.room)
            made = Made(making, None, queries + 4 * making.dim * start)
            if self.finer is not None and self.finer.maker is not None:
                finer = self.finer, self.finer.maker.asked(stop - start, staging.room)
                made = made._replace(finer=self.finer.maker.making)
            yield Job(self.search, staging, asked, start, k, rows, some, made, finer)

    def _steps(
        self, nq: int, filters: Filters, nprobe: int
    ) -> Iterator[tuple[int, int, Allowed | None]]:
        step = 1 if isinstance(filters, list) else min(QUERIES, self.search.step)
        if self._lists is not None and nprobe:
            each = self.codes.plan.blocks * min(nprobe, self._lists.count) // self._lists.count
            step = max(1, min(step, WAYS // max(each, 1)))
        for start in range(0, nq, step):
            allowed = filters[start] if isinstance(filters, list) else filters
            yield start, min(start + step, nq), allowed

    def _left(self, allowed: Allowed | None, staging: Staging) -> Placed | None:
        """The blocks that a filter leaves."""
        if allowed is None:
            return None
        masks = bits(allowed, self._lists, self.codes.plan.blocks)
        return placed(left(masks, self.codes.shuffle), staging)
