"""Bounds of runs of blocks, of queries together and of rows: the same bits, by their formula."""

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.kernels.cases import F32, SLACKS, Case
from tests.kernels.programs import SIGNED, one, scalar_layout
from vqindex.kernels.cpu import bounds, lookups, records
from vqindex.kernels.cpu.lookups import TOGETHER
from vqindex.kernels.cpu.program import BLOCK, SLAB
from vqindex.layouts.sign import SignCodes

COUNTS = [1, 32, 33, 100]


@numba.njit
def run_bounds(stored, block, count, asked, query, spare, out):
    bounds.run_bounds(stored, block, count, asked, query, spare, out)


@numba.njit
def group_bounds(stored, block, asked, query, some, scratch, out):
    bounds.store_factors(stored, block, np.uint32(0xFFFFFFFF), scratch.factors)
    bounds.store_indexes(stored, block, scratch.indexes)
    bounds.group_bounds(
        stored, block, scratch.indexes, scratch.factors, asked, query, some, scratch.sums, out
    )


@numba.njit
def row_bounds(stored, rows, asked, query, out):
    for i in range(rows.size):
        out[i] = bounds.row_bound(stored, rows[i], asked, query)


def by_run(case, asked):
    """(nq, n), but for the bias"""
    out = np.full((asked.nq, len(case.blocks) + 1, BLOCK), np.nan, F32)
    block, spare = 0, np.empty(lookups.INDEX_BYTES, np.uint8)
    while block < len(case.blocks):
        count = min(3, len(case.blocks) - block, SLAB - block % SLAB)
        for query in range(asked.nq):
            at = out[query, block:].ctypes.data
            run_bounds(case.stored, block, count, asked, query, spare.ctypes.data, at)
        assert np.isnan(out[:, block + count]).all()
        block += count
    return out.reshape(asked.nq, -1)[:, : case.n]


def together(case, asked):
    """(nq, n), but for the bias."""
    scratch = records.sign_scratch(case.stored, asked.row_bytes, asked.nq, 1)
    out = np.full((len(case.blocks), asked.nq, BLOCK), np.nan, F32)
    for block in case.blocks:
        for query in range(0, asked.nq, TOGETHER):
            some, lines = min(TOGETHER, asked.nq - query), np.full((TOGETHER, BLOCK), np.nan, F32)
            at = lines.ctypes.data
            group_bounds(case.stored, block, asked, query, some, scratch, at)
            out[block, query : query + some] = lines[:some]
            assert np.isnan(lines[some:]).all()
    return out.swapaxes(0, 1).reshape(asked.nq, -1)[:, : case.n]


def by_row(case, asked):
    """(nq, n)"""
    out = np.full((asked.nq, case.n), np.nan, F32)
    for query in range(asked.nq):
        row_bounds(case.stored, np.arange(case.n), asked, query, out[query])
    return out


WAYS = [by_run, together, by_row]


def biased(case, way, asked):
    """Bounds (nq, n) by any of the ways."""
    got = way(case, asked)
    return got if way is by_row or case.bias is None else got + case.bias


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SIGNED)
def test_bounds_equal_their_formula(name, way):
    for n in COUNTS:
        case = Case(name, n)
        for slack in SLACKS:
            for nq in (1, 4, 5, 9):
                operands = case.prepare(nq)
                got = biased(case, way, case.asked(operands, slack))
                assert got.tobytes() == case.bounds(operands, slack).T.tobytes(), (n, slack, nq)


@pytest.mark.parametrize("way", WAYS)
def test_rows_of_any_slab(way):
    case = Case("a sketch", 4300)
    operands = case.prepare(2)
    got = biased(case, way, case.asked(operands, 3.0))
    assert got.tobytes() == case.bounds(operands, 3.0).T.tobytes()


@pytest.mark.parametrize("way", WAYS)
def test_queries_of_zeros_have_the_bias_for_a_bound(way):
    case = Case("several segments", 70)
    operands = case.prepare([np.zeros((2, 139))])
    got = biased(case, way, case.asked(operands))
    assert (got >= case.bias).all()
    assert (got <= case.bias + F32(1e-37)).all()  # a denormal more
    assert (biased(case, way, case.asked(operands, 1.0)) == case.bounds(operands, 1.0).T).all()


ONE_BIT = {name: Case(SIGNED[name], 64) for name in SIGNED if name.startswith("signs")}
ONE_BIT["many signs"] = Case(one(SignCodes(3000), ratio=False), 64)
ONE_BIT["a sign"] = Case(one(scalar_layout((1, 1)), ratio=False), 64)


@given(
    name=st.sampled_from(sorted(ONE_BIT)),
    size=st.floats(-140, 60),
    spread=st.sampled_from([0, 1, 8]),
    seed=st.integers(0, 2**32 - 1),
)
@example("signs without a scale", -140.0, 0, 0)
@example("many signs", -138.0, 1, 0)
@settings(max_examples=60, deadline=None)
def test_codes_of_signs_alone_never_pass_their_bound(name, size, spread, seed):
    """Nor where steps of queries are denormal."""
    case, rng = ONE_BIT[name], np.random.default_rng(seed)
    shape = 3, case.program.terms[0][0].dims
    queries = rng.standard_normal(shape) * np.exp2(size + spread * rng.standard_normal(shape))
    operands = case.prepare([queries])
    assert (case.bounds(operands).T >= case.scores(operands).T).all()
    assert (by_row(case, case.asked(operands)) >= case.scores(operands).T).all()
