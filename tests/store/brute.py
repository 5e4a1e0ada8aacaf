"""What a store's answers are held against: all vectors, in float64."""

import numpy as np

from vqindex.store import growth, keeper, mirror

# Codes from 65 rows on, lists from 600, and an index file after 100 changes.
SMALL = (
    (growth, "WAITING", 64), (mirror, "WAITING", 64), (mirror, "TAIL", 32),
    (growth, "LISTED", 600), (keeper, "LEAST", 100), (growth, "GROWN", 4),
    (growth, "CODES", ("SQ8", "F32")), (mirror, "CODES", ("SQ8", "F32")),
)  # fmt: skip


def scores(query, vectors, metric):
    """Scores (n,) of vectors (n, d), larger nearer."""
    q, x = np.asarray(query, np.float64), np.asarray(vectors, np.float64)
    if metric == "l2":
        return -((x - q) ** 2).sum(axis=1)
    if metric == "ip":
        return x @ q
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(q)
    return np.divide(x @ q, norms, out=np.zeros(len(x)), where=norms > 0)


def check(hits, query, documents, metric, k):
    """Hold hits against an exact search of documents that have vectors, {name: vector}."""
    ids = list(documents)
    found = [hit.document.id for hit in hits]
    assert len(found) == len(set(found)) == min(k, len(ids))
    if not ids:
        return
    every = scores(query, [documents[name] for name in ids], metric)
    exact = dict(zip(ids, every.tolist(), strict=True))
    best = sorted(exact.values(), reverse=True)[:k]
    size = 1 + max(map(abs, best))
    np.testing.assert_allclose([exact[name] for name in found], best, rtol=0, atol=1e-9 * size)
    np.testing.assert_allclose([hit.score for hit in hits], best, rtol=0, atol=1e-9 * size)
    for hit in hits:
        np.testing.assert_array_equal(hit.document.vector, documents[hit.document.id])
