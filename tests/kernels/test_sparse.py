"""Outliers of rows: the largest entries are found, and any bytes are safe to score."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.kernels.cases import F32, Case, score_blocks
from tests.kernels.programs import one
from vqindex.kernels.cpu import sparse
from vqindex.kernels.cpu.operands import FINEST
from vqindex.kernels.reference import score
from vqindex.kernels.reference import sparse as reference
from vqindex.layouts.sparse import MOST, SparseCodes

ROWS = hnp.arrays(
    F32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20),
    elements=st.sampled_from([0, -0.0, 1, -1, 1.5, -2, 1e-45, 3e38]),
)  # fmt: skip


@given(ROWS, st.data())
@settings(max_examples=100, deadline=None)
def test_the_largest_are_found(rows, data):
    count = data.draw(st.integers(1, rows.shape[1]))
    found = np.full((len(rows), count), -77)
    sparse.largest(rows, found)
    assert (found == reference.largest(rows, count)).all()


def test_sums_by_hand():
    coordinates, values = np.array([[0, 2], [2, 9]]), np.array([[3, -1], [-128, 127]], np.int8)
    entries = np.array([[1, 10, 100], [-FINEST, 0, FINEST]])
    want = [[3 - 100, -4 * FINEST], [-100, -FINEST]]
    assert reference.raw(coordinates, values, entries).tolist() == want


def stored(layout, columns, n):
    """A case whose rows are these."""
    case = Case(one(layout, False, bias=False, ratio=False), n)
    case.codes.put(np.arange(n), columns | {"id": case.ids})
    return case


@pytest.mark.parametrize("dims", [MOST, 2 * MOST])
def test_the_largest_sums_fit(dims):
    layout = SparseCodes(dims, MOST)
    coordinates = np.tile(np.arange(MOST), (3, 1))
    values = np.repeat(np.int8([[127], [-127], [1]]), MOST, axis=1)
    case = stored(layout, layout.pack(coordinates, values), 3)
    operands = case.prepare([np.ones((2, dims), F32)])
    raw = np.tile(np.array([[127], [-127], [1]]) * MOST * FINEST, 2)
    assert raw.max() < 2**31
    want = score.part(raw, operands.half[0, :2], operands.gamma[0, :2])
    assert score_blocks(case, operands, case.blocks)[:3].tobytes() == want.tobytes()


@pytest.mark.parametrize("dims", [3, 64, 256, 257, 1000])
def test_any_bytes_are_scored(dims):
    """Coordinates beyond the last entry, one of the padding if there is any, meet that."""
    layout = SparseCodes(dims, 3)
    (column,) = layout.columns
    octets = np.random.default_rng(0).integers(0, 256, (40, column.width), np.uint8)
    octets[0] = 255
    case = stored(layout, {column.name: octets}, 40)
    operands = case.prepare(5)
    each = octets.reshape(40, 3, -1)
    coordinates = each[:, :, 0] + 256 * (each[:, :, 1].astype(int) if dims > 256 else 0)
    entries = np.ascontiguousarray(operands.entries[:5, : 256 * -(-dims // 64)]).view(np.int32)
    raw = reference.raw(coordinates, each[:, :, -1].view(np.int8), entries)
    want = score.part(raw, operands.half[0, :5], operands.gamma[0, :5])
    assert score_blocks(case, operands, case.blocks)[:40].tobytes() == want.tobytes()
