"""One query from what the user gave to its answers, in one call of a kernel.

A search of lists takes tens of microseconds, and a call of a kernel from Python with its records
several. So what stays the same from query to query, addresses of buffers too, is written down once:
a desk, records one after another in an array.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba.np.unsafe.ndarray import to_fixed_tuple

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.distinct import distinct, rename
from vqindex.kernels.cpu.encode import (
    dot,
    is_odd,
    normalize_row,
    row_to_bytes,
    row_to_fine_bytes,
    square_norm,
)
from vqindex.kernels.cpu.finer import finer_at
from vqindex.kernels.cpu.lean import BLUR
from vqindex.kernels.cpu.operands import quantize_one
from vqindex.kernels.cpu.probe import rescore, top_k_lists
from vqindex.kernels.cpu.program import UNBOUND
from vqindex.kernels.cpu.records import Answers, Asked, Kept, Lists, SignScratch, Stored
from vqindex.kernels.cpu.routing import fine_shares_of_one
from vqindex.kernels.cpu.rows import answer
from vqindex.kernels.cpu.search import push_blocks
from vqindex.kernels.cpu.select import clear
from vqindex.kernels.cpu.signs import top_k_signs
from vqindex.kernels.cpu.step import Gains, Step, Tables, gain, tabulate, take, weigh
from vqindex.kernels.cpu.tables import prepare_one

DOT, COSINE, SQUARE = range(3)  # metrics
_LONGEST = np.float32(2.0**120)  # square norm of a query, see codec.MOST_SQUARE


class Making(NamedTuple):
    """How a query becomes what meets the codes of one codec.

    metric     DOT, COSINE or SQUARE
    dim        of the query
    center     address of (dim,) float32
    has_center whether that is more than zeros
    measured   address of (dim,) float32, written: the query as the metric sees it
    turned     address of (dim,) float32, written: the same after the transform
    spread     address of the entries before they are rounded, (row_bytes,) or (row_bytes / 4,)
               float32: `turned` itself where there are no tables, zero beyond it
    program    address of (segments, FIELDS)
    is_rounded whether entries are rounded to integers; if not, spread is where they stay
    scratch    see hadamard.scratch_floats
    zeros      address of (dim,) float32
    """

    metric: int
    dim: int
    center: int
    has_center: int
    measured: int
    turned: int
    spread: int
    program: int
    segments: int
    is_rounded: int
    scratch: int
    zeros: int


class Routes(NamedTuple):
    """How a query meets the origins of lists.

    width      bytes of a row of `routing.shares`, whose first dim are written
    octets     address of (width,) int8; levels, two such rows
    sums       address of routing.RAW bytes
    """

    width: int
    octets: int
    levels: int
    sums: int


class Plan(NamedTuple):
    """How many lists to look into, rows kept, rows wanted, and whether there are finer codes.

    allowed   see routing.gather
    some      rows kept, k of them with their copies
    table     address of the hash table of what rows have once, see distinct.rename, and `capacity`
    """

    nprobe: int
    k: int
    best: int
    is_finer: int
    allowed: int
    some: int
    table: int
    capacity: int


# Where the records of a desk are: of lists, zeros without any, and of finer codes, likewise.
PLAN, STORED, ASKED, MAKING, STEP, TABLES, KEPT, HIGHEST, SCRATCH = range(9)
LISTS, ORIGINS, ROUTES, CHOSEN = range(9, 13)
WHOLE, FINELY, MAKING_FINELY, FINER_STEP, FINER_TABLES, BEST = range(13, 19)
FINER = 19  # a finer.Finer for the query's record, where rows are scored again as they are found
GAINS, FINER_GAINS = 20, 21
RECORDS, FIELDS = 22, 24  # of a desk, and places of a record


def desk(records: Mapping[int, Sequence[int]]) -> npt.NDArray[np.int64]:
    """Records by place, written down: (RECORDS, FIELDS) int64."""
    out = np.zeros((RECORDS, FIELDS), np.int64)
    for place, record in records.items():
        out[place, : len(record)] = record
    return out


@inlined
def _plan(row):
    return Plan(*to_fixed_tuple(row, 8))


@inlined
def _stored(row):
    return Stored(*to_fixed_tuple(row, 12))


@inlined
def _asked(row):
    return Asked(*to_fixed_tuple(row, 20))


@inlined
def _making(row):
    return Making(*to_fixed_tuple(row, 12))


@inlined
def _step(row):
    return Step(*to_fixed_tuple(row, 6))


@inlined
def _tables(row):
    return Tables(*to_fixed_tuple(row, 8))


@inlined
def _gains(row):
    return Gains(*to_fixed_tuple(row, 5))


@inlined
def _kept(row):
    return Kept(*to_fixed_tuple(row, 7))


@inlined
def _scratch(row):
    return SignScratch(*to_fixed_tuple(row, 11))


@inlined
def _lists(row):
    return Lists(*to_fixed_tuple(row, 8))


@inlined
def _routes(row):
    return Routes(*to_fixed_tuple(row, 4))


@kernel
def search_one(desk, query, blocks, masks, widths, scores, ids, stats):
    """Search for one query; whether it was, which it is not where its norm is odd or too large.

    desk            (RECORDS, FIELDS) int64
    query           (1, dim) float32
    blocks, masks   the blocks and rows to look at, as signs.top_k_signs takes them, without lists
    widths          (2,) float32: what the norm of a query is multiplied by for the slack of signs,
                    and for the reach of rows that are scored again as they are found
    scores, ids     (>= best,), written
    stats           (4,) int64, see probe.top_k_lists; rows scored by finer codes
    """
    plan, stored, asked = _plan(desk[PLAN]), _stored(desk[STORED]), _asked(desk[ASKED])
    making, kept = _making(desk[MAKING]), _kept(desk[KEPT])
    highest, scratch = _kept(desk[HIGHEST]), _scratch(desk[SCRATCH])
    row, answers = simd.address_of(query), _to(scores, ids)
    step, tables = _step(desk[STEP]), _tables(desk[TABLES])
    gains = _gains(desk[GAINS])
    if not _made(making, step, tables, gains, asked, stored.signs, row, widths[0]):
        return False
    whole, finely = _stored(desk[WHOLE]), _asked(desk[FINELY])
    if plan.is_finer:
        finer_step, finer_tables = _step(desk[FINER_STEP]), _tables(desk[FINER_TABLES])
        makes_finely, finer_gains = _making(desk[MAKING_FINELY]), _gains(desk[FINER_GAINS])
        if not _made(makes_finely, finer_step, finer_tables, finer_gains, finely, np.int64(0), row,
                     widths[0]):  # fmt: skip
            return False
    if asked.finer != UNBOUND:
        norm = simd.load_float(asked.norms)
        simd.store_float(finer_at(asked.finer).reach, norm * widths[1])
    clear(kept, asked.padded)
    lists = _lists(desk[LISTS])
    if lists.lists > 0:
        scale = _meet_lists(making, _asked(desk[ORIGINS]), _routes(desk[ROUTES]), asked.shares)
        simd.store_float(asked.blurs, scale * BLUR)
        top_k_lists(stored, lists, asked, plan.nprobe, plan.allowed, _kept(desk[CHOSEN]), plan.k,
                    kept, highest, scratch, stats)  # fmt: skip
    elif stored.signs > 0:
        stats[2] += top_k_signs(stored, blocks, masks, asked, plan.k, kept, highest, scratch)
    else:
        stats[2] += push_blocks(
            stored, blocks, masks, blocks.size, asked, np.int64(0), plan.k, kept, scratch
        )
    if plan.some < plan.k:
        distinct(kept, plan.k, plan.some, stored.ids)
        if plan.is_finer:
            rename(kept, stored.ids, plan.table, plan.capacity)
    if plan.is_finer and asked.finer == UNBOUND:
        best = _kept(desk[BEST])
        clear(best, finely.padded)
        stats[3] += rescore(whole, finely, np.int64(0), kept, plan.some, plan.best, best)
        answer(whole, finely, np.int64(0), plan.best, best, answers)
    else:
        stats[3] += answer(stored, asked, np.int64(0), plan.some, kept, answers)
    return True


@inlined
def _to(scores, ids):
    return Answers(simd.address_of(scores), simd.address_of(ids), scores.size)


@inlined
def _made(making, step, tables, gains, asked, signs, query, width):
    """Make a query ready, as Codec.operands and Operands.asked do; whether its norm allows it."""
    if not _measured(making, asked.alpha, query):
        return False
    take(step, making.measured, making.dim, making.turned, making.scratch)
    if tables.spaces > 0:
        tabulate(tables, making.turned, making.spread)
    if gains.width > 0:
        gain(gains, making.turned, making.spread)
    if making.is_rounded:
        quantize_one(making.spread, making.program, making.segments, asked.entries, asked.seed,
                     asked.half, asked.gamma, asked.padded)  # fmt: skip
    if signs > 0:
        weigh(gains, making.turned, making.dim)
        norm = np.sqrt(square_norm(making.turned, making.dim))
        simd.store_float(asked.norms, norm)
        prepare_one(asked, making.program, signs, norm * width, np.int64(0))
    return True


@inlined
def _measured(making, alpha, query):
    """Codec.asked, and what is added to every score; whether the norm allows it."""
    dim, to, center = making.dim, making.measured, making.center
    if making.metric == COSINE:
        if is_odd(normalize_row(query, making.zeros, dim, to)):
            return False
    elif square_norm(query, dim) > _LONGEST:
        return False
    elif making.metric == DOT:
        for j in range(0, 4 * dim, 4):
            simd.store_float(to + j, simd.load_float(query + j))
    else:
        for j in range(0, 4 * dim, 4):
            apart = simd.load_float(query + j) - simd.load_float(center + j)
            simd.store_float(to + j, apart * np.float32(2))
        simd.store_float(alpha, square_norm(to, dim) * np.float32(-0.25))
        return True
    if making.has_center:
        simd.store_float(alpha, dot(to, center, dim))
    return True


@inlined
def _meet_lists(making, origins, routes, shares):
    """Centroids.met of one query; the step that it is rounded by."""
    scale = row_to_bytes(making.measured, making.dim, routes.octets)
    for at in range(0, routes.width, 64):
        simd.store(routes.levels + at, simd.to_row_bytes(simd.load(routes.octets + at)))
    fine = routes.levels + routes.width
    row_to_fine_bytes(making.measured, making.dim, scale, routes.octets, fine)
    for at in range(0, routes.width, 64):
        simd.store(fine + at, simd.to_row_bytes(simd.load(fine + at)))
    fine_shares_of_one(routes.levels, fine, routes.width, scale, origins, routes.sums, shares)
    return scale / np.float32(256)
