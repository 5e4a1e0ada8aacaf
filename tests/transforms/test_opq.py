"""The rotation of OPQ: variances dealt out evenly, and less error than without it."""

import numpy as np
import pytest

from vqindex.errors import CorruptFileError, ShapeError, SpecError
from vqindex.quantizers.product import Product
from vqindex.subspaces import split
from vqindex.transforms import DenseRotation, LearnedRotation, default_transform
from vqindex.transforms.opq import allocation


def correlated(n, d, seed=0):
    """Rows of a Gaussian whose axes are rotated and whose variances span four powers of ten."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) * 10 ** -np.linspace(0, 2, d)
    return DenseRotation().fit(None, d, 1).apply(x.astype(np.float32))


def error(x, matrix, parts):
    """Of the codes of rotated rows, over their square norm."""
    y = matrix.apply(x)
    coded = Product(parts).fit(y, y.shape[1], 0).encode(y).approximation
    return ((y - coded) ** 2).sum() / (y**2).sum()


@pytest.mark.parametrize(("dim", "parts"), [(12, 3), (7, 3), (5, 5), (9, 1)])
def test_allocation_fills_every_space(dim, parts):
    widths = np.diff(split(dim, parts))
    for variances in (10.0 ** -np.arange(dim), np.ones(dim), np.zeros(dim)):
        axes = allocation(variances, widths)
        assert sorted(axes.tolist()) == list(range(dim))


def test_allocation_balances_products_of_variances():
    """The largest with the smallest; the paper's example of equal products."""
    axes = allocation(2.0 ** np.array([7, 6, 5, 4, 3, 2, 1, 0]), np.array([2, 2, 2, 2]))
    assert sorted(map(sorted, axes.reshape(4, 2).tolist())) == [[0, 7], [1, 6], [2, 5], [3, 4]]


def test_rotation_halves_the_error_of_correlated_rows():
    x = correlated(4000, 32)
    learned = LearnedRotation(16).fit(x, 32, 0)
    plain = DenseRotation().fit(None, 32, 0)
    assert not learned.isotropic
    assert error(x, learned, 16) < 0.5 * error(x, plain, 16)


def test_few_rows():
    for n in (1, 2, 5):
        fitted = LearnedRotation(3).fit(correlated(n, 9), 9, 0)
        assert fitted.matrix @ fitted.matrix.T == pytest.approx(np.eye(9), abs=1e-5)


def test_fit_is_repeatable():
    x = correlated(300, 10)
    again, one, other = (LearnedRotation(5).fit(x, 10, seed).matrix for seed in (1, 1, 2))
    assert again.tobytes() == one.tobytes()
    assert (one != other).any()


def test_default_transform_takes_its_number():
    assert default_transform("OPQ48x8") == LearnedRotation(48, 8)
    assert LearnedRotation(48, 8).spec == "OPQ48x8"
    with pytest.raises(SpecError, match="such as OPQ48x4"):
        default_transform("OPQ")
    with pytest.raises(SpecError, match="4 or 8 bits, got 3 of 5"):
        default_transform("OPQ3x5")


def test_refused_rows_and_files():
    with pytest.raises(ShapeError, match=r"OPQ8x4 needs .* 8 codes, got rows of 7"):
        LearnedRotation(8).fit(correlated(9, 7), 7, 0)
    with pytest.raises(ValueError, match="needs a sample, got None"):
        LearnedRotation(8).fit(None, 9, 0)
    with pytest.raises(CorruptFileError):
        LearnedRotation(2).restore({"matrix": np.eye(3, dtype=np.float32)}, 4)
