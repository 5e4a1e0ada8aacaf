"""Rows scored again by finer codes while they are found, as far as bounds leave them.

Codes that err like a normal variable of known spread bound the true score from above, as signs do.
A row then counts by the smallest of its finer score, of its score and `eps0` spreads, and of the
bound from its signs. So finer codes are read of rows whose bounds reach the k-th best alone, and
the answers do not depend on the order of visit.
"""

import numpy as np

from vqindex.kernels.cpu import simd
from vqindex.kernels.cpu.bounds import row_bound
from vqindex.kernels.cpu.compile import inlined, kernel
from vqindex.kernels.cpu.fields import field, float_at, half_at, owner_of, segment_at
from vqindex.kernels.cpu.lean import reach_of_list
from vqindex.kernels.cpu.program import SCALE, UNBOUND
from vqindex.kernels.cpu.records import Finer
from vqindex.kernels.cpu.score import score_row
from vqindex.kernels.cpu.select import push, threshold_of


@kernel
def write_down(record, norms, width, at):
    """Write a Finer at an address, and norms (nq,) float32 times a width at its reach."""
    for i in range(len(record)):
        simd.store_int64(at + 8 * i, np.int64(record[i]))
    for query in range(norms.size):
        simd.store_float(record.reach + 4 * query, norms[query] * width)


@inlined
def finer_at(at):
    """What is written at an address."""
    load = simd.load_int64
    return Finer(
        load(at), load(at + 8), load(at + 16), load(at + 24), load(at + 32), load(at + 40),
        load(at + 48), load(at + 56), load(at + 64), load(at + 72), load(at + 80),
    )  # fmt: skip


@inlined
def spread_of(stored, row):
    """A row's scale, which its score errs in proportion to."""
    scale = float_at(field(segment_at(stored.program, 0), SCALE), row)
    if stored.ratio != UNBOUND:
        scale *= half_at(stored.ratio, row)
    return scale


@inlined
def reach_of(stored, asked, finer, query, block):
    """What the spread of a block's rows is multiplied by."""
    if stored.sizes != UNBOUND:
        return reach_of_list(stored, asked, query, owner_of(stored, block))
    return simd.load_float(finer.reach + 4 * query)


@inlined
def finer_score(finer, row, query):
    """The score of a row by its finer codes, without alpha."""
    return score_row(
        finer.program, finer.segments, finer.bias, row, finer.entries + query * finer.row_bytes,
        finer.seed + 4 * query, finer.half + 4 * query, finer.gamma + 4 * query, 4 * finer.padded,
    )  # fmt: skip


@inlined
def lift_of(finer, asked, query):
    """What makes a score by the first codes of one by the finer ones."""
    return simd.load_float(finer.alpha + 4 * query) - simd.load_float(asked.alpha + 4 * query)


@kernel
def offer(stored, row, score, asked, query, k, kept):
    """Keep a row whose score, raised to a bound where there are finer codes, may be good enough."""
    if stored.signs > 0:
        score = min(score, row_bound(stored, row, asked, query))
    if score >= threshold_of(kept, query):
        if asked.finer != UNBOUND:
            score = again(finer_at(asked.finer), row, score, asked, query, kept, query)
        if score >= threshold_of(kept, query):
            push(kept, query, score, row, k, stored.ids)


@inlined
def again(finer, row, limit, asked, query, kept, slot):
    """The smaller of a row's bound and its score by finer codes, which is counted as read."""
    reads = kept.reads + 8 * slot
    simd.store_int64(reads, simd.load_int64(reads) + np.int64(1))
    return min(limit, finer_score(finer, row, query) + lift_of(finer, asked, query))
