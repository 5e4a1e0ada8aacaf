"""What a flat index keeps, whatever its codes and under every metric: answers, files, edges."""

import numpy as np
import pytest

import vqindex as vq
from tests.quantizers.test_contract import ALONE, COARSE, SKETCHED
from tests.quantizers.test_contract_metrics import serves

METRICS = ("l2", "ip", "cosine")
D, N, NQ, K = 20, 300, 40, 10
BLIND = ("QJL1", "QJL2", "QJL1+QJL", "QJL2+QJL")  # one or two signs point to no ten of N
# A sketch's second term is the same whatever the first one is: one metric for each in turn.
SEVERAL = ["PQ10x4", "OPQ5x4", "OPQ4x4+QJL", "RQ6x4(groups=3,outliers=0.1)"]
TURNS = [(spec, METRICS[i % 3]) for i, spec in enumerate(SKETCHED)]
OTHERS = [(spec, metric) for spec in ALONE + COARSE + SEVERAL for metric in METRICS]
CASES = [case for case in OTHERS + TURNS if serves(*case)]
REST = [(spec, metric) for spec in SKETCHED for metric in METRICS]
REST = [case for case in REST if case not in TURNS and serves(*case)]
cases = pytest.mark.parametrize(
    ("spec", "metric"), CASES + [pytest.param(*case, marks=pytest.mark.slow) for case in REST]
)


def vectors(n, seed=0):
    """Rows about a dozen points."""
    points = np.random.default_rng(99).standard_normal((12, D)) * 2 + 0.5
    rng = np.random.default_rng(seed)
    return (points[rng.integers(0, 12, n)] + rng.standard_normal((n, D))).astype(np.float32)


def fitted(spec, metric, sample):
    index = vq.index_factory(spec, metric=metric, seed=7)
    return index.fit(sample, vectors(NQ, 1)) if "weighting" in spec else index.fit(sample)


def filled(spec, metric, x):
    index = fitted(spec, metric, x)
    index.add(x)
    return index


def distances(x, q, metric):
    """(nq, n) float64."""
    x, q = x.astype(np.float64), q.astype(np.float64)
    if metric == "l2":
        return np.square(q[:, None] - x).sum(axis=2)
    if metric == "ip":
        return -q @ x.T
    return 1 - unit(q) @ unit(x).T


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def recall(near, ids):
    return np.mean([len(set(a) & set(b)) / K for a, b in zip(ids, near, strict=True)])


def state(index):
    """The bytes of the file that `save` would write."""
    return index.__reduce__()[1][1]


def same(found, want):
    assert found.ids.tobytes() == want.ids.tobytes()
    assert found.distances.tobytes() == want.distances.tobytes()
    assert found.scores.tobytes() == want.scores.tobytes()


@cases
def test_finds_what_is_near(spec, metric):
    """Rows are nearer to what codes say of them than to zero; at least half as many neighbours are
    found as by brute force among these, and three times as many as by chance; distances are what
    the metric has them be.
    """
    x, q = vectors(N), vectors(NQ, 1)
    before = x.copy(), q.copy()
    index = filled(spec, metric, x)
    found = index.search(q, K)
    assert np.array_equal(x, before[0])
    assert np.array_equal(q, before[1])
    assert (found.ids >= 0).all()
    assert (np.diff(found.distances, axis=1) >= 0).all()
    origin = 1 if metric == "cosine" else 0
    assert np.array_equal(found.distances, origin - found.scores)
    seen = unit(x) if metric == "cosine" else x.astype(np.float64)
    back = index.reconstruct(index.ids)
    assert np.square(back - seen).sum() < np.square(seen).sum()
    near, said = (np.argsort(distances(y, q, metric))[:, :K] for y in (x, back))
    least = max(recall(near, said) / 2, 3 * K / N)
    assert spec in BLIND or recall(near, found.ids) >= least


@cases
def test_what_is_built_again_or_from_a_file_answers_alike(spec, metric, tmp_path):
    """From its own factory string, in parts, by other threads: byte for byte the same file."""
    x, q, path = vectors(N), vectors(NQ, 1), tmp_path / "x.vqi"
    index = filled(spec, metric, x)
    again = fitted(index.spec, metric, x)
    assert again.spec == index.spec
    for part, threads in ((x[:1], 1), (x[1:70], 2), (x[70:], 1)):
        again.add(part, threads=threads)
    assert state(again) == state(index)
    index.save(path)
    assert path.read_bytes() == state(index)
    want = index.search(q, K)
    for mmap in (False, True):
        loaded = vq.load(path, mmap=mmap)
        assert (loaded.spec, loaded.metric, loaded.seed) == (index.spec, metric, 7)
        same(loaded.search(q, K), want)
        same(loaded.search(q[0], K), index.search(q[0], K))
        assert loaded.reconstruct([N - 1]).tobytes() == index.reconstruct([N - 1]).tobytes()


@cases
def test_no_rows_one_row_zero_rows_and_duplicates(spec, metric):
    sample, q = vectors(N), vectors(3, 1)
    index = fitted(spec, metric, sample)
    assert index.add(sample[:0]).shape == (0,)
    assert (index.search(q, 2).ids == -1).all()
    assert np.isposinf(index.search(q, 2).distances).all()
    index.add(sample[:1])
    alone = index.search(q, 2)
    assert (alone.ids == [0, -1]).all()
    assert np.isfinite(alone.distances[:, 0]).all()
    index.add(np.zeros((2, D)))
    index.add(np.repeat(sample[:1], 2, axis=0))
    found = index.search(q, 9)
    assert (np.sort(found.ids[:, :5], axis=1) == np.arange(5)).all()
    assert np.isfinite(found.distances[:, :5]).all()
    order = np.argsort(found.ids[:, :5], axis=1)
    each = np.take_along_axis(found.distances[:, :5], order, axis=1)
    for equal in ([0, 3, 4], [1, 2]):
        assert (each[:, equal] == each[:, equal[:1]]).all()
        places = np.take_along_axis(order, np.broadcast_to(equal, (3, len(equal))), axis=1)
        assert (np.diff(places, axis=1) == 1).all()  # of equal rows the lower id comes first
    assert np.isfinite(index.reconstruct(index.ids)).all()


@cases
def test_directions_without_variance(spec, metric):
    """Rows on a plane, and rows that are all the same."""
    x, q = vectors(N), vectors(NQ, 1)
    flat, alike = x.copy(), np.repeat(x[:1], 40, axis=0)
    flat[:, 2:] = 0
    for sample in (flat, alike):
        found = filled(spec, metric, sample).search(q, K)
        assert np.isfinite(found.distances).all()
        assert (found.ids >= 0).all()
    assert (found.ids == np.arange(K)).all()
