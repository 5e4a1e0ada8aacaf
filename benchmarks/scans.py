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
from vqindex.indexes import scan
from vqindex.kernels.cpu import simd, stages
from vqindex.kernels.cpu.compile import kernel
from vqindex.kernels.cpu.program import BLOCK
from vqindex.kernels.cpu.score import CHUNK, decode_block, raw_tile, score_tile
from vqindex.layouts.operands import GROUP, Operands

DRAWN = 4096  # rows; a larger index holds them again, turned by one entry, by two, ...
K = 10
Arrays = npt.NDArray[Any]


@kernel
def decode_blocks(program: Arrays, blocks: int, out: Arrays) -> None:
    """Decode blocks one after another into the same 32 rows."""
    for block in range(blocks):
        decode_block(
            simd.address_of(program), program.shape[0], block, simd.address_of(out), out.shape[1]
        )


@kernel
def raw_tiles(
    program: Arrays, blocks: int, levels: Arrays, packed: Arrays, group: int, seed: Arrays,
    raw: Arrays,
) -> None:  # fmt: skip
    """Raw sums of one decoded block with all queries, once for each of many blocks."""
    simd.tiles_begin()
    for _ in range(blocks):
        for first in range(0, seed.shape[1], CHUNK):
            raw_tile(
                simd.address_of(program), simd.address_of(levels), levels.shape[1],
                simd.address_of(packed) + (first // 16) * group, group,
                min(CHUNK, seed.shape[1] - first) // 16, simd.address_of(seed) + 4 * first,
                simd.address_of(raw),
            )  # fmt: skip
    simd.tiles_end()


@kernel
def score_tiles(
    program: Arrays, blocks: int, levels: Arrays, packed: Arrays, group: int, seed: Arrays,
    half: Arrays, gamma: Arrays, bias: int, raw: Arrays, tile: Arrays,
) -> None:  # fmt: skip
    """Scores of one decoded block with all queries, with the scales of each of many blocks."""
    simd.tiles_begin()
    for block in range(blocks):
        for first in range(0, seed.shape[1], CHUNK):
            score_tile(
                simd.address_of(program), program.shape[0], bias, block, simd.address_of(levels),
                levels.shape[1], simd.address_of(packed) + (first // 16) * group, group,
                min(CHUNK, seed.shape[1] - first) // 16, simd.address_of(seed) + 4 * first,
                simd.address_of(half) + 4 * first, simd.address_of(gamma) + 4 * first,
                seed.shape[1], simd.address_of(raw), simd.address_of(tile),
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
    def bound(self) -> scan.Bound:
        return scan.bound(self.rows.codes, self.rows.codec.scorer)

    @property
    def operands(self) -> Operands:
        operands: Operands = self.rows.codec.operands(self.queries)
        return operands

    @property
    def code_bytes(self) -> dict[str, int]:
        """Bytes of the sign plane and of the other columns of codes."""
        columns = self.rows.codec.quantizer.layout.columns
        return {column.name: column.row_bytes * len(self.index) for column in columns}

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
    """What is timed, the bytes of codes it reads, the products wanted of it, what it points into.

    The last argument of a kernel is where it writes.
    """

    call: partial[Any]
    bytes: int
    macs: int
    alive: Any


def decode(held: Held) -> Work:
    """Every block decoded."""
    out = np.empty((BLOCK, held.operands.row_bytes), np.uint8)
    call = partial(decode_blocks, held.bound.program, held.rows.codes.nblocks, out)
    return Work(call, sum(held.code_bytes.values()), 0, held)


def plane(held: Held) -> Work:
    """The scan of the sign plane for the first query."""
    at, scorer, operands = held.bound, held.rows.codec.scorer, held.operands
    blocks, masks = np.arange(held.rows.codes.nblocks), scan.block_masks(len(held.index), None)
    planes, half, gamma = (
        array.ctypes.data for array in (operands.bit_planes, operands.half, operands.gamma)
    )
    call = partial(
        stages.plane_bounds, at.program, 1 if scorer.plane else scorer.staged, at.bias, at.ratio,
        blocks, masks, planes, half, gamma, np.float32(0), np.empty(BLOCK, np.int32),
        np.empty((len(blocks), BLOCK), np.float32),
    )  # fmt: skip
    return Work(call, held.code_bytes["plane"], 0, (held, operands))


def raw_tiles_of(held: Held) -> Work:
    """As many raw tiles as a search has, all of the first block decoded."""
    raw = np.empty((BLOCK, CHUNK), np.int32)
    return Work(partial(raw_tiles, *_tiled(held), raw), 0, held.macs, held)


def score_tiles_of(held: Held) -> Work:
    """As many tiles of scores as a search has, all of the first block decoded."""
    operands = held.operands
    raw, tile = np.empty((BLOCK, CHUNK), np.int32), np.empty((BLOCK, CHUNK), np.float32)
    more = (operands.half, operands.gamma, held.bound.bias, raw, tile)
    return Work(partial(score_tiles, *_tiled(held), *more), 0, held.macs, held)


def _tiled(held: Held) -> tuple[Any, ...]:
    program, operands = held.bound.program, held.operands
    stride = operands.row_bytes
    levels = np.empty((BLOCK, stride), np.uint8)
    decode_blocks(program, 1, levels)
    packed = operands.packed.view(np.uint8).reshape(-1)
    return program, held.rows.codes.nblocks, levels, packed, GROUP * stride, operands.seed


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
