import numpy as np
import pytest

from vqindex.errors import CorruptFileError
from vqindex.transforms import DenseRotation
from vqindex.transforms.base import generator
from vqindex.transforms.dense_rotation import haar


def test_matrix_is_the_seeded_one():
    fitted = DenseRotation().fit(None, 5, 9)
    want = haar(generator("Haar", 9), 5).astype(np.float32)
    assert (fitted.arrays()["matrix"] == want).all()
    assert (fitted.apply(np.eye(5, dtype=np.float32)) == want).all()


def test_haar_matrices_are_uniform():
    """Every entry has mean 0 and variance 1 / d; without the correction a diagonal has one sign."""
    d, n = 4, 2000
    rng = np.random.default_rng(0)
    q = np.array([haar(rng, d) for _ in range(n)])
    assert (np.abs(q.mean(axis=0)) <= 5 / np.sqrt(d * n)).all()
    spread = np.sqrt(3 / (d * (d + 2)) - 1 / d**2)  # deviation of the square of an entry
    assert (np.abs((q**2).mean(axis=0) - 1 / d) <= 5 * spread / np.sqrt(n)).all()
    assert abs(np.mean(np.linalg.det(q) > 0) - 0.5) <= 5 * 0.5 / np.sqrt(n)


def test_any_square_matrix_can_be_restored():
    matrix = np.random.default_rng(0).standard_normal((6, 6)).astype(np.float32)
    fitted = DenseRotation().restore({"matrix": matrix}, 6)
    one = np.eye(6, dtype=np.float32)
    assert (fitted.apply(one) == matrix).all()
    assert (fitted.inverse(one) == matrix.T).all()


@pytest.mark.parametrize("shape", [(3, 4), (5, 5)])
def test_wrong_shape(shape):
    with pytest.raises(CorruptFileError, match=r"\(4, 4\)"):
        DenseRotation().restore({"matrix": np.zeros(shape, np.float32)}, 4)
