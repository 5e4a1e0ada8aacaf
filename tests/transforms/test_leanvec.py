"""The least loss there is at so many dimensions, and what scores stand for."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.errors import CorruptFileError, ShapeError, SpecError
from vqindex.transforms import LeanVec
from vqindex.transforms.leanvec import reduction

D, K = 24, 8


def moment(x):
    return x.astype(np.float64).T @ x / len(x)


def spectrum(n, seed, power=1.0):
    """Rows of a decaying spectrum in axes of their own."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.standard_normal((D, D)))[0]
    return (rng.standard_normal((n, D)) * np.arange(1, D + 1) ** -power @ axes).astype(np.float32)


def loss(a, b, rows, queries):
    """E <q, (A B^T - I) x>^2 over E <q, x>^2."""
    off = a @ b.T - np.eye(D)
    return np.trace(queries @ off @ rows @ off.T) / np.trace(queries @ rows)


def frank_wolfe(rows, queries, steps=200):
    """Orthonormal A and B as LeanVec finds them, from the principal axes."""
    a = b = np.linalg.eigh(rows)[1][:, : -K - 1 : -1]
    for step in range(steps):
        gamma = (step + 1) ** -0.999
        u, _, v = np.linalg.svd(queries @ (rows @ b - a @ (b.T @ rows @ b)), full_matrices=False)
        a = (1 - gamma) * a + gamma * u @ v
        u, _, v = np.linalg.svd(rows @ (queries @ a - b @ (a.T @ queries @ a)), full_matrices=False)
        b = (1 - gamma) * b + gamma * u @ v
    return a, b


def test_no_other_maps_lose_less():
    """The loss is what the dropped singular values make it, and below that of orthonormal maps."""
    rows, queries = moment(spectrum(400, 0)), moment(spectrum(400, 1))
    a, b = reduction(rows, queries, K)
    left = [np.linalg.cholesky(m).T for m in (queries, rows)]
    singular = np.linalg.svd(left[0] @ left[1].T, compute_uv=False)
    want = (singular[K:] ** 2).sum() / (singular**2).sum()
    assert loss(a, b, rows, queries) == pytest.approx(want, rel=1e-9)
    assert loss(*frank_wolfe(rows, queries), rows, queries) > 1.01 * want
    axes = np.linalg.eigh(rows)[1][:, -K:]
    assert loss(axes, axes, rows, queries) > 1.5 * want


def test_both_sides_have_the_same_spread():
    """So that an error that is alike in every direction costs least."""
    rows, queries = moment(spectrum(400, 0)), moment(spectrum(400, 1))
    a, b = reduction(rows, queries, D)
    assert np.allclose(a @ b.T, np.eye(D), atol=1e-9)
    assert np.allclose(a.T @ queries @ a, b.T @ rows @ b, atol=1e-9)


def test_without_queries_it_is_principal_axes():
    x = spectrum(500, 3)
    fitted = LeanVec(K, rotate=False).fit(x, D, 0)
    assert not fitted.isotropic
    assert np.allclose(fitted.rows, fitted.queries, atol=1e-6)
    axes = np.linalg.svd(x, full_matrices=False)[2][:K]
    assert np.allclose(np.abs(axes @ fitted.rows), np.eye(K), atol=1e-3)


def test_a_rotation_changes_no_score():
    x, q = spectrum(500, 3), spectrum(50, 4)
    plain, turned = (LeanVec(K, rotate=r).fit(x, D, 0, q) for r in (False, True))
    scores = [f.apply_query(q) @ f.apply(x).T for f in (plain, turned)]
    assert np.allclose(*scores, atol=1e-5 * np.abs(scores[0]).max())
    spreads = [f.apply(x).std(axis=0) for f in (plain, turned)]
    assert turned.isotropic
    assert spreads[0].max() / spreads[0].min() > 2 * spreads[1].max() / spreads[1].min()


def test_queries_help_and_few_do_not_harm():
    """Loss on queries of the same kind as those fitted to, and as those not fitted to."""
    x, others = spectrum(2000, 5), spectrum(2000, 6)
    rows, queries = moment(x), moment(others)

    def found(known):
        fitted = LeanVec(K).fit(x, D, 0, known)
        return loss(fitted.queries.astype(float), fitted.rows.astype(float), rows, queries)

    none, few, many = found(None), found(others[:5]), found(others)
    assert many < 0.7 * none
    assert few < none


