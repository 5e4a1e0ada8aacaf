"""Records: buffers with room for all that kernels write."""

import ctypes
from itertools import pairwise

import numpy as np
import pytest

from tests.kernels.cases import F32, Case
from vqindex.kernels.cpu import records, select
from vqindex.kernels.cpu.lookups import INDEX_BYTES, INDEXED, TOGETHER
from vqindex.kernels.cpu.program import BLOCK
from vqindex.kernels.cpu.score import CHUNK


def read(where, count, dtype):
    return np.frombuffer(ctypes.string_at(where, count * np.dtype(dtype).itemsize), dtype)


def apart(pieces):
    """Whether (address, bytes) do not overlap."""
    ends = sorted((start, start + size) for start, size in pieces)
    return all(end <= start for (_, end), (start, _) in pairwise(ends))


@pytest.mark.parametrize("k", [1, 10, 1000])
@pytest.mark.parametrize(("nq", "padded"), [(1, 16), (16, 16), (17, 32)])
def test_kept_begins_empty(nq, padded, k):
    held = records.kept(nq, padded, k)
    kept = held.at
    assert kept.nq == nq
    assert kept.capacity > k
    places = nq * kept.capacity
    assert apart([
        (kept.scores, 4 * places), (kept.rows, 8 * places), (kept.counts, 8 * nq),
        (kept.thresholds, 4 * padded),
    ])  # fmt: skip
    assert not read(kept.counts, nq, np.int64).any()
    thresholds = read(kept.thresholds, padded, F32)
    assert (thresholds[:nq] == -np.inf).all()
    assert np.isnan(thresholds[nq:]).all()


def test_kept_is_full_of_its_own_memory():
    """As many candidates as have room, of the first query and the last, disturb nothing else."""
    case, held = Case("scalar", 40), records.kept(3, 16, 4)
    for query in (0, 2):
        for row in range(held.at.capacity):
            select.push(held.at, query, F32(row), row, 4, case.stored.ids)
    scores, ids = case.finish(held, 4)
    best = np.arange(held.at.capacity)[:-5:-1]
    assert (scores[[0, 2]] == best).all()
    assert (ids[[0, 2]] == case.ids[best]).all()
    assert (ids[1] == -1).all()


@pytest.mark.parametrize("nq", [2, 10, 16])
def test_the_highest_are_more_than_k(nq):
    kept = records.highest(nq, 10)
    assert kept.capacity > 10 + records.HIGHEST
    places = nq * kept.capacity
    assert apart([
        (kept.scores, 4 * places), (kept.rows, 8 * places), (kept.counts, 8 * nq),
        (kept.thresholds, 4 * nq),
    ])  # fmt: skip


def test_scratch():
    scratch = records.scratch(192)
    pieces = zip(scratch, (BLOCK * 192, 4 * BLOCK * CHUNK, 4 * BLOCK * CHUNK), strict=True)
    assert apart(pieces)
    assert all(piece % 64 == 0 for piece in scratch)


@pytest.mark.parametrize("name", ["scalar", "several segments", "a sketch"])
def test_sign_scratch(name):
    stored = Case(name, 40).stored
    for words in (stored.words, 1, 40, 1000):
        scratch = records.sign_scratch(stored._replace(words=words), 192, 16, 7)
        assert scratch.slab == 7
        assert scratch.span == records.RUN or INDEXED
        assert 1 <= scratch.span <= records.RUN
        assert scratch.index_bytes == (INDEX_BYTES * words if INDEXED else 0)
        assert apart([
            (scratch.indexes, max(scratch.span * scratch.index_bytes, INDEX_BYTES)),
            (scratch.factors, 4 * BLOCK * scratch.span * (stored.signs + 1)),
            (scratch.bounds, 2 * BLOCK * 16 * 7), (scratch.lines, 4 * BLOCK * records.RUN),
            (scratch.sums, 4 * BLOCK * TOGETHER), (scratch.levels, 192 * BLOCK),
            (scratch.raw, 4 * BLOCK), (scratch.tile, 4 * BLOCK),
        ])  # fmt: skip
