"""How queries find the best rows on a GPU: which kernels, in which order, in what memory.

    scanned   a few queries, each by blocks of a grid of its own; codes that are not multiplied
    batched   many queries of codes that are, or of streams, decoded some at a time: in waves over
              shuffled blocks, the first of few

Everything is queued on one stream, and nothing waits.
"""

from collections.abc import Mapping
from itertools import groupby
from math import ceil
from typing import NamedTuple, final

from vqindex.indexes.device.codes import DeviceCodes, padded
from vqindex.kernels.cpu.program import BLOCK
from vqindex.kernels.gpu import batch, scans, topk
from vqindex.kernels.gpu.driver import Device
from vqindex.kernels.gpu.launch import Launch
from vqindex.kernels.gpu.records import KEY_BYTES, Asked, Counted, Where, keep
from vqindex.kernels.gpu.scans import Selection
from vqindex.layouts import device as layouts

BATCH = 8  # queries from which codes are decoded for many at once
QUERIES = 4096  # of a batch at a time
SUMS = 1 << 29  # bytes of sums that a chain of kernels hands on
CAPACITY = 8192  # candidates of a query and wave, at least
ROOM = 16  # ... and for each that is kept
SPARE = 4  # times the candidates that a wave is expected to find
AGAIN = 32  # blocks of a grid that scan a query of which a wave found too many
AGAIN_BYTES = 1 << 27  # that all queries have for it
ONE_PASS = 1 << 14  # keys that one block of threads merges
SPREAD = 1 << 28  # bytes of a wave's streams, decoded
STEMS = {
    layouts.SIGNS: "sign",  # where there is nothing else
    layouts.TABLE4: "table", layouts.TABLE8: "table", layouts.SPARSE: "table",
    layouts.CODEWORDS: "decoded", layouts.FLOATS: "decoded", layouts.HALVES: "decoded",
}  # fmt: skip


class Space(NamedTuple):
    """Working memory of a search, addresses; those that it has no use for are 0.

    best        (nq, keep) keys
    kept        (nq, parts, keep) keys; middle, of a first merge of them
    floors      (nq,) keys; counts (nq,) uint32
    sums        (nq, 32 blocks) float32
    arranged    queries as tensor cores take them
    buffer      (nq, capacity) keys
    spread      a wave's streams of codes, decoded
    """

    best: int
    kept: int
    middle: int
    floors: int
    counts: int
    sums: int
    arranged: int
    buffer: int
    spread: int


class _Shape(NamedTuple):
    """Sizes of a search of nq queries for k rows among some blocks."""

    nq: int
    k: int
    parts: int  # of a scan, for each query
    middles: int  # of a first merge, or 0
    capacity: int  # of a batch, or 0
    cut: batch.Shape | None
    spread: int  # bytes of a block of streams, decoded, or 0
    wave: int  # blocks of a wave, at most

    def sizes(self, sums: int) -> list[int]:
        """Bytes of each part of a Space."""
        keys = KEY_BYTES * self.nq * keep(self.k)
        return [
            keys, keys * self.parts, keys * self.middles, KEY_BYTES * self.nq, 4 * self.nq, sums,
            self.cut.arranged_bytes(self.nq) if self.cut else 0,
            KEY_BYTES * self.nq * self.capacity, self.spread * self.wave,
        ]  # fmt: skip


