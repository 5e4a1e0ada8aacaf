"""Rotations told as runs of dimensions: how much there is of what."""

import numpy as np
import pytest

from vqindex.transforms.dense_rotation import DenseRotation
from vqindex.transforms.hadamard_rotation import HadamardRotation
from vqindex.transforms.identity import Identity
from vqindex.transforms.pca import PrincipalAxes
from vqindex.transforms.runs import runs_of

X = np.random.default_rng(0).standard_normal((60, 44)).astype(np.float32)


@pytest.mark.parametrize(
    ("transform", "size", "order", "rounds", "mixes"),
    [
        (Identity(), 44, 1, 0, 0),
        (HadamardRotation(rounds=3), 44, 11, 3, 3 * 11 * 11),
        (HadamardRotation(block=16), 16, 12, 2, 4 + 2 * 12 * 12),
        (HadamardRotation(block=4), 4, 1, 2, 4),
        (DenseRotation(), 44, 44, 1, 44 * 44),
    ],
)
def test_sizes(transform, size, order, rounds, mixes):
    runs = runs_of(transform.fit(X, 44, 0))
    assert (runs.size, runs.order, runs.rounds) == (size, order, rounds)
    assert runs.signs.size == rounds * 44
    assert np.isin(runs.signs, (-1, 1)).all()
    assert runs.mixes.size == mixes
    assert runs.signs.dtype == runs.mixes.dtype == np.float32


def test_a_dense_rotation_is_a_matrix_that_mixes_all():
    fitted = PrincipalAxes().fit(X, 44, 0)
    mix = runs_of(fitted).mixes
    error = 2 * 44 * np.finfo(np.float32).eps * (abs(X) @ abs(mix).T)  # of two sums of 44 products
    assert (abs(X @ mix.T - fitted.apply(X)) <= error).all()
