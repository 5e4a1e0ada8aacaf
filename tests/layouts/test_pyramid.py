"""What a row of pyramid codes takes, and that it is its own whatever it lies beside."""

import pickle

import numpy as np
import pytest

from tests.kernels.programs import EDGES, GAINS
from vqindex.layouts.pyramid import MOST_PULSES, PyramidCodes, pulses


@pytest.mark.parametrize(
    ("dims", "bits", "width"),
    [(64, 1, 9), (64, 4, 33), (384, 2, 99), (100, 3, 41), (1, 1, 9), (36, 4, 25), (128, 1, 17)],
)
def test_bytes_of_a_row(dims, bits, width):
    """Words of 64 bits, as many as the bits of each group need, and three bits for its gain."""
    layout = PyramidCodes(dims, bits, GAINS, EDGES)
    assert [(c.name, c.dtype, c.width) for c in layout.columns] == [("codes", np.uint8, width)]
    assert layout.operand_bytes == -(-dims // 64) * 64


def test_short_groups_take_a_limited_number_of_pulses():
    assert pulses(64, 4) == 199
    assert pulses(36, 1) == 20
    assert pulses(36, 3) == pulses(1, 1) == MOST_PULSES


def test_queries_are_padded():
    layout = PyramidCodes(65, 1, GAINS, EDGES)
    values = np.arange(130, dtype=np.float32).reshape(2, 65)
    spread = layout.spread(values)
    assert (spread[:, :65] == values).all()
    assert spread.shape == (2, 128)
    assert not spread[:, 65:].any()


def test_no_address_is_pickled():
    layout = PyramidCodes(65, 2, GAINS, EDGES)
    x = np.random.default_rng(0).standard_normal((5, 65)).astype(np.float32)
    columns, _ = layout.encode(x)
    again = pickle.loads(pickle.dumps(layout))
    assert again == layout
    assert "plan" not in again.__dict__
    assert (again.unpack(columns) == layout.unpack(columns)).all()
