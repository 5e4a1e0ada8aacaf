"""What a row of outliers takes, and that it comes out as it went in."""

import numpy as np
import pytest

from vqindex.layouts.sparse import SparseCodes


@pytest.mark.parametrize(
    ("dims", "count", "width", "operand"),
    [(1, 1, 2, 256), (128, 1, 2, 512), (256, 4, 8, 1024), (257, 4, 12, 1280), (64, 64, 128, 4096)],
)
def test_bytes_of_a_row(dims, count, width, operand):
    layout = SparseCodes(dims, count)
    (column,) = layout.columns
    assert (column.name, column.dtype, column.row_bytes) == ("outliers", np.uint8, width)
    assert layout.operand_bytes == operand
    spread = layout.spread(np.ones((2, dims), np.float32))
    assert spread.shape == (2, operand)
    assert spread[:, :dims].all()
    assert not spread[:, dims:].any()


@pytest.mark.parametrize("dims", [5, 256, 257, 65536])
def test_outliers_come_out_as_they_went_in(dims):
    rng = np.random.default_rng(dims)
    layout = SparseCodes(dims, 5, "a_")
    coordinates = np.array([rng.choice(dims, 5, replace=False) for _ in range(7)])
    coordinates[0] = dims - 1 - np.arange(5)
    values = rng.integers(-128, 128, coordinates.shape, np.int8)
    columns = layout.pack(coordinates, values)
    assert columns["a_outliers"].shape == (7, layout.columns[0].width)
    found = layout.outliers(columns)
    assert (found[0] >= 0).all()
    dense = layout.unpack(columns)
    assert (np.take_along_axis(dense, coordinates, 1) == values).all()
    assert np.count_nonzero(dense) == np.count_nonzero(values)
    if dims > 5:
        assert (found[0] == coordinates).all()


def test_equal_coordinates_add_up_and_any_bytes_are_read():
    layout = SparseCodes(300, 2)
    columns = layout.pack(np.array([[7, 7]]), np.array([[3, -128]], np.int8))
    assert layout.unpack(columns)[0, 7] == -125
    assert layout.unpack({"outliers": np.full((1, 6), 255, np.uint8)})[0, 299] == -2


@pytest.mark.parametrize(("dims", "count"), [(4, 5), (4, 0), (65537, 1), (1000, 513)])
def test_refused(dims, count):
    with pytest.raises(ValueError, match="1 to 512 outliers of at most 65,536 dimensions, got"):
        SparseCodes(dims, count)
