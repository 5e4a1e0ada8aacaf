import numpy as np
import pytest

from vqindex.errors import CorruptFileError, SpecError
from vqindex.transforms import PrincipalAxes
from vqindex.transforms.pca import principal_axes


def stretched(n, spreads, seed=0):
    """Rows that vary by `spreads` along random axes; and the axes, in columns."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.standard_normal((len(spreads), len(spreads))))[0]
    x = rng.standard_normal((n, len(spreads))) * spreads
    return (x @ axes.T).astype(np.float32), axes


def test_axes_are_those_that_rows_vary_along():
    x, axes = stretched(20_000, [8, 4, 2, 1])
    found = principal_axes(x)
    assert (np.abs((found * axes).sum(axis=0)) > 0.999).all()
    assert np.abs(found.T @ found - np.eye(4)).max() < 1e-12


def test_coordinates_come_in_order_and_uncorrelated():
    x, _ = stretched(5000, np.linspace(1, 3, 20))
    y = PrincipalAxes().fit(x, 20, 0).apply(x).astype(np.float64)
    moment = y.T @ y / len(y)
    assert (np.diff(np.diag(moment)) < 0).all()
    assert np.abs(moment - np.diag(np.diag(moment))).max() < 1e-4


def test_signs_are_no_accident():
    """Of an axis the largest entry is positive, whatever the order or the signs of the rows."""
    x, _ = stretched(500, [5, 3, 1])
    found = principal_axes(x)
    assert (found[np.abs(found).argmax(axis=0), np.arange(3)] > 0).all()
    assert np.allclose(principal_axes(-x[::-1]), found, atol=1e-6)


def test_without_a_sample():
    with pytest.raises(SpecError, match="needs a sample"):
        PrincipalAxes().fit(None, 4, 0)


@pytest.mark.parametrize("shape", [(3, 4), (5, 5)])
def test_wrong_shape(shape):
    with pytest.raises(CorruptFileError, match=r"\(4, 4\)"):
        PrincipalAxes().restore({"matrix": np.zeros(shape, np.float32)}, 4)
