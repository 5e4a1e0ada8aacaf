"""How far scores are from the truth, over many rotations."""

import functools
import math

import numpy as np
import pytest

from tests.test_codec import about, metrics, normal, scored, truth
from vqindex.factory import parse
from vqindex.quantizers.levels import scalar_levels

DIM, RHO = 768, 0.5
D = {bits: scalar_levels(bits, DIM).distortion for bits in (1, 2, 3, 4)}


@functools.cache
def estimates(spec, seeds, pairs):
    """Scores of unit vectors of inner product RHO, less it: (seeds * pairs,); each seed has other
    rotations. All vectors of a seed but each pair's are at right angles. And the mean of gamma^2.
    """
    base = np.linalg.qr(normal(DIM, 2 * pairs).astype(np.float64))[0].T
    x = base[:pairs].astype(np.float32)
    q = (RHO * base[:pairs] + math.sqrt(1 - RHO**2) * base[pairs:]).astype(np.float32)
    errors, steps = [], []
    for seed in range(seeds):
        codec = parse(spec, "ip", seed).fit(None, DIM)
        for i in range(0, pairs, 64):
            scores, _, operands = scored(codec, x[i : i + 64], q[i : i + 64])
            errors.append(np.diag(scores).astype(np.float64) - RHO)
            steps.append(operands.gamma[0, :64].astype(np.float64) ** 2)
    return np.concatenate(errors), np.mean(steps)


def check_figures(errors, bias, variance=None):
    """Bias, and variance * d, to 4 standard errors: a few percent."""
    assert abs(errors.mean() - bias) <= 4 * errors.std() / errors.size**0.5
    squares = (errors - errors.mean()) ** 2 * DIM
    error = 4 * squares.std() / squares.size**0.5
    assert error < 0.12 * squares.mean()
    assert variance is None or abs(squares.mean() - variance) <= error


many = pytest.mark.parametrize("more", [1, pytest.param(25, marks=pytest.mark.slow)])


@many
@pytest.mark.parametrize(("bits", "variance"), [(1, 0.428), (2, 0.0998), (3, 0.0268), (4, 0.0072)])
def test_eden_is_unbiased(bits, variance, more):
    """Of variance (1 - rho^2) D / (1 - D) / (d - 1), and what rounding the query adds."""
    errors, step = estimates(f"EDEN{bits}(center=no)", 50 * more, 128)
    theory = (1 - RHO**2) * D[bits] / (1 - D[bits]) * DIM / (DIM - 1)
    assert abs(theory / variance - 1) < 0.01  # as printed
    check_figures(errors, 0, theory + DIM * step / 12 / (1 - D[bits]))
    assert abs(errors.mean()) < 0.001


@many
@pytest.mark.parametrize(("bits", "bias"), [(1, -0.1816), (2, -0.0588), (3, -0.0175), (4, -0.0047)])
def test_turboquant_is_biased(bits, bias, more):
    """By -rho D."""
    assert abs(-RHO * D[bits] / bias - 1) < 0.02  # as printed
    check_figures(estimates(f"TQ{bits}", 50 * more, 128)[0], -RHO * D[bits])


@many
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_turboquant_prod_is_unbiased(bits, more):
    """pi/2 |e|^2 - <q, e>^2 over d, where |e|^2 is D and <q, e> is rho D: 1.32 .537 .181 .0539.

    <q, e> varies as well, by 1 / d of that at most. One bit is a plain QJL of d bits.
    """
    spec = (f"TQ{bits - 1}+" if bits > 1 else "") + "QJL(projection=gaussian)"
    residual = D[bits - 1] if bits > 1 else 1
    variance = math.pi / 2 * residual - (RHO * residual) ** 2
    check_figures(estimates(spec, 12 * more, 256)[0], 0, variance)


@many
def test_an_orthogonal_projection_errs_less(more):
    """As the fixed scale that is unbiased: 1 / c^2 - <x, x^>^2 across x, Var <x, x^> along it."""
    c2 = parse("QJL", "ip", 0).quantizer.fit(None, DIM, 0).mean_magnitude ** 2
    square = (1 + (DIM - 1) * 2 / math.pi) / DIM / c2  # E <x, x^>^2
    across = (1 - RHO**2) * DIM / (DIM - 1) * (1 / c2 - square)
    variance = RHO**2 * DIM * (square - 1) + across
    assert abs(variance - 0.45) < 0.01
    check_figures(estimates("QJL", 50 * more, 128)[0], 0, variance)


@metrics
@pytest.mark.parametrize("spec", ["Haar,EDEN2", "Haar,EDEN1(center=no)", "Haar,TQ2+QJL", "QJL90"])
def test_unbiased_whatever_the_metric(spec, metric):
    """The mean over 300 rotations, to 5 standard errors of each of 24 pairs."""
    x, q = about(8, 64)
    q = q[:3]
    found = np.array([scored(parse(spec, metric, s).fit(x, 64), x, q)[0] for s in range(300)])
    error = found.std(axis=0) / 300**0.5
    assert (np.abs(found.mean(axis=0) - truth(metric, x, q)) <= 5 * error).all()
