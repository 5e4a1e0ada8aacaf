"""Decoded rows, against the integer reference and the one order of float sums."""

import numpy as np
import pytest

from vqindex.kernels.cpu import decoded, simd
from vqindex.kernels.reference import decoded as reference
from vqindex.layouts.decoded import DecodedCodes

DIMS = [1, 7, 15, 16, 17, 63, 64, 65, 128, 384]
POISON = 0xA5


def segment_of(layout):
    return layout.program({"rows": 0}, -1, 0)


def rows_of(kind, n, dims, rng):
    if kind == "i8":
        rows = rng.integers(-128, 128, (n, dims), np.int8)
        rows[rng.random((n, dims)) < 0.2] = -128
        return rows
    rows = (rng.standard_normal((n, dims)) * np.exp2(rng.integers(-12, 6, (n, dims)))).astype("f4")
    rows[rng.random((n, dims)) < 0.1] = -0.0
    if kind == "f16":
        rows = rows.astype(np.float16)
        rows[rng.random((n, dims)) < 0.1] = np.float16(6e-8)  # the least denormal
    return rows


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_dot_floats_in_the_fixed_order(kind, dims):
    rng = np.random.default_rng(dims)
    layout = DecodedCodes(dims, kind)
    fields = segment_of(layout)
    rows = rows_of(kind, 9, dims, rng)
    queries = (rng.standard_normal((5, dims)) * 100).astype(np.float32)
    packed, asked = layout.pack(rows)["rows"], layout.spread(queries)
    got = [
        [decoded.dot_floats(r.ctypes.data, fields.ctypes.data, q.ctypes.data) for q in asked]
        for r in packed
    ]
    want = reference.dot(rows, queries)
    assert np.float32(got).tobytes() == want.tobytes()
    # That order is a sum: dims products, each rounded and then added at most dims times.
    exact = rows.astype(np.float64) @ queries.T.astype(np.float64)
    magnitude = np.abs(rows.astype(np.float64)) @ np.abs(queries.T.astype(np.float64))
    assert (np.abs(want - exact) <= (dims + 1) * 2.0**-24 * magnitude).all()


@pytest.mark.parametrize("dims", DIMS)
def test_dot_bytes(dims):
    rng = np.random.default_rng(dims)
    layout = DecodedCodes(dims, "i8")
    fields = segment_of(layout)
    rows = rows_of("i8", 9, dims, rng)
    queries = rng.choice([-127, -1, 0, 3, 127], (5, dims)).astype(np.int8)
    packed, asked = layout.pack(rows)["rows"], layout.spread(queries).astype(np.int8)
    want = reference.raw(rows, queries) + simd.ROW_BIAS * queries.sum(axis=1, dtype=np.int64)
    for i, row in enumerate(packed):
        for j, query in enumerate(asked):
            at = row.ctypes.data, fields.ctypes.data, query.ctypes.data
            assert decoded.dot_bytes(*at) == want[i, j]


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("kind", ["f32", "f16", "i8"])
def test_copies(kind, dims):
    rng = np.random.default_rng(dims)
    layout = DecodedCodes(dims, kind)
    fields = segment_of(layout)
    copy = decoded.copy_bytes if kind == "i8" else decoded.copy_floats
    for row in layout.pack(rows_of(kind, 4, dims, rng))["rows"]:
        out = np.full(64 * layout.vectors + 64, POISON, np.uint8)
        copy(row.ctypes.data, fields.ctypes.data, out.ctypes.data)
        if kind == "i8":
            want = row.view(np.uint8) + np.uint8(simd.ROW_BIAS)
        else:
            want = row.astype(np.float32)
        assert out[:-64].tobytes() == want.tobytes()
        assert (out[-64:] == POISON).all()
