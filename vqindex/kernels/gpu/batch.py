"""Many queries at once: codes are decoded once for a tile of them, and multiplied by tensor cores.

Blocks are gone through in waves, at first few; each wave keeps what is better than the k-th best of
those before it.
"""

from typing import NamedTuple

import numpy as np

from vqindex.kernels.gpu.launch import Launch, blocks, pointer
from vqindex.kernels.gpu.records import Asked, Counted, Where, keep

THREADS = 256
UNIT_BYTES = 64  # of a query
TILES = (8, 32, 64, 96)  # queries that a tile may have; the last only of one segment
OWN_BYTES = 1024  # of shared memory that the kernel declares, at most
START = 1  # eight blocks of codes, which take as long as a block of threads to begin
ROUNDS = 16  # blocks of threads, one after another, that share a tile's work, at most
DECODING = 32  # queries that take as long as decoding does
UNITS = {0: 0, 1: 8, 2: 4, 4: 2, 5: 2, 8: 1}  # of four pieces, by kind
BYTES, CODEWORDS = 8, 9


def units(kinds: list[int], pieces: list[int]) -> int:
    """Units of a program's segments."""
    each = zip(kinds, pieces, strict=True)
    return sum(UNITS[kind] * -(-count // 4) for kind, count in each)


class Shape(NamedTuple):
    """How queries are cut.

    queries   of a tile
    kind      of the only segment, or 0
    units     of the program; room, for how many there is in shared memory at a time
    """

    queries: int
    kind: int
    units: int
    room: int

    @property
    def shared(self) -> int:
        """Bytes of shared memory."""
        return self.queries * UNIT_BYTES * self.room

    @property
    def macros(self) -> tuple[tuple[str, int], ...]:
        """What the kernels are compiled with."""
        return ("VQ_QUERIES", self.queries), ("VQ_KIND", self.kind)

    @property
    def resident(self) -> int:
        """Blocks of threads that a multiprocessor has at a time."""
        return 1 if self.queries * (1 if self.kind else 2) >= 32 else 2

    def tiles(self, nq: int) -> int:
        """How many tiles hold nq queries."""
        return -(-nq // self.queries)

    def arranged_bytes(self, nq: int) -> int:
        """Bytes of the queries as tiles have them."""
        return self.tiles(nq) * self.units * self.queries * UNIT_BYTES


def shape(nq: int, kinds: list[int], pieces: list[int], shared_bytes: int) -> Shape:
    """The cheapest shape for nq queries of a program, on a device of so much shared memory.

    The largest tiles are for programs that find room at once. CODEWORDS are met as BYTES.
    """
    kinds = [BYTES if kind == CODEWORDS else kind for kind in kinds]
    whole, shared_bytes = units(kinds, pieces), shared_bytes - OWN_BYTES
    room = max(8, -(-whole // 8) * 8)
    one = kinds[0] if len(kinds) == 1 else 0
    fits = one and TILES[-1] * UNIT_BYTES * room <= shared_bytes
    sizes = TILES if fits else TILES[:-1]
    queries = min(sizes, key=lambda size: (-(-nq // size) * (size + DECODING), -size))
    most = shared_bytes // (queries * UNIT_BYTES) // 8 * 8
    return Shape(queries, one, whole, min(room, most))


def parts(cut: Shape, nq: int, blocks: int, cores: int) -> int:
    """Blocks of a grid for each tile, so that the last to run are about as many as run at once."""
    slots, tiles, turns = cut.resident * cores, cut.tiles(max(nq, 1)), -(-blocks // 8)
    full = {max(1, min(turns, i * slots // tiles)) for i in range(1, ROUNDS + 1)}

    def time(parts: int) -> int:
        return -(-parts * tiles // slots) * (-(-turns // parts) + START)

    return min(sorted(full), key=time)


def arrange(cut: Shape, stored: int, asked: Asked, out: int) -> Launch:
    """Queries as `batch` takes them, (tiles, units, queries, 16) words at `out`."""
    return Launch(
        "batch", cut.macros, "vq_arrange", (cut.tiles(asked.nq), cut.units, 1), THREADS, 0,
        (
            pointer(stored), pointer(asked.entries), np.int64(asked.row_bytes),
            np.int32(asked.nq), pointer(out),
        ),
    )  # fmt: skip


def spread(stored: int, where: Where, pieces: int, out: int) -> Launch:
    """Decode CODEWORDS of some blocks for `batch`: (blocks, pieces, 32) x 16 bytes at `out`."""
    grid = blocks(where.n, THREADS // 32), pieces // 4, 1
    return Launch(
        "spread", (), "vq_spread", grid, THREADS, 0,
        (pointer(stored), pointer(where.blocks, 8), np.int64(where.n), pointer(out)),
    )  # fmt: skip


def batch(
    cut: Shape, stored: int, arranged: int, asked: Asked, where: Where, k: int, parts: int,
    best: int, buffer: int, counted: Counted, spread: int = 0,
) -> Launch:  # fmt: skip
    """One wave: candidates of each query among some blocks, into its buffer.

    best      (nq, keep(k)) keys so far, or 0: every row of the blocks is a candidate then
    buffer    (nq, capacity) keys; `counted`, written: how many there would be
    spread    codes of these blocks as `spread` left them, or 0
    """
    return Launch(
        "batch", cut.macros, "vq_batch",
        (cut.tiles(asked.nq), parts if where.n else 0, 1), THREADS, cut.shared,
        (
            pointer(stored), pointer(arranged),
            pointer(asked.half, 4), pointer(asked.gamma, 4), np.int32(asked.padded),
            np.int32(asked.nq), pointer(asked.shares, 4), np.int32(asked.lists),
            pointer(where.blocks, 8), pointer(where.masks, 4), np.int64(where.n),
            pointer(best, 8), np.int32(keep(k)), np.int32(k), pointer(buffer, 8),
            np.uint32(counted.capacity), pointer(counted.counts, 4), np.int32(best == 0),
            np.int32(cut.room), pointer(spread),
        ),
    )  # fmt: skip
