"""What a GPU holds of an index: codes, factors and ids, as cuda/README.md lays them out."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from vqindex import threads as pool
from vqindex.codec import Codec
from vqindex.codes import Codes
from vqindex.errors import BackendError
from vqindex.indexes.rows import Rows
from vqindex.kernels.cpu import program, score, simd
from vqindex.kernels.cpu.program import BLOCK, SLAB, bind
from vqindex.kernels.gpu.driver import Device, Memory
from vqindex.kernels.gpu.records import SEGMENT, STORED
from vqindex.layouts import device as layouts
from vqindex.layouts.base import Array, Column
from vqindex.memory import address, aligned_zeros

ALIGN = 256
_SEED = 0  # of the order in which a batch goes through blocks
_STREAM = {"window": program.WINDOW, "stride": program.STRIDE, "count": program.CODES,
           "group": program.GROUP}  # fmt: skip


class Plan(NamedTuple):
    """What a GPU is to hold, before any of it is taken.

    segments   of the codec's program
    factors    columns of scales, ratios and the bias
    blocks     of 32 rows
    ids        of the rows there are
    ordered    whether rows lie in the order of their ids, and there are no gaps between them
    listed     whether rows are in lists
    finer      whether these are codes by which the best rows are scored again
    columns    those of the codec, by number
    """

    segments: tuple[layouts.DeviceSegment, ...]
    factors: tuple[int, ...]
    blocks: int
    ids: int
    ordered: bool
    listed: bool
    finer: bool
    columns: tuple[Column, ...]

    @property
    def sizes(self) -> list[int]:
        """Bytes: segments, factors, ids, ranks, slots, order, owners, masks, records, codebooks."""
        rows = BLOCK * self.blocks
        return [
            *(segment.block_bytes * self.blocks for segment in self.segments),
            *(rows * self.columns[column].row_bytes for column in self.factors),
            8 * self.ids,
            0 if self.ordered else 4 * rows,
            4 * self.ids if self.finer and not self.ordered else 0,
            8 * self.blocks,
            4 * self.blocks if self.listed else 0,
            4 * self.blocks if self.listed else 0,
            SEGMENT.itemsize * len(self.segments)
            + STORED.itemsize
            + sum(len(segment.codebook) for segment in self.segments),
        ]


def plan(rows: Rows, codec: Codec, first: int) -> Plan:
    """How rows are to lie by codes whose columns begin at `first`."""
    scorer = codec.scorer
    fields = scorer.fields
    scales = {int(f[program.SCALE]) for f in fields} | {int(f[program.RATIO]) - 1 for f in fields}
    ids = rows.id_column
    return Plan(
        layouts.segments(fields),
        tuple(sorted((scales | {scorer.bias}) - {program.NONE})),
        rows.codes.nblocks,
        len(ids),
        rows.lists is None and bool((ids[1:] > ids[:-1]).all()),
        rows.lists is not None,
        first > 0,
        tuple(rows.codes.columns[first:]),
    )


def padded(sizes: Sequence[int]) -> list[int]:
    """Where parts of so many bytes begin, and where the last one ends."""
    return [0, *np.cumsum([-(-size // ALIGN) * ALIGN for size in sizes]).tolist()]


@final
class DeviceCodes:
    """Rows on a GPU, in one piece of memory that is freed with this.

    stored    address of the record that kernels take
    ids       address of the ids, by rank; slots, of the row of each rank, or 0: of finer codes
    order     address of all blocks' numbers, shuffled, and `shuffle`, the same here
    masks     address of the rows that blocks have in that order, where they are in lists, or 0
    """

    def __init__(
        self, device: Device, rows: Rows, codec: Codec, threads: int, first: int = 0
    ) -> None:
        self.device, self.plan = device, plan(rows, codec, first)
        starts = padded(self.plan.sizes)
        check_room(device, starts[-1], f"an index of {self.plan.ids:,} rows")
        self.memory: Memory = device.allocate(starts[-1])
        at = [self.memory.address + start for start in starts]
        count = len(self.plan.segments)
        factors = dict(zip(self.plan.factors, at[count:], strict=False))
        rest = iter(at[count + len(factors) :])
        self._put_segments(rows, at, threads)
        for column, where in factors.items():
            self._put_slabs(where, rows.codes.chunks(self.plan.columns[column].name))
        self.ids, ranks, self.slots = next(rest), next(rest), next(rest)
        ids = rows.id_column
        by_rank = np.argsort(ids)
        self._put(self.ids, ids[by_rank])
        if not self.plan.ordered:
            whole = np.zeros(BLOCK * self.plan.blocks, np.uint32)
            whole[rows.slots[by_rank]] = np.arange(len(ids), dtype=np.uint32)
            self._put(ranks, whole)
        if self.plan.finer and not self.plan.ordered:
            self._put(self.slots, rows.slots[by_rank].astype(np.uint32))
        else:
            self.slots = 0
        self.order = next(rest)
        rng = np.random.Generator(np.random.PCG64(_SEED))
        self.shuffle = rng.permutation(self.plan.blocks)
        self._put(self.order, self.shuffle)
        owners, masks, records = next(rest), next(rest), next(rest)
        self.masks = 0
        if rows.lists is not None:
            self.masks = masks
            self._put(owners, rows.lists.owners)
            self._put(masks, rows.lists.masks[self.shuffle])
        residual = rows.lists is not None and codec.residual
        self._put_records(records, at, factors, codec.scorer.bias, {
            "ranks": 0 if self.plan.ordered else ranks,
            "owners": owners if residual else 0,
            "rows": rows.codes.n,
        })  # fmt: skip
        self.stored = records + SEGMENT.itemsize * count

    def _put(self, where: int, array: Array) -> None:
        """Write an array, and wait: it may be gone afterwards."""
        self.device.upload(where, np.ascontiguousarray(array), self.device.stream)
        self.device.synchronize(self.device.stream)

    def _put_slabs(self, where: int, slabs: Iterator[Array]) -> None:
        for slab in slabs:
            self._put(where, slab)
            where += slab.nbytes

    def _put_segments(self, rows: Rows, at: list[int], threads: int) -> None:
        """Pack each slab of codes, and write it where it belongs."""
        codes = rows.codes
        names = {c for segment in self.plan.segments for c in segment.columns}
        slabs = {c: list(codes.chunks(self.plan.columns[c].name)) for c in names}
        decoded = [segment.fields for segment in self.plan.segments if segment.is_decoded]
        decode = _decoder(codes, np.array(decoded)) if decoded else None

        def put(first: int) -> None:
            count = min(SLAB, self.plan.blocks - first)
            levels = None if decode is None else decode(first, count)
            for segment, where in zip(self.plan.segments, at, strict=False):
                if segment.kind == layouts.EMPTY:
                    continue
                own = [slabs[column][first // SLAB] for column in segment.columns]
                whole = segment.pack(*own) if levels is None or own else segment.pack(levels)
                self._put(where + first * segment.block_bytes, whole)

        pool.run([partial(put, first) for first in range(0, self.plan.blocks, SLAB)], threads)

    def _put_records(
        self, where: int, at: list[int], factors: dict[int, int], bias: int, rest: dict[str, int]
    ) -> None:
        segments = np.zeros(len(self.plan.segments), SEGMENT)
        book, books = where + segments.nbytes + STORED.itemsize, b""
        for record, segment, codes in zip(segments, self.plan.segments, at, strict=False):
            fields = segment.fields
            record["codes"] = codes
            record["scale"] = factors.get(int(fields[program.SCALE]), 0)
            record["ratio"] = factors.get(int(fields[program.RATIO]) - 1, 0)
            record["kind"], record["chunks"] = segment.kind, segment.chunks
            record["entries"], record["dims"] = fields[program.OPERAND], segment.dims
            record["table"] = np.frombuffer(segment.table, np.uint8)
            if segment.kind == layouts.CODEWORDS:
                record["codebook"] = book + len(books)
                books += segment.codebook
                for name, field in _STREAM.items():
                    record[name] = fields[field]
            elif segment.kind == layouts.SPARSE:
                record["count"] = fields[program.CODES]
                record["stride"] = fields[program.REST_BYTES] // fields[program.CODES]
        stored = np.zeros((), STORED)
        stored["segments"], stored["count"] = where, len(segments)
        stored["bias"] = factors.get(bias, 0)
        for name, value in rest.items():
            stored[name] = value
        whole = segments.tobytes() + stored.tobytes() + books
        self._put(where, np.frombuffer(whole, np.uint8))


def check_room(device: Device, nbytes: int, what: str) -> None:
    """BackendError unless a device has so much memory free."""
    free = device.free_bytes()
    if nbytes > free:
        raise BackendError(
            f"{what} needs {nbytes / 1e6:,.1f} MB of memory on cuda:{device.number} "
            f"({device.name}), where {free / 1e6:,.1f} MB are free: use codes of fewer bits, "
            "another device, or several indexes of fewer rows."
        )


def _decoder(codes: Codes, fields: layouts.Fields) -> Any:
    """A function that gives the levels of some blocks, (blocks, 32, bytes) int8, for segments."""
    bound = bind(fields, codes.addresses)
    size = int((fields[:, program.OPERAND] + 64 * fields[:, program.WORDS]).max())
    stride = -(-size // 64) * 64

    def decode(first: int, count: int) -> npt.NDArray[np.int8]:
        out = aligned_zeros((count, BLOCK, stride), np.uint8)
        for i in range(count):
            score.decode_block(
                address(bound), len(bound), first + i, address(out) + i * BLOCK * stride, stride
            )
        return (out - np.uint8(simd.ROW_BIAS)).view(np.int8)

    return decode
