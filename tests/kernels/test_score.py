"""The score of one row, bit for bit, against the one formula in NumPy; and the same of blocks."""

import numpy as np
import pytest

from tests.kernels.cases import F32, Case, score_blocks
from tests.kernels.programs import PROGRAMS, one
from vqindex.kernels.cpu import score
from vqindex.kernels.reference import score as reference
from vqindex.layouts.scalar import ScalarCodes, Segment


def score_rows(case, operands, named):
    """Scores of rows one by one, (len(named), nq)."""
    stored, asked = case.unbounded, case.asked(operands, signs=0)
    return F32([
        [
            score.score_row(
                stored.program, stored.segments, stored.bias, row,
                asked.entries + query * asked.row_bytes, asked.seed + 4 * query,
                asked.half + 4 * query, asked.gamma + 4 * query, 4 * asked.padded,
            )
            for query in range(asked.nq)
        ]
        for row in named
    ])  # fmt: skip


@pytest.mark.parametrize("n", [1, 70])
@pytest.mark.parametrize("name", PROGRAMS)
def test_score_row_equals_the_reference(name, n):
    case = Case(name, n)
    operands = case.prepare(3)
    assert score_rows(case, operands, range(n)).tobytes() == case.scores(operands).tobytes()


def test_rows_of_any_slab():
    case = Case("several segments", 4200)
    operands, named = case.prepare(5), [4199, 0, 4095, 4096, 4096]
    got = score_rows(case, operands, named)
    assert got.tobytes() == case.scores(operands)[named].tobytes()


def sign_case(codes, magnitude, scale):
    """Rows of given signs (n, dims), of levels +-(magnitude + 1/2), and one scale."""
    layout = ScalarCodes((Segment(codes.shape[1], (magnitude,)),))
    case = Case(one(layout, bias=False, ratio=False), len(codes))
    named = np.arange(case.n)
    packed = layout.pack(codes.astype(np.uint8))
    case.codes.put(named, {"id": named, "scale0": np.full(case.n, scale, F32), **packed})
    return case


def test_a_negative_zero_is_the_same_from_a_row_and_from_a_block():
    case = sign_case(np.arange(8)[:, None] % 2, 0, 1e-45)
    operands = case.prepare([np.full((1, 1), 1e-3)])
    got = score_rows(case, operands, range(8))
    assert (got == 0).all()
    assert np.signbit(got).any()
    assert got.tobytes() == score_blocks(case, operands, case.blocks)[:8].tobytes()


def test_sums_of_many_dimensions_do_not_overflow():
    """With ROW_BIAS in them they pass 2**31 on the way; without it they do not."""
    dims = 70_000
    case = sign_case(np.repeat([[0], [1]], dims, axis=1), 127, 1)
    operands = case.prepare([np.full((1, dims), 127.0)])
    raw = np.array([[127], [-128]]) * 127 * dims
    want = reference.part(raw, F32([127 * dims / 2]), F32([1]))
    assert score_rows(case, operands, range(2)).tobytes() == want.tobytes()
    assert score_blocks(case, operands, case.blocks)[:2].tobytes() == want.tobytes()
