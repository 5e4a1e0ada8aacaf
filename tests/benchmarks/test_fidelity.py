import numpy as np
import pytest

from benchmarks import fidelity
from benchmarks.fidelity import Figure, Sizes
from vqindex import index_factory

SIZES = Sizes(dim=256, sample=2048, rows=256, seeds=12, queries=16, pairs=16, rho=0.5)
EPSILON = 2.0**-24


def rows(n=40, d=48, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d), np.float32)


def test_a_figure_is_a_mean_and_its_standard_error():
    assert Figure.of([1.0, 3.0]) == Figure(2.0, 1.0)
    assert Figure.of(np.full(9, 0.25)) == Figure(0.25, 0.0)


def test_errors_are_relative_and_of_each_row():
    x = np.array([[3, 4], [0, 2]], np.float32)
    back = np.array([[0, 4], [0, 2]], np.float32)
    assert fidelity.errors(x, back).tolist() == [9 / 25, 0]


@pytest.mark.parametrize(
    ("spec", "codes", "factors"),
    [
        ("F16", 16, 0),
        ("EDEN1", 1, 32),
        ("EDEN4", 4, 48),
        ("TQprod4", 4, 48 + 32),  # a scale of the sketch beside the row's
    ],
)
def test_bits_are_those_of_a_row_without_its_id(spec, codes, factors):
    index = index_factory(spec, metric="ip")
    index.add(rows(1024, 64))
    assert fidelity.bits(index, 64) == (codes + factors / 64, codes)


def test_a_perfect_code():
    found = fidelity.coded("F32", SIZES) | fidelity.scored("F32", SIZES)
    assert (found["bits"], found["error"], found["fixed"]) == (32, 0, 0)
    assert abs(found["bias"]) <= 256 * EPSILON
    assert found["variance"] <= 256 * (256 * EPSILON) ** 2
    assert found["rows_per_s"] > 0


def test_a_code_is_fitted_to_other_rows_than_it_is_measured_on(monkeypatch):
    from vqindex import FlatIndex

    seen = {"fit": [], "add": []}
    for name, calls in seen.items():
        real = getattr(FlatIndex, name)

        def spy(self, x, *rest, real=real, calls=calls, **named):
            calls.append(x)
            return real(self, x, *rest, **named)

        monkeypatch.setattr(FlatIndex, name, spy)
    fidelity.coded("EDEN2", SIZES)
    (sample,), (_, x) = seen["fit"], seen["add"]
    assert (sample.shape, x.shape) == ((2048, 256), (256, 256))
    assert not set(sample[:, 0]) & set(x[:, 0])


def test_all_scores_stand_in_the_order_of_rows():
    x, q = rows(), rows(9, seed=1)
    index = index_factory("F32", metric="ip")
    index.add(x)
    exact = q.astype(np.float64) @ x.T.astype(np.float64)
    bound = 48 * EPSILON * (np.abs(q) @ np.abs(x).T)
    assert (np.abs(fidelity.all_scores(index, q) - exact) <= bound).all()


def test_fixed_vectors_are_unit():
    norms = np.linalg.norm(fidelity.fixed_vectors(96), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=96 * EPSILON)


def test_pairs_are_unit_and_at_rho():
    queries, x = fidelity.pairs(0, SIZES)
    assert queries.shape == (16, 256)
    assert x.shape == (16, 16, 256)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=-1), 1, rtol=256 * EPSILON)
    np.testing.assert_allclose(np.linalg.norm(x, axis=-1), 1, rtol=256 * EPSILON)
    found = np.einsum("qrd,qd->qr", x.astype(np.float64), queries)
    np.testing.assert_allclose(found, 0.5, atol=4 * EPSILON)


def test_seeds_draw_other_vectors_and_rotations():
    found = np.array([fidelity.trial("EDEN1", SIZES, seed)[1] for seed in range(4)])
    assert np.unique(found).size > 0.99 * found.size
    unrotated = [fidelity.trial("F32", SIZES, seed)[1] for seed in range(2)]
    assert (unrotated[0] != unrotated[1]).any()


def test_no_seeds_no_scores():
    none = Sizes(dim=16, sample=16, rows=2, seeds=0, queries=0, pairs=0, rho=0.5)
    assert fidelity.scored("EDEN2", none) == {}
