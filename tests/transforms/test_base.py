import numpy as np
import pytest

from vqindex.errors import CorruptFileError
from vqindex.transforms.base import generator, rows, stored


def test_streams_are_apart():
    """From one another, from other seeds, and from the one that the caller's data may be of."""
    draws = [generator(name, seed).random() for name in ("Haar", "Hadamard") for seed in (0, 1)]
    draws += [np.random.default_rng(seed).random() for seed in (0, 1)]
    assert len(set(draws)) == 6
    assert generator("Haar", 0).random() == draws[0]


def test_plain_rows_are_not_copied():
    x = np.zeros((3, 2), np.float32)
    assert rows(x, 2) is x
    assert rows(x[1:], 2).base is x


@pytest.mark.parametrize(
    "array",
    [
        None,
        np.zeros(3, np.float32),
        np.zeros((3, 3)),
        np.full((3, 3), np.nan, np.float32),
        np.full((3, 3), np.inf, np.float32),
    ],
)
def test_stored_refuses(array):
    with pytest.raises(CorruptFileError, match="'matrix'"):
        stored({} if array is None else {"matrix": array}, "matrix", np.float32, 2)
