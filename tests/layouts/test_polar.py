"""What a row of polar codes takes."""

import pickle

import numpy as np
import pytest

from tests.kernels.programs import ANGLES
from vqindex.layouts.polar import PolarCodes


@pytest.mark.parametrize(("dims", "width"), [(1, 1), (16, 1), (17, 2), (384, 24)])
def test_bytes_of_a_row(dims, width):
    layout = PolarCodes(dims, ANGLES)
    assert [(c.name, c.dtype, c.width) for c in layout.columns] == [("words", np.uint64, width)]
    assert layout.operand_bytes == -(-dims // 64) * 64
    spread = layout.spread(np.ones((2, dims), np.float32))
    assert spread.shape == (2, layout.operand_bytes)
    assert spread[:, :dims].all()
    assert not spread[:, dims:].any()


def test_no_address_is_pickled():
    layout = PolarCodes(65, ANGLES)
    columns = layout.encode(np.ones((2, 65), np.float32))
    again = pickle.loads(pickle.dumps(layout))
    assert again == layout
    assert "pairs" not in again.__dict__
    assert (again.unpack(columns) == layout.unpack(columns)).all()
