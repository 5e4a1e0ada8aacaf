import numpy as np
import pytest

from vqindex.datasets import ground_truth, synthetic
from vqindex.errors import SpecError


def test_same_seed_same_set():
    a, b, c = (synthetic(50, 8, 4, "ip", seed) for seed in (3, 3, 4))
    assert (a.base == b.base).all()
    assert (a.queries == b.queries).all()
    assert not (a.base == c.base).any()
    assert (a.base.dtype, a.queries.dtype, a.base.shape) == (np.float32, np.float32, (50, 8))
    assert a.name == "synthetic-50-8-ip-seed3"


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_truth_belongs_to_it(metric):
    found = synthetic(200, 8, 4, metric, k=7)
    distances, neighbors = ground_truth(found.base, found.queries, 7, metric)
    assert (found.neighbors == neighbors).all()
    assert (found.distances == distances).all()


@pytest.mark.parametrize("spectrum", [0.0, 1.0])
def test_spectrum_decays_as_asked(spectrum):
    n = 20_000  # rows of more than one block
    base = synthetic(n, 8, 0, spectrum=spectrum, clusters=1).base
    found = np.linalg.eigvalsh(np.cov(base.T))[::-1]
    want = np.arange(1, 9) ** -spectrum
    want /= 2 * want.sum()  # one cluster leaves half the variance
    # The sample covariance of n Gaussian rows is off by (1 + sqrt(d / n) + t)^2 at most, but for
    # a chance of 2 exp(-n t^2 / 2): here t = 0.03, a chance of 3e-4 over a fixed seed.
    assert np.abs(found / want - 1).max() <= (1 + (8 / n) ** 0.5 + 0.03) ** 2 - 1


@pytest.mark.parametrize("clusters", [1, 2, 5])
def test_clusters_span_their_directions(clusters):
    n, d = 4000, 64
    base = synthetic(n, d, 0, spectrum=0, clusters=clusters).base
    found = np.linalg.eigvalsh(np.cov(base.T))
    noise = 0.5 / d * (1 + (d / n) ** 0.5 + 0.06) ** 2  # as above: a chance of 1e-3
    assert (found > noise).sum() == clusters - 1


def test_edges():
    assert synthetic(0, 3, 2).neighbors.tolist() == [[-1] * 100] * 2
    assert synthetic(3, 1, 0).distances.shape == (0, 100)
    for bad in ((-1, 2, 2), (2, 0, 2), (2, 2, -1)):
        with pytest.raises(ValueError, match="at least"):
            synthetic(*bad)
    with pytest.raises(ValueError, match="clusters=0"):
        synthetic(2, 2, 2, clusters=0)
    with pytest.raises(SpecError):
        synthetic(2, 2, 2, "cos")
