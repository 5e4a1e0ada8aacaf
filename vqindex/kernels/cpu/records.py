"""What searches are given: records of addresses, which kernels take as they are.

Numba counts references to an array whenever it is taken out of a record, in the innermost loops
too; so records hold addresses, and what makes them holds the arrays.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import select
from vqindex.kernels.cpu.lookups import INDEX_BYTES, INDEXED, TOGETHER
from vqindex.kernels.cpu.program import BLOCK
from vqindex.kernels.cpu.score import CHUNK
from vqindex.memory import Workspace, address, workspace

HIGHEST = 16  # rows of highest bound that are scored first, beyond k
RUN = 32  # blocks that queries meet at a time
INDEXED_WORDS = 48  # ... or fewer, when indexes of theirs would leave the first-level cache


class Stored(NamedTuple):
    """Rows: a program bound to their codes, and how signs bound their scores.

    program           address of (segments, FIELDS), bound
    bias, ids, ratio  slab tables of columns, UNBOUND for none
    signs, rated      segments whose signs are looked up, 0 where there are no bounds; the first
                      `rated` of them have the ratio as a factor
    words             words of the sign planes that are looked up
    owners            address of (blocks,) int32: the list of each block, UNBOUND for one list
    drift             slab table of a float16 column, UNBOUND for none; see lean
    sizes             address of (lists, 2) float32, UNBOUND where bounds are those of any list:
                      |v| and what the blur of shares is multiplied by
    widths            address of (5,) float32: of the errors of signs and of codes, each over the
                      size of what they meet; of a step of the query; of a share and of alpha in
                      <a, v>
    """

    program: int
    segments: int
    bias: int
    ids: int
    ratio: int
    signs: int
    rated: int
    words: int
    owners: int
    drift: int = 0
    sizes: int = 0
    widths: int = 0


class Asked(NamedTuple):
    """Queries, prepared; arrays are padded to a multiple of sixteen queries.

    entries            (padded, row_bytes): int8 or float32 entries
    packed             the same in groups of sixteen queries
    seed, half, gamma  (segments, padded) int32, float32, float32; see operands.quantize
    alpha              (nq,) float32, added to a query's scores at the end
    tables             (padded, table_bytes); base, unit: (signs, padded); see tables.prepare
    shares             (nq, lists) float32: what a list adds to the scores of its rows
    finer              address of a Finer written down, UNBOUND where rows are scored once
    middle, margin     (padded,) float32 each: base of the first segment without its slack, and the
                       least slack
    norms, blurs       (nq,) float32: sizes of queries, and what their shares may be off by, over
                       the size of an origin
    """

    nq: int
    padded: int
    entries: int
    row_bytes: int
    packed: int
    seed: int
    half: int
    gamma: int
    alpha: int
    tables: int
    table_bytes: int
    base: int
    unit: int
    shares: int
    lists: int
    finer: int = 0
    middle: int = 0
    margin: int = 0
    norms: int = 0
    blurs: int = 0


class Finer(NamedTuple):
    """Finer codes and the queries that meet them, written down one int64 after another.

    program .. bias    as in Stored
    entries .. padded  as in Asked, of the same queries
    alpha              (nq,) float32: what is added to a query's finer scores at the end
    reach              (nq,) float32: what a row's scale is multiplied by to raise its score
    """

    program: int
    segments: int
    bias: int
    entries: int
    row_bytes: int
    seed: int
    half: int
    gamma: int
    padded: int
    alpha: int
    reach: int


class Lists(NamedTuple):
    """Lists of rows, each a chain of blocks that are full but for the first.

    lists, blocks    how many there are
    sizes            (lists,) int64: rows of each
    heads, nexts     (lists,) and (blocks,) int64: a list's first block, and that after a block; -1
                     for none
    weights, offsets (lists padded,) float32: a query prefers lists of large
                     share * weight + offset
    numbers          slab table of the numbers of lists
    """

    lists: int
    blocks: int
    sizes: int
    heads: int
    nexts: int
    weights: int
    offsets: int
    numbers: int


class Kept(NamedTuple):
    """Candidates of each query, in no order.

    scores, rows   (nq, capacity) float32, int64
    counts         (nq,) int64
    thresholds     (padded,) float32: NaN, which nothing reaches, beyond the last query
    reads          (nq,) int64: rows scored by finer codes
    """

    nq: int
    capacity: int
    scores: int
    rows: int
    counts: int
    thresholds: int
    reads: int


class Answers(NamedTuple):
    """Where answers go: (nq, width) float32 scores and int64 ids."""

    scores: int
    ids: int
    width: int

    def after(self, queries: int) -> "Answers":
        """The answers from a later query on."""
        skip = queries * self.width
        return Answers(self.scores + 4 * skip, self.ids + 8 * skip, self.width)


class Scratch(NamedTuple):
    """Working memory of a search by multiplication.

    levels   (32, row_bytes): the decoded rows of a block
    raw      (32, CHUNK) int32; tile, the same in float32
    """

    levels: int
    raw: int
    tile: int


class SignScratch(NamedTuple):
    """Working memory of a search by signs, in which many queries meet `span` blocks at a time.

    indexes   (span, index_bytes), see lookups.index; at least INDEX_BYTES
    factors   (span, signs + 1, 32) float32, see bounds.store_factors
    bounds    (queries, slab, 64) bytes: a slab is as many blocks as are bounded at a time
    lines     (RUN, 32) float32, or (TOGETHER, 32)
    sums      (TOGETHER, 32) int32
    levels .. tile   as in Scratch, of one query: (32, row_bytes), (32,) int32 and float32
    """

    slab: int
    span: int
    index_bytes: int
    indexes: int
    factors: int
    bounds: int
    lines: int
    sums: int
    levels: int
    raw: int
    tile: int


class Held:
    """Arrays, and the record of their addresses that is good as long as this lives."""

    def __init__(self, record: Any, *arrays: npt.NDArray[Any]) -> None:
        self.at = record
        self.arrays = arrays


def kept(nq: int, padded: int, k: int) -> Held:
    """A Kept with room for some more than k candidates, none of them there yet.

    The fewer, the sooner a better one raises the threshold, at the price of a selection.
    """
    capacity = k + k // 4 + 8
    places, counts = nq * capacity, 12 * nq * capacity
    array = np.empty(counts + 16 * nq + 4 * padded, np.uint8)
    at, after = address(array), address(array) + counts
    record = Kept(nq, capacity, at + 8 * places, at, after, after + 16 * nq, after + 8 * nq)
    select.clear(record, padded)
    return Held(record, array)


def finer(stored: Stored, asked: Asked, reach: int) -> Finer:
    """The record of finer codes and their queries; reach, the address of (nq,) float32."""
    return Finer(
        stored.program, stored.segments, stored.bias, asked.entries, asked.row_bytes, asked.seed,
        asked.half, asked.gamma, asked.padded, asked.alpha, reach,
    )  # fmt: skip


def highest(nq: int, k: int, space: Workspace | None = None) -> Kept:
    """A Kept of k + HIGHEST rows a query in a workspace, by default this thread's, to be filled."""
    wanted = k + HIGHEST
    capacity = wanted + min(3 * wanted, 256 + wanted // 4)
    sizes = 4 * nq * capacity, 8 * nq * capacity, 8 * nq, 4 * nq, 8 * nq
    return Kept(nq, capacity, *(space or workspace).take("highest", *sizes))


def chosen(lists: int, space: Workspace | None = None) -> Kept:
    """A Kept of one query in a workspace, by default this thread's, for routing.choose."""
    places = 2 * lists + 16
    return Kept(1, places, *(space or workspace).take("chosen", 4 * places, 8 * places, 8, 4, 8))


def room(asked: Asked, segments: int) -> Asked:
    """Places for as many queries in this thread's workspace, packed, with a share of one list."""
    line = 4 * asked.padded * segments
    packed, seed, half, gamma, shares = workspace.take(
        "room", asked.padded * asked.row_bytes, line, line, line, 4 * asked.padded
    )
    return asked._replace(packed=packed, seed=seed, half=half, gamma=gamma, shares=shares)


def scratch(row_bytes: int, space: Workspace = workspace) -> Scratch:
    """A Scratch in a workspace, this thread's by default, for queries of so many bytes."""
    tile = 4 * BLOCK * CHUNK
    return Scratch(*space.take("scratch", BLOCK * row_bytes, tile, tile))


def sign_scratch(
    stored: Stored, row_bytes: int, queries: int, blocks: int, space: Workspace | None = None
) -> SignScratch:
    """A SignScratch in a workspace, by default this thread's, for so many queries and blocks.

    row_bytes   of a prepared query
    """
    span, index_bytes, line = RUN, 0, 4 * BLOCK
    if INDEXED:
        span = max(1, min(span, INDEXED_WORDS // max(stored.words, 1)))
        index_bytes = INDEX_BYTES * stored.words
    pieces = (space or workspace).take(
        "sign scratch", max(span * index_bytes, INDEX_BYTES), line * span * (stored.signs + 1),
        2 * BLOCK * queries * blocks, line * RUN, line * TOGETHER,
        BLOCK * row_bytes, line, line,
    )  # fmt: skip
    return SignScratch(blocks, span, index_bytes, *pieces)
