"""What this machine's caches and arithmetic allow: bandwidth, byte products, look-ups, counts.

Small kernels of the library's own vocabulary. Each folds 64-byte vectors into a few independent
sums, enough that none waits for another, and what it writes depends on every vector it reads.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import table
from benchmarks.stopwatch import Rate
from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import kernel
from vqindex.kernels.cpu.level import LEVEL
from vqindex.memory import aligned_zeros

Bytes = npt.NDArray[np.uint8]
CALL = 1 << 27  # bytes or, for products, multiply-adds of one timed call, about
CACHED = 12_288  # bytes at hand in the first-level cache; a multiple of 256 and of 192
DIMS = 256  # of the rows and queries of a tile
# What multiplies bytes at each level: one vector, and a tile.
INSTRUCTIONS = {
    "generic": ("plain vectors", "plain vectors"),
    "avx2": ("vpmaddubsw", "vpmaddubsw"),
    "avx512": ("vpdpbusd", "vpdpbusd"),
    "amx": ("vpdpbusd", "tdpbusd"),
}
COLUMNS = (
    ("ceiling", "kernel"),
    ("of", "of"),
    ("unit", "unit"),
    ("median", "median"),
    ("best", "best"),
    ("spread", "spread"),
)


@kernel
def stream(memory: Bytes, passes: int, out: Bytes) -> None:
    """The exclusive or of all vectors, `passes` times over; a multiple of 512 bytes."""
    start = simd.address_of(memory)
    a = b = c = d = e = f = g = h = simd.splat(np.int32(0))
    for _ in range(passes):
        for at in range(start, start + memory.size, 512):
            a = simd.xor(a, simd.load(at))
            b = simd.xor(b, simd.load(at + 64))
            c = simd.xor(c, simd.load(at + 128))
            d = simd.xor(d, simd.load(at + 192))
            e = simd.xor(e, simd.load(at + 256))
            f = simd.xor(f, simd.load(at + 320))
            g = simd.xor(g, simd.load(at + 384))
            h = simd.xor(h, simd.load(at + 448))
    a, b = simd.xor(simd.xor(a, b), simd.xor(c, d)), simd.xor(simd.xor(e, f), simd.xor(g, h))
    simd.store(simd.address_of(out), simd.xor(a, b))


@kernel
def dots(rows: Bytes, queries: Bytes, passes: int, out: Bytes) -> None:
    """Lane j: products of bytes 4j..4j+3 of every row vector with each of four query vectors.

    Twelve sums. Rows, a multiple of 192 bytes, are read anew each time; queries stay in registers.
    """
    start, asked = simd.address_of(rows), simd.address_of(queries)
    w, x = simd.load(asked), simd.load(asked + 64)
    y, z = simd.load(asked + 128), simd.load(asked + 192)
    a = b = c = d = e = f = g = h = i = j = k = m = simd.splat(np.int32(0))
    for _ in range(passes):
        for at in range(start, start + rows.size, 192):
            r, s, t = simd.load(at), simd.load(at + 64), simd.load(at + 128)
            a, b, c = simd.dot4(a, r, w), simd.dot4(b, s, w), simd.dot4(c, t, w)
            d, e, f = simd.dot4(d, r, x), simd.dot4(e, s, x), simd.dot4(f, t, x)
            g, h, i = simd.dot4(g, r, y), simd.dot4(h, s, y), simd.dot4(i, t, y)
            j, k, m = simd.dot4(j, r, z), simd.dot4(k, s, z), simd.dot4(m, t, z)
    a, d = simd.add(simd.add(a, b), c), simd.add(simd.add(d, e), f)
    g, j = simd.add(simd.add(g, h), i), simd.add(simd.add(j, k), m)
    simd.store(simd.address_of(out), simd.add(simd.add(a, d), simd.add(g, j)))


@kernel
def tiles(rows: Bytes, queries: Bytes, seed: Bytes, passes: int, out: Bytes) -> None:
    """simd.dot_tile of TILE_ROWS rows with 16 * TILE_QUERIES queries, `passes` times the same."""
    stride = rows.size // simd.TILE_ROWS
    simd.tiles_begin()
    for _ in range(passes):
        simd.dot_tile(
            simd.address_of(rows), stride, simd.address_of(queries), 16 * stride, stride // 4,
            simd.address_of(seed), simd.address_of(out), 64 * simd.TILE_QUERIES,
        )  # fmt: skip
    simd.tiles_end()


@kernel
def lookups16(memory: Bytes, entries: Bytes, passes: int, out: Bytes) -> None:
    """The exclusive or of the entries that all vectors name; a multiple of 256 bytes."""
    start, table = simd.address_of(memory), simd.load(simd.address_of(entries))
    a = b = c = d = simd.splat(np.int32(0))
    for _ in range(passes):
        for at in range(start, start + memory.size, 256):
            a = simd.xor(a, simd.lookup16(table, simd.load(at)))
            b = simd.xor(b, simd.lookup16(table, simd.load(at + 64)))
            c = simd.xor(c, simd.lookup16(table, simd.load(at + 128)))
            d = simd.xor(d, simd.lookup16(table, simd.load(at + 192)))
    simd.store(simd.address_of(out), simd.xor(simd.xor(a, b), simd.xor(c, d)))


@kernel
def lookups128(memory: Bytes, entries: Bytes, passes: int, out: Bytes) -> None:
    """The exclusive or of the entries that all vectors name; a multiple of 256 bytes."""
    start, table = simd.address_of(memory), simd.address_of(entries)
    a = b = c = d = simd.splat(np.int32(0))
    for _ in range(passes):
        for at in range(start, start + memory.size, 256):
            a = simd.xor(a, simd.lookup128(table, simd.load(at)))
            b = simd.xor(b, simd.lookup128(table, simd.load(at + 64)))
            c = simd.xor(c, simd.lookup128(table, simd.load(at + 128)))
            d = simd.xor(d, simd.lookup128(table, simd.load(at + 192)))
    simd.store(simd.address_of(out), simd.xor(simd.xor(a, b), simd.xor(c, d)))


def aligned(size: int) -> Bytes:
    """Bytes at a multiple of 64, each 1: pages that were never written lie in one place."""
    array: Bytes = aligned_zeros((size,), np.uint8)
    array[:] = 1
    return array


@dataclass(frozen=True)
class Ceiling:
    """What is measured, the amount of it that a call does, and the call."""

    what: dict[str, Any]
    amount: int
    call: partial[None]

    def figures(self, rate: Rate) -> dict[str, Any]:
        """Median and best, in billions a second, and the spread."""
        median, best = (self.amount * found / 1e9 for found in (rate.median, rate.best))
        return self.what | {"median": median, "best": best, "spread": rate.spread}


def every(sets: Iterable[tuple[str, int]]) -> list[Ceiling]:
    """All ceilings; sets are names of caches and sizes of working sets that they hold."""
    return [*(_stream(name, size) for name, size in sets), *_products(), *_vectors()]


def _stream(cache: str, size: int) -> Ceiling:
    passes = max(1, CALL // size)
    what = {"kernel": "stream", "of": f"{cache}, {size:,} bytes", "unit": "GB/s", "bytes": size}
    return Ceiling(what, passes * size, partial(stream, aligned(size), passes, aligned(64)))


def _products() -> Iterator[Ceiling]:
    one, tile = INSTRUCTIONS[LEVEL]
    macs = 4 * CACHED
    passes = CALL // macs
    call = partial(dots, aligned(CACHED), aligned(256), passes, aligned(64))
    yield Ceiling({"kernel": "dot4", "of": one, "unit": "GMAC/s"}, passes * macs, call)
    rows, width = simd.TILE_ROWS, 16 * simd.TILE_QUERIES
    macs = rows * width * DIMS
    passes = CALL // macs
    operands = (aligned(rows * DIMS), aligned(width * DIMS), aligned(4 * width))
    call = partial(tiles, *operands, passes, aligned(4 * rows * width))
    yield Ceiling({"kernel": "dot_tile", "of": tile, "unit": "GMAC/s"}, passes * macs, call)


def _vectors() -> Iterator[Ceiling]:
    memory, entries, passes = aligned(CACHED), aligned(128), CALL // CACHED
    for name, call in (
        ("lookup16", partial(lookups16, memory, entries, passes, aligned(64))),
        ("lookup128", partial(lookups128, memory, entries, passes, aligned(64))),
    ):
        what = {"kernel": name, "of": "vectors of 64 bytes", "unit": "G/s"}
        yield Ceiling(what, passes * (CACHED // 64), call)


def dot_ceiling(rows: Iterable[Mapping[str, Any]]) -> float:
    """The most GMAC/s of the ceilings."""
    return max(float(row["best"]) for row in rows if row["unit"] == "GMAC/s")


def stream_ceiling(rows: Iterable[Mapping[str, Any]], size: int) -> float:
    """The GB/s of the smallest working set that is no smaller than `size`, or of the largest."""
    streams = [row for row in rows if row["kernel"] == "stream"]
    fitting = [row for row in streams if row["bytes"] >= size]
    closest = min if fitting else max
    return float(closest(fitting or streams, key=lambda row: row["bytes"])["best"])


def report(rows: Iterable[Mapping[str, Any]]) -> str:
    """The ceilings as a table."""
    return table.render(COLUMNS, rows)
