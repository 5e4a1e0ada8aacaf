"""Tiles of products, against NumPy."""

import numpy as np
import pytest

from tests.kernels.simd_values import OCTETS, compiled, mixed, row_values
from vqindex.kernels.cpu import simd
from vqindex.kernels.reference import decoded


def tile(name, *numbers):
    compiled("tiles_begin", "", "s")(0)
    compiled(name, "s" * len(numbers), "s")(*numbers, 0)
    compiled("tiles_end", "", "s")(0)


@pytest.mark.parametrize("steps", [16, 32, 80])
@pytest.mark.parametrize(
    ("name", "rows", "vectors"),
    [
        ("dot_tile", simd.TILE_ROWS, simd.TILE_QUERIES),
        ("dot_narrow", simd.NARROW_ROWS, 1),
        ("dot_single", 1, simd.SINGLE_QUERIES),
    ],
)
def test_integer_tiles(name, rows, vectors, steps):
    rng = np.random.default_rng(steps)
    row = mixed(rng.integers(0, 256, (rows, 4 * steps + 12), np.uint8), OCTETS, rng)
    query = rng.integers(-127, 128, (vectors, steps + 1, 16, 4), np.int8)
    seed = rng.integers(-(2**20), 2**20, (vectors, 16), np.int32)
    out = np.full((rows, vectors + 1, 16), -1, np.int32)
    tile(
        name, row.ctypes.data, row.strides[0], query.ctypes.data, query.strides[0], steps,
        seed.ctypes.data, out.ctypes.data, out.strides[0],
    )  # fmt: skip
    values = row_values(row)[:, : 4 * steps].reshape(rows, steps, 4)
    expected = seed + np.einsum("rgi,vgji->rvj", values, query[:, :steps].astype(np.int32))
    assert (out[:, :vectors] == expected).all()
    assert (out[:, vectors] == -1).all()


@pytest.mark.parametrize("steps", [1, 2, 24])
def test_dot_float_tile(steps):
    rng = np.random.default_rng(steps)
    rows = rng.standard_normal((simd.FLOAT_ROWS, 16 * steps + 8)).astype(np.float32)
    queries = rng.standard_normal((simd.FLOAT_QUERIES, 16 * steps + 4)).astype(np.float32)
    out = np.full((simd.FLOAT_ROWS, simd.FLOAT_QUERIES + 1), np.nan, np.float32)
    tile(
        "dot_float_tile", rows.ctypes.data, rows.strides[0], queries.ctypes.data,
        queries.strides[0], steps, out.ctypes.data, out.strides[0],
    )  # fmt: skip
    expected = decoded.dot(rows[:, : 16 * steps], queries[:, : 16 * steps])
    assert out[:, :-1].tobytes() == expected.tobytes()
    assert np.isnan(out[:, -1]).all()


@pytest.mark.parametrize("steps", [1, 2, 37])
@pytest.mark.parametrize(
    ("name", "rows"), [("product_tile", simd.PRODUCT_ROWS), ("product_row", 1)]
)
def test_product_tiles(name, rows, steps):
    rng = np.random.default_rng(steps)
    left = rng.standard_normal((rows, steps + 3)).astype(np.float32)
    right = rng.standard_normal((steps, simd.PRODUCT_LANES + 5)).astype(np.float32)
    out = np.full((rows, simd.PRODUCT_LANES + 1), np.nan, np.float32)
    tile(
        name, left.ctypes.data, left.strides[0], right.ctypes.data, right.strides[0], steps,
        out.ctypes.data, out.strides[0],
    )  # fmt: skip
    expected = np.zeros((rows, simd.PRODUCT_LANES), np.float32)
    for j in range(steps):
        expected += left[:, j : j + 1] * right[j, : simd.PRODUCT_LANES]
    assert out[:, :-1].tobytes() == expected.tobytes()
    assert np.isnan(out[:, -1]).all()
