"""Norms and quotients as every quantizer takes them."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vqindex.kernels.reference import decoded
from vqindex.quantizers import QUANTIZERS
from vqindex.quantizers.base import divide, row_norms, square_norms

U = 2.0**-24
TINY = 2.0**-150  # half of float32's smallest number
DIMS = [1, 2, 3, 7, 15, 16, 17, 63, 64, 65, 384]


def normal(n, dim):
    return np.random.default_rng(dim).standard_normal((n, dim)).astype(np.float32)


@settings(deadline=None, max_examples=50)
@example(dim=384, power=58)  # sums of 1e37; at 60 they are beyond float32
@given(dim=st.sampled_from(DIMS), power=st.integers(-75, 58))
def test_square_norms(dim, power):
    """Squares round once, sixteen sums of ceil(d / 16) each time, and their sum four times."""
    x = np.ldexp(normal(9, dim), power)
    want = (x.astype(np.float64) ** 2).sum(axis=1)
    error = 1.01 * (dim // 16 + 6) * U * want + dim * TINY
    assert (np.abs(square_norms(x) - want) <= error).all()
    assert (np.abs(row_norms(x) - np.sqrt(want)) <= 1.01 * U * np.sqrt(want) + np.sqrt(error)).all()


@pytest.mark.parametrize("dim", DIMS)
def test_square_norms_have_one_order(dim):
    """That of every float dot product, alone or beside others."""
    x = normal(33, dim)
    want = np.array([decoded.dot(row[None], row[None])[0, 0] for row in x])
    assert square_norms(x).tobytes() == want.tobytes()
    assert b"".join(square_norms(x[i : i + 1]).tobytes() for i in range(33)) == want.tobytes()
    assert row_norms(x).tobytes() == np.sqrt(want).tobytes()


def test_norms_of_nothing():
    assert square_norms(np.empty((0, 5), np.float32)).shape == (0,)
    assert not row_norms(np.zeros((3, 5), np.float32)).any()


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), max_size=9))
def test_divide(pairs):
    x, by = np.array(pairs, np.float32).reshape(-1, 2).T.copy()
    by[np.abs(by) < 1e-20] = 0
    found = divide(x, by)
    assert found.dtype == np.float32
    for a, b, c in zip(x.astype(np.float64), by.astype(np.float64), found, strict=True):
        want = a / b if b else 0.0
        assert abs(c - want) <= 1.01 * U * abs(want) + TINY


def test_divide_spreads_and_takes_float64():
    found = divide(np.ones((2, 3)), np.array([[2.0], [0.0]]))
    assert (found == [[0.5] * 3, [0] * 3]).all()
    assert found.dtype == np.float32


def test_names_are_ones_own():
    names = [name for kind in QUANTIZERS for name in kind.names]
    assert len(set(names)) == len(names)
