"""Rows past 2**31: found, scored and read like any others, whichever way a search goes.

They are made without their gigabytes: slabs are found through a table, and here nearly all of its
entries lead to one and the same slab.
"""

from copy import copy

import numpy as np
import pytest

import vqindex as vq
from tests.kernels.cases import empty, finished
from vqindex.codes import Blocks
from vqindex.indexes.questions import Questions
from vqindex.indexes.scan import Scan
from vqindex.indexes.settings import Settings
from vqindex.indexes.stored import scores_of_blocks
from vqindex.kernels.cpu import records, search, signs
from vqindex.kernels.cpu import rows as rows_
from vqindex.kernels.cpu.program import BLOCK, SLAB, SLAB_ROWS

FAR = 2**31
N, D, K = SLAB_ROWS + 100, 64, 7


def moved(codes):
    """The same rows from number FAR on, all those before them copies of the first slab's."""
    before, far = FAR // SLAB_ROWS, copy(codes)
    far.n, far.bound = FAR + codes.n, {}
    first = np.repeat(codes.addresses[:, :1], before, axis=1)
    far.addresses = np.concatenate([first, codes.addresses], axis=1)
    far._slabs = [have[:1] * before + have for have in codes._slabs]
    return far


@pytest.fixture(scope="module", params=["EDEN4", "EDEN1", "TQprod4", "SQ8", "F32", "F16"])
def rows(request):
    index = vq.index_factory(request.param, metric="l2")
    rng = np.random.default_rng(0)
    index.add(rng.standard_normal((N, D)), ids=2**40 + rng.permutation(N))
    return index._rows


def both(rows):
    return (rows.codes, 0), (moved(rows.codes), FAR)


def queries(rows, nq):
    return rows.codec.operands(np.random.default_rng(1).standard_normal((nq, D), np.float32))


def multiplied(scan, asked, blocks, masks, kept):
    search.top_k_blocks(
        scan.stored, blocks, masks, asked, K, kept, records.scratch(asked.row_bytes)
    )


def signed(scan, asked, blocks, masks, kept):
    signs.top_k_signs(
        scan.stored, blocks, masks, asked, K, kept, records.highest(asked.nq, K),
        records.sign_scratch(scan.stored, asked.row_bytes, asked.nq, len(blocks)),
    )  # fmt: skip


def listed(scan, asked, blocks, masks, kept):
    first = BLOCK * int(blocks[0])
    rows_.top_k_rows(scan.stored, np.arange(first, first + N), asked, 0, K, kept)


@pytest.mark.parametrize(("way", "nq"), [(multiplied, 20), (signed, 1), (signed, 6), (listed, 1)])
def test_far_rows_are_found_as_near_ones(rows, way, nq):
    operands, found = queries(rows, nq), []
    for codes, first in both(rows):
        there = copy(rows)
        there.codes = codes
        scan = Scan(there, K, Settings())
        if way is signed and not scan.stored.signs:
            pytest.skip("no signs bound the scores of this index")
        asked = scan._asked(Questions(operands, None, None), packed=way is multiplied)
        kept = empty(nq, K, asked.padded)
        blocks = first // BLOCK + np.arange(-(-N // BLOCK))
        way(scan, asked, blocks, Blocks.of(np.ones(N, bool)).masks, kept.at)
        _, candidates, counts, _ = kept.arrays
        for row, count in zip(candidates, counts, strict=True):
            assert count >= K
            assert ((row[:count] >= first) & (row[:count] < first + N)).all()
        found.append(finished(kept, K, scan.stored.ids))
    near, far = found
    assert np.array_equal(far[0], near[0])
    assert np.array_equal(far[1], near[1])
    assert (near[1] >= 2**40).all()


def test_far_blocks_have_the_scores_of_near_ones(rows):
    operands, last = queries(rows, 5), SLAB + 2
    near, far = (
        scores_of_blocks(codes, rows.codec, operands, first // BLOCK, first // BLOCK + last)
        for codes, first in both(rows)
    )
    assert near.shape == (last * BLOCK, 5)
    assert np.array_equal(far, near)


def test_far_rows_are_read(rows):
    chosen = np.array([0, 5, SLAB_ROWS - 1, SLAB_ROWS, N - 1])
    near, far = (codes.take(chosen + first) for codes, first in both(rows))
    assert near.keys() == far.keys()
    assert all(np.array_equal(far[name], near[name]) for name in near)
