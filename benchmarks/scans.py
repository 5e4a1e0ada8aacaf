"""Each scan kernel by itself, over a whole index of Gaussian rows: what `kernels` times.

No row is near a query, as in no real data, so the first stage of a search spares the least.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from vqindex import FlatIndex, index_factory
from vqindex.indexes.stored import stored
from vqindex.kernels.cpu import lookups, records, simd
from vqindex.kernels.cpu.compile import kernel
from vqindex.kernels.cpu.fields import block_at, field
from vqindex.kernels.cpu.program import BLOCK, PLANE, PLANE_WORDS, WORDS
from vqindex.kernels.cpu.records import Asked, Scratch, Stored
from vqindex.kernels.cpu.score import CHUNK, decode_block, raw_tile, score_tile
from vqindex.memory import Workspace

DRAWN = 4096  # rows; a larger index holds them again, turned by one entry, by two, ...
K = 10
Arrays = npt.NDArray[Any]


@kernel
def decode_blocks(stored: Stored, blocks: int, row_bytes: int, out: int) -> None:
    """Decode blocks one after another into the same 32 rows."""
    for block in range(blocks):
        decode_block(stored.program, stored.segments, block, out, row_bytes)


@kernel
def plane_sums(stored: Stored, blocks: int, asked: Asked, spare: int, out: Arrays) -> None:
    """The totals of every row's signs for one query, added up."""
    total = simd.splat(np.int32(0))
    row_bytes, words = 8 * field(stored.program, PLANE_WORDS), field(stored.program, WORDS)
    for block in range(blocks):
        plane = block_at(field(stored.program, PLANE), block, row_bytes)
        low, high = lookups.plane_sums(plane, 8 * row_bytes, words, asked.tables, spare)
        total = simd.add(total, simd.add(low, high))
    out[0] = simd.sum_lanes(total)


@kernel
def raw_tiles(stored: Stored, blocks: int, asked: Asked, scratch: Scratch) -> None:
    """Raw sums of one decoded block with all queries, once for each of many blocks."""
    simd.tiles_begin()
    for _ in range(blocks):
        for first in range(0, asked.padded, CHUNK):
            raw_tile(
                stored.program, scratch.levels, asked.row_bytes,
                asked.packed + first * asked.row_bytes, 16 * asked.row_bytes,
                min(CHUNK, asked.padded - first) // 16, asked.seed + 4 * first, scratch.raw,
            )  # fmt: skip
    simd.tiles_end()


@kernel
def score_tiles(stored: Stored, blocks: int, asked: Asked, scratch: Scratch) -> None:
    """Scores of one decoded block with all queries, with the scales of each of many blocks."""
    simd.tiles_begin()
    for block in range(blocks):
        for first in range(0, asked.padded, CHUNK):
            skip = 4 * first
            score_tile(
                stored.program, stored.segments, stored.bias, block, scratch.levels,
                asked.row_bytes, asked.packed + first * asked.row_bytes, 16 * asked.row_bytes,
                min(CHUNK, asked.padded - first) // 16, asked.seed + skip, asked.half + skip,
                asked.gamma + skip, asked.padded, scratch.raw, scratch.tile,
            )  # fmt: skip
    simd.tiles_end()


@dataclass(frozen=True)
class Held:
    """A flat index of Gaussian rows, and some queries (nq, d) float32."""

    index: FlatIndex
    queries: npt.NDArray[np.float32]

    @property
    def rows(self) -> Any:
        return self.index._rows

    @property
    def stored(self) -> Stored:
        record: Stored = stored(self.rows.codes, self.rows.model.codec.scorer).at
        return record

    def asked(self) -> tuple[Asked, Scratch, Any]:
        """The queries, working memory, and what holds them."""
        operands, space = self.rows.codec.operands(self.queries), Workspace()
        slack = np.zeros(operands.nq, np.float32)
        asked = operands.asked(self.stored.signs, slack, True, space)
        return asked, records.scratch(asked.row_bytes, space), (self, operands, space)

    @property
    def code_bytes(self) -> dict[str, int]:
        """Bytes of the sign plane and of the other columns of codes."""
        columns = self.rows.codec.quantizer.layout.columns
        return {column.name: column.row_bytes * len(self.index) for column in columns}

    @property
    def blocks(self) -> int:
        """Blocks of rows."""
        blocks: int = self.rows.codes.nblocks
        return blocks

    @property
    def macs(self) -> int:
        """Multiply-adds of every row with every query."""
        return len(self.index) * self.queries.size


def hold(spec: str, d: int, rows: int, size: int, nq: int) -> Held:
    """An index of at most `rows` rows and `size` bytes, or of DRAWN rows if that is more."""
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((nq, d), np.float32)
    drawn = rng.standard_normal((DRAWN, d), np.float32)
    index = index_factory(spec, metric="ip")
    index.add(drawn)
    n = min(rows, size // index.bytes_per_row) // BLOCK * BLOCK
    while len(index) < n:
        turned = np.roll(drawn, len(index) // DRAWN, axis=1)
        index.add(turned[: n - len(index)])
    return Held(index, queries)


@dataclass(frozen=True)
class Work:
    """What is timed, the bytes of codes it reads, the products wanted, what it points into."""

    call: partial[Any]
    bytes: int
    macs: int
    alive: Any


def decode(held: Held) -> Work:
    """Every block decoded."""
    asked, scratch, alive = held.asked()
    call = partial(decode_blocks, held.stored, held.blocks, asked.row_bytes, scratch.levels)
    return Work(call, sum(held.code_bytes.values()), 0, alive)


def plane(held: Held) -> Work:
    """The scan of the sign plane for the first query."""
    asked, scratch, alive = held.asked()
    spare = scratch.tile
    call = partial(plane_sums, held.stored, held.blocks, asked, spare, np.zeros(1, np.int64))
    return Work(call, held.code_bytes["plane"], 0, alive)


def raw_tiles_of(held: Held) -> Work:
    """As many raw tiles as a search has, all of the first block decoded."""
    return _tiled(held, raw_tiles)


def score_tiles_of(held: Held) -> Work:
    """As many tiles of scores as a search has, all of the first block decoded."""
    return _tiled(held, score_tiles)


def _tiled(held: Held, tiles: Any) -> Work:
    asked, scratch, alive = held.asked()
    decode_blocks(held.stored, 1, asked.row_bytes, scratch.levels)
    return Work(partial(tiles, held.stored, held.blocks, asked, scratch), 0, held.macs, alive)


def search(stages: str, held: Held) -> Work:
    """A whole search."""
    call = partial(held.index.search, held.queries, K, stages=stages, threads=1)
    return Work(call, sum(held.code_bytes.values()), held.macs, held)


MEASURES: dict[str, Callable[[Held], Work]] = {
    "decode": decode,
    "plane": plane,
    "raw_tile": raw_tiles_of,
    "score_tile": score_tiles_of,
    "search on": partial(search, "on"),
    "search off": partial(search, "off"),
}
