"""Words by the anisotropic loss: less of it, and more of the nearest rows by inner product."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.datasets import load
from vqindex.errors import SpecError
from vqindex.quantizers import Product
from vqindex.quantizers.anisotropic import weight_of


def test_weight_of_the_papers_example():
    """T = 0.2 in 100 dimensions; and never less than across a row."""
    assert weight_of(0.2, 100) == pytest.approx(4.125)
    assert weight_of(0.2, 1) == 1
    assert weight_of(0.01, 100) == 1


def losses(y, decoded, eta):
    y, r = y.astype(np.float64), (y - decoded).astype(np.float64)
    along = (y * r).sum(axis=1) ** 2 / (y**2).sum(axis=1)
    return ((r**2).sum(axis=1) + (eta - 1) * along).mean()


@pytest.mark.parametrize(("parts", "bits"), [(16, 4), (4, 8)])
def test_the_loss_is_less_and_square_errors_more(parts, bits):
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((n, 32)).astype(np.float32) for n in (5000, 500))
    plain, made = (Product(parts, bits, anisotropic=t).fit(x, 32, 0) for t in (None, 0.4))
    assert made.eta == weight_of(0.4, 32)
    decoded = [part.encode(y).approximation for part in (plain, made)]
    assert losses(y, decoded[1], made.eta) < 0.9 * losses(y, decoded[0], made.eta)
    assert losses(y, decoded[1], 1) > losses(y, decoded[0], 1)


def test_more_of_the_nearest_are_found():
    sample = load("sample")
    found = {}
    for spec in ("PQ48x4", "PQ48x4(anisotropic=0.15)"):
        index = vq.index_factory(spec, metric="cosine")
        index.fit(sample.base).add(sample.base)
        ids = index.search(sample.queries, 10).ids
        pairs = zip(ids, sample.neighbors[:, :10], strict=True)
        found[spec] = np.mean([len(set(a) & set(b)) / 10 for a, b in pairs])
    assert found["PQ48x4(anisotropic=0.15)"] > found["PQ48x4"]


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.1, True, "0.2"])
def test_refused_thresholds(threshold):
    with pytest.raises(SpecError, match="above 0 and below 1"):
        Product(4, anisotropic=threshold)


def test_refused_beside_others():
    with pytest.raises(SpecError, match="not by both"):
        Product(4, anisotropic=0.2, weighting="queries")
    with pytest.raises(SpecError, match=r"PQ4x4\(anisotropic=0.2\) is for ip and cosine, got 'l2'"):
        vq.index_factory("PQ4x4(anisotropic=0.2)", metric="l2")
