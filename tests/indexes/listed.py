"""Small indexes with lists, for tests of how they change."""

import numpy as np

import vqindex as vq

SPECS = ["F32", "EDEN4", "EDEN1,Keep(f16)", "PQ3x4", "EDEN2,Rerank(SQ8)"]
NLIST, D = 6, 9


def state(index):
    """The bytes of the file that `save` would write."""
    return index.__reduce__()[1][1]


def vectors(n, seed=0):
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(99).standard_normal((10, D)) + 0.4
    return (means[rng.integers(0, 10, n)] + 0.3 * rng.standard_normal((n, D))).astype(np.float32)


def fitted(spec="EDEN4", metric="l2"):
    whole = spec if spec.startswith("IVF") else f"IVF{NLIST},{spec}"
    return vq.index_factory(whole, metric=metric).fit(vectors(400, seed=7))


def same(got, want):
    assert got.ids.tobytes() == want.ids.tobytes()
    assert got.scores.tobytes() == want.scores.tobytes()
