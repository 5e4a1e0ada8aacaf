import numpy as np
import pytest

from benchmarks import distortion
from benchmarks.distortion import Figure, Sizes
from benchmarks.theory import THEORY
from vqindex import index_factory

SIZES = Sizes(gaussian=(64, 512), dim=256, rho=0.5, seeds=12, queries=16, rows=16)
EPSILON = 2.0**-24


def rows(n=40, d=48, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d), np.float32)


def test_a_figure_is_a_mean_and_its_standard_error():
    assert Figure.of([1.0, 3.0]) == Figure(2.0, 1.0)
    assert Figure.of(np.full(9, 0.25)) == Figure(0.25, 0.0)


def test_a_perfect_code_has_no_distortion():
    assert (distortion.distortions("F32", rows(), 0) == 0).all()


def test_distortion_is_relative_and_of_each_row():
    x = rows()
    assert (distortion.distortions("F16", x, 0) <= 2.0**-22).all()  # half a unit, squared
    small, large = x * np.float32(2**-6), x * np.float32(2**6)
    found = [distortion.distortions("TQ2", part, 0) for part in (small, large)]
    assert found[0].shape == (40,)
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_all_scores_stand_in_the_order_of_rows():
    x, q = rows(), rows(9, seed=1)
    index = index_factory("F32", metric="ip")
    index.add(x)
    exact = q.astype(np.float64) @ x.T.astype(np.float64)
    bound = 48 * EPSILON * (np.abs(q) @ np.abs(x).T)
    assert (np.abs(distortion.all_scores(index, q) - exact) <= bound).all()


def test_fixed_vectors_are_unit():
    norms = np.linalg.norm(distortion.fixed_vectors(96), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=96 * EPSILON)


def test_pairs_are_unit_and_at_rho():
    queries, x = distortion.pairs(np.random.default_rng(0), SIZES)
    assert queries.shape == (16, 256)
    assert x.shape == (16, 16, 256)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=-1), 1, rtol=256 * EPSILON)
    np.testing.assert_allclose(np.linalg.norm(x, axis=-1), 1, rtol=256 * EPSILON)
    found = np.einsum("qrd,qd->qr", x.astype(np.float64), queries)
    np.testing.assert_allclose(found, 0.5, atol=4 * EPSILON)


def test_a_perfect_code_has_no_bias_and_no_variance():
    bias, variance = distortion.bias("F32", SIZES), distortion.variance("F32", SIZES)
    assert abs(bias.value) <= 256 * EPSILON
    assert variance.value <= 256 * (256 * EPSILON) ** 2


def test_seeds_draw_other_vectors_and_rotations():
    found = distortion.errors("EDEN1(center=no)", SIZES)
    assert found.shape == (12, 256)
    assert np.unique(found).size > 0.99 * found.size
    unrotated = distortion.errors("F32", SIZES)
    assert (unrotated[0] != unrotated[1]).any()


@pytest.mark.parametrize(
    ("measure", "spec", "bits", "theory"),
    [
        ("gaussian", "None,TQ{b}", [1, 4], "distortion"),
        ("gaussian", "SQ{b}", [8], "range"),
        ("rotated", "Hadamard,TQ{b}", [2], "distortion"),
        ("bias", "EDEN{b}(center=no)", [1, 4], "zero"),
        ("bias", "TQ{b}", [1, 4], "shrinkage"),
        ("variance", "EDEN{b}(center=no)", [2], "eden"),
        ("variance", "TQ{less}+QJL(projection=gaussian)", [2], "gaussian sketch"),
        ("variance", "TQprod{b}", [2], "orthogonal sketch"),
    ],
)
def test_what_is_measured_is_what_theory_expects(measure, spec, bits, theory):
    series = {"figure": "", "measure": measure, "spec": spec, "bits": bits, "theory": theory}
    for row in distortion.rows_of(series | {"reported": []}, SIZES):
        # Theory leaves out terms of relative size O(1 / d).
        slack = 4 * row["error"] + 4 / SIZES.dim * abs(row["expected"])
        assert abs(row["ours"] - row["expected"]) < slack, row


def test_theory_tells_estimators_apart():
    biased = distortion.bias("TQ1", SIZES)
    assert biased.value < -0.1
    assert 4 * biased.error < 0.1


def test_every_case_can_be_measured():
    sizes, series = distortion.read_cases()
    assert sizes.dim == 768
    for each in series:
        assert each["measure"] in distortion.MEASURES
        assert each["theory"] in THEORY
        assert len(each["reported"]) in (0, len(each["bits"]))
        for bits in each["bits"]:
            index_factory(each["spec"].format(b=bits, less=bits - 1), metric="ip")


def test_report():
    series = {
        "figure": "distortion", "measure": "gaussian", "spec": "None,TQ{b}", "bits": [1],
        "theory": "distortion", "reported": [0.36338],
    }  # fmt: skip
    found = distortion.rows_of(series, SIZES)
    assert found[0]["ratio"] == found[0]["ours"] / 0.36338
    lines = distortion.report({"rows": found}).splitlines()
    assert lines[0].split()[:3] == ["figure", "index", "bits"]
    assert lines[2].split()[1] == "None,TQ1"