@pytest.mark.parametrize("x", [np.zeros((9, D)), np.ones((9, D)), np.eye(D)[:3]])
def test_samples_without_spread(x):
    fitted = LeanVec(K).fit(x.astype(np.float32), D, 0, x.astype(np.float32))
    made = fitted.apply_query(np.eye(D, dtype=np.float32)), fitted.inverse(np.eye(K, dtype="f4"))
    assert all(np.isfinite(m).all() for m in made)
    assert np.allclose(x @ fitted.rows @ fitted.queries.T, x, atol=1e-4)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_scores_come_near_those_of_all_dimensions(metric):
    """Squared distances too, whose norms are those of whole rows and queries."""
    x, q = spectrum(5000, 7, power=2.0) + np.float32(0.2), spectrum(40, 7, power=2.0)
    exact, found = (vq.index_factory(s, metric=metric) for s in ("F32", "LeanVec12,F32"))
    for index in (exact, found):
        index.add(x)
    assert found.is_fitted
    by_id = []
    for index in (exact, found):
        result = index.search(q, k=len(x))
        scores = np.empty(result.scores.shape)
        np.put_along_axis(scores, result.ids, result.scores, axis=1)
        by_id.append(scores)
    error = np.sqrt(((by_id[0] - by_id[1]) ** 2).mean()) / by_id[0].std()
    assert error < 0.05
    assert np.abs((by_id[0] - by_id[1]).mean()) < 0.01 * by_id[0].std()


def test_reconstructions_are_least_squares():
    x = spectrum(6000, 8, power=2.0)
    index = vq.index_factory("LeanVec12,F32", metric="ip")
    ids = index.add(x)
    error = ((index.reconstruct(ids) - x) ** 2).sum()
    values = np.linalg.eigvalsh(moment(x))[::-1]
    assert error / (x.astype(np.float64) ** 2).sum() < 1.05 * values[12:].sum() / values.sum()


def test_queries_are_part_of_a_fit():
    """As the metric has them: unit vectors under cosine, less the centre under l2."""
    x, q = spectrum(300, 9) + np.float32(0.3), spectrum(60, 10)
    for metric in ("l2", "ip", "cosine"):
        plain, known = (vq.index_factory("LeanVec8,EDEN4", metric=metric) for _ in range(2))
        plain.fit(x)
        known.fit(x, queries=q.astype(np.float64))
        rows, asked = x, q
        if metric == "cosine":
            rows, asked = (v / np.linalg.norm(v, axis=1)[:, None] for v in (x, q))
        center = rows.mean(axis=0)
        want = LeanVec(8).fit(rows - center, D, 0, asked - center if metric == "l2" else asked)
        found = known._rows.codec.transform
        assert np.allclose(found.rows @ found.queries.T, want.rows @ want.queries.T, atol=1e-4)
        other = plain._rows.codec.transform
        assert not np.allclose(
            found.rows @ found.queries.T, other.rows @ other.queries.T, atol=0.01
        )


@pytest.mark.parametrize(
    ("queries", "error", "message"),
    [
        (np.zeros((3, D + 1)), ShapeError, rf"queries must have shape \(n, {D}\)"),
        (np.zeros((0, D)), ValueError, "got none in queries"),
        (np.full((2, D), np.nan), vq.NonFiniteError, "queries must be finite"),
        (np.zeros((2, D), complex), vq.DtypeError, "queries must be real"),
    ],
)
def test_queries_pass_the_gate(queries, error, message):
    index = vq.index_factory("LeanVec8,EDEN4")
    with pytest.raises(error, match=message):
        index.fit(spectrum(50, 0), queries)
    assert not index.is_fitted
    assert index.dim is None


def test_more_dimensions_than_there_are():
    with pytest.raises(ShapeError, match="LeanVec25 needs vectors of at least 25 dimensions"):
        vq.index_factory("LeanVec25,EDEN4").fit(spectrum(50, 0))


def test_specs():
    for spec, dims in (("LeanVec", 12), ("LeanVec7", 7), ("LeanVec7(rotate=no)", 7)):
        index = vq.index_factory(f"{spec},EDEN4")
        assert index.spec == f"{spec},EDEN4"
        assert LeanVec(dims).fit(spectrum(50, 0), D, 0).dim_out == dims
    assert LeanVec().fit(spectrum(50, 0)[:, :7].copy(), 7, 0).dim_out == 4
    for wrong in (0, -1, 2.5, (2, 4), True):
        with pytest.raises(SpecError, match="at least one dimension"):
            LeanVec(wrong)
    with pytest.raises(SpecError, match="rotate must be yes or no"):
        LeanVec.from_spec("LeanVec", 4, {"rotate": "Haar"})


def test_hostile_arrays():
    arrays = LeanVec(K).fit(spectrum(50, 0), D, 0).arrays()
    for name in arrays:
        for wrong in (arrays[name][:, :-1], arrays[name][:-1], arrays[name].T.copy()):
            with pytest.raises(CorruptFileError, match="of one shape"):
                LeanVec(K).restore(arrays | {name: wrong}, D)
    with pytest.raises(CorruptFileError, match="of one shape"):
        LeanVec(K + 1).restore(arrays, D)
