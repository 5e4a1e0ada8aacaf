"""Seeded vectors that share what makes real embeddings hard: a decaying spectrum and clusters."""

import numpy as np
from numpy.typing import NDArray

from vqindex import arrays
from vqindex.datasets.dataset import Dataset
from vqindex.datasets.truth import ground_truth

_ROWS = 1 << 14  # rows drawn together


def synthetic(
    n: int,
    d: int,
    nq: int,
    metric: str = "l2",
    seed: int = 0,
    *,
    spectrum: float = 0.7,
    clusters: int = 64,
    k: int = 100,
) -> Dataset:
    """A mixture of Gaussians, rotated at random, with its exact neighbours.

        x = (center[c] + noise) / sqrt(2),  c uniform over `clusters`,
        center and noise ~ N(0, S),  S = R diag(lambda) R',  lambda_j ~ j^-spectrum,  trace S = 1

    returns  base (n, d) and queries (nq, d) float32 from the same mixture, k neighbours a query

    `spectrum` 0 is white; sentence embeddings are near 0.7, SIFT near 1.3. The same arguments give
    the same vectors on the same machine and NumPy. Raises ValueError for sizes out of range.
    """
    if n < 0 or nq < 0 or d < 1 or clusters < 1:
        raise ValueError(
            f"n and nq must be at least 0, d and clusters at least 1, "
            f"got n={n}, nq={nq}, d={d}, clusters={clusters}"
        )
    arrays.metric(metric)
    rng = np.random.default_rng(seed)
    lam = np.arange(1, d + 1) ** -float(spectrum)
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    root = (np.sqrt(lam / lam.sum())[:, None] * rotation).astype(np.float32)
    centers = rng.standard_normal((clusters, d), np.float32) @ root

    def draw(rows: int) -> NDArray[np.float32]:
        out = np.empty((rows, d), np.float32)
        for part in np.split(out, range(_ROWS, rows, _ROWS)):
            np.matmul(rng.standard_normal(part.shape, np.float32), root, out=part)
            part += centers[rng.integers(clusters, size=len(part))]
        return np.multiply(out, np.float32(0.5**0.5), out=out)

    base, queries = draw(n), draw(nq)
    distances, neighbors = ground_truth(base, queries, k, metric)
    name = f"synthetic-{n}-{d}-{metric}-seed{seed}"
    return Dataset(name, metric, base, queries, neighbors, distances)