@final
class DeviceSearch:
    """Searches of the codes on a GPU.

    stems   the kernels that score some kinds of segments, "scalar" those of others
    """

    def __init__(self, codes: DeviceCodes, stems: Mapping[int, str] = STEMS) -> None:
        self.codes, self.device = codes, codes.device
        segments = codes.plan.segments
        self._kinds = [segment.kind for segment in segments]
        looked_up = layouts.TABLE4, layouts.TABLE8
        self._tables = [segment.chunks * (segment.kind in looked_up) for segment in segments]
        self._pieces = [segment.pieces for segment in segments]
        names = [stems.get(kind, "scalar") for kind in self._kinds]
        self._streams = self._kinds == [layouts.CODEWORDS]
        self._multiplied = self._streams or set(names) <= {"scalar", "sign"}
        if len(names) > 1:
            names = ["scalar" if name == "sign" else name for name in names]
        runs = [list(own) for _, own in groupby(range(len(names)), key=names.__getitem__)]
        self._chain = [(names[own[0]], (own[0], own[-1] + 1)) for own in runs]

    @property
    def step(self) -> int:
        """How many queries are searched at a time, at most."""
        if len(self._chain) > 1:
            return max(1, min(QUERIES, SUMS // (128 * self.codes.plan.blocks)))
        return QUERIES

    def shape(self, nq: int, k: int, blocks: int, each: bool = False) -> _Shape:
        """How nq queries are searched for k rows among some blocks, or each among its own."""
        cut = None
        if nq >= BATCH and self._multiplied and not each:
            cut = batch.shape(nq, self._kinds, self._pieces, self.device.shared_bytes)
        resident = min(scans.RESIDENT[stem] for stem, _ in self._chain)
        parts = scans.parts(blocks, nq, resident * self.device.cores)
        if cut is not None:  # only those whose candidates find no room are scanned
            parts = max(1, min(AGAIN, AGAIN_BYTES // (KEY_BYTES * nq * keep(k))))
        middles = ceil(parts**0.5) if cut is None and parts * keep(k) > ONE_PASS else 0
        capacity = max(CAPACITY, ROOM * keep(k)) if cut else 0
        spread = BLOCK * layouts.PIECE * self._pieces[0] if cut and self._streams else 0
        wave = max(1, min(blocks, SPREAD // spread)) if spread else blocks
        return _Shape(nq, k, parts, middles, capacity, cut, spread, wave)

    def nbytes(self, nq: int, k: int, blocks: int, each: bool = False) -> int:
        """Bytes of working memory of `run`, where at most so many blocks are looked at."""
        return padded(self._sizes(self.shape(nq, k, blocks, each), blocks))[-1]

    def _sizes(self, shape: _Shape, blocks: int) -> list[int]:
        return shape.sizes(128 * blocks * shape.nq if len(self._chain) > 1 else 0)

    def run(
        self, asked: Asked, k: int, where: Where, shuffled: Where, memory: int, stream: int
    ) -> int:
        """Queue a search; the address of the keys that it leaves, (nq, keep(k)), best first.

        where      the blocks to look at; shuffled, the same in an order of no meaning
        memory     address of `nbytes` bytes at a multiple of 256
        """
        shape = self.shape(asked.nq, k, where.n, bool(where.starts))
        starts = padded(self._sizes(shape, where.n))
        space = Space(*(memory + start for start in starts[:-1]))
        queue = _Queue(self.device, stream)
        if where.n == 0:
            queue.clear(space.best, KEY_BYTES * asked.nq * keep(k))
        elif shape.cut is None:
            self._scan(asked, shape, where, space, queue)
        else:
            self._batch(asked, shape, shape.cut, shuffled, space, queue)
        return space.best

    def _scan(
        self, asked: Asked, shape: _Shape, where: Where, space: Space, queue: "_Queue"
    ) -> None:
        queue.clear(space.floors, KEY_BYTES * asked.nq)
        chosen = Selection(shape.k, shape.parts, space.kept, space.floors)
        for i, (stem, span) in enumerate(self._chain):
            before = space.sums if i else 0
            after = space.sums if i + 1 < len(self._chain) else 0
            shared = scans.shared(stem, self._tables[slice(*span)], self.device.shared_bytes)
            queue(scans.scan(
                stem, self.codes.stored, span, asked, where, chosen, before, after, shared
            ))  # fmt: skip
        self._merge(shape, space, queue)

    def _merge(self, shape: _Shape, space: Space, queue: "_Queue") -> None:
        """Of what each part of a scan kept, the best."""
        keys, size, total = space.kept, keep(shape.k), shape.parts * keep(shape.k)
        if shape.middles:
            length = ceil(shape.parts / shape.middles) * size
            queue(topk.merge(
                keys, shape.nq, shape.k, total, total, space.middle, floors=space.floors,
                length=length,
            ))  # fmt: skip
            keys, total = space.middle, ceil(total / length) * size
        queue(topk.merge(
            keys, shape.nq, shape.k, total, total, space.best, floors=space.floors
        ))  # fmt: skip

    def _batch(
        self, asked: Asked, shape: _Shape, cut: batch.Shape, where: Where, space: Space,
        queue: "_Queue",
    ) -> None:  # fmt: skip
        """Waves: of the first every row is a candidate, of others those above the k-th best."""
        stored, nq, k, capacity = self.codes.stored, shape.nq, shape.k, shape.capacity
        queue(batch.arrange(cut, stored, asked, space.arranged))
        counted, start = Counted(space.counts, capacity), 0
        for stop in waves(where.n, k, capacity, shape.wave):
            here, best = where.some(start, stop), space.best if start else 0
            parts = batch.parts(cut, nq, here.n, self.device.cores)
            queue.clear(space.counts, 4 * nq)
            spread = space.spread if shape.spread else 0
            if spread:
                queue(batch.spread(stored, here, self._pieces[0], spread))
            queue(batch.batch(
                cut, stored, space.arranged, asked, here, k, parts, best, space.buffer, counted,
                spread,
            ))  # fmt: skip
            if start == 0:
                queue(topk.merge(space.buffer, nq, k, capacity, BLOCK * here.n, space.best))
            else:
                queue(topk.merge(
                    space.buffer, nq, k, capacity, capacity, space.best, before=best,
                    counted=counted,
                ))  # fmt: skip
                self._again(asked, shape, here, space, counted, queue)
            start = stop

    def _again(
        self, asked: Asked, shape: _Shape, where: Where, space: Space, counted: Counted,
        queue: "_Queue",
    ) -> None:  # fmt: skip
        """Scan a wave again for queries whose candidates found no room; others do nothing."""
        queue.clear(space.floors, KEY_BYTES * asked.nq)
        chosen = Selection(shape.k, shape.parts, space.kept, space.floors, counted)
        stem, span = self._chain[0]
        queue(scans.scan(stem, self.codes.stored, span, asked, where, chosen))
        total = shape.parts * keep(shape.k)
        queue(topk.merge(
            space.kept, asked.nq, shape.k, total, total, space.best, before=space.best,
            floors=space.floors, counted=counted, overflowed=True,
        ))  # fmt: skip


def waves(blocks: int, k: int, capacity: int, most: int) -> list[int]:
    """Where each wave over so many blocks ends; it has `most` at most.

    A wave is as long as leaves room for SPARE times the candidates that are expected in it: k for
    each time as many rows as went before.
    """
    ends = [min(blocks, capacity // BLOCK, most)]
    while ends[-1] < blocks:
        growth = capacity // (SPARE * max(k, 8))
        ends.append(min(blocks, ends[-1] * (1 + max(growth, 1)), ends[-1] + most))
    return ends


class _Queue:
    """A device and a stream of it."""

    def __init__(self, device: Device, stream: int) -> None:
        self._device, self._stream = device, stream

    def __call__(self, launch: Launch) -> None:
        self._device.launch(launch, self._stream)

    def clear(self, address: int, nbytes: int) -> None:
        """Write zeros."""
        self._device.clear(address, nbytes, self._stream)
