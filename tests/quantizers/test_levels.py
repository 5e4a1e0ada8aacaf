import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vqindex.errors import SpecError
from vqindex.kernels.reference import scalar, score, sign
from vqindex.quantizers import levels as module
from vqindex.quantizers.levels import (
    levels_at,
    lloyd_max,
    nested_levels,
    scalar_levels,
    uniform_levels,
)

# EDEN's published constants: to 10 decimals for 1 to 4 bits, to 7 for 5 bits.
PUBLISHED = {
    1: [0.7978845608],
    2: [0.4527800399, 1.5104176087],
    3: [0.2450941631, 0.7560052490, 1.3439092614, 2.1519456699],
    4: [0.1283950167, 0.3880482345, 0.6567589958, 0.9423402689,
        1.2562309480, 1.6180460517, 2.0690167302, 2.7325888041],
    5: [0.0658896, 0.1980517, 0.3313781, 0.4666991, 0.6049332, 0.7471352, 0.8945644, 1.0487824,
        1.2118032, 1.3863389, 1.5762264, 1.7872312, 2.0287260, 2.3177364, 2.6911156, 3.2607263],
}  # fmt: skip
# Least distortion for N(0, 1) as published, and what the last printed digit is worth.
FREE = {
    1: (0.36338, 1e-5), 2: (0.11748, 1e-5), 3: (0.03455, 1e-5), 4: (0.009501, 1e-6),
    5: (0.002505, 1e-6), 6: (0.000645, 1e-6), 7: (1.64e-4, 1e-6),
}  # fmt: skip

DIMS = [None, 2, 3, 4, 5, 6, 9, 64, 128, 1025]
any_bits = st.integers(1, 8)
any_dim = st.none() | st.integers(1, 200) | st.integers(1, 10**6)


def cumulative(edges, dim):
    """P(|z| <= e) and E[|z|; |z| <= e] in closed form: erf, or the recursion for powers of cos."""
    if dim is None:
        below = np.array([math.erf(e / math.sqrt(2)) for e in edges])
        return below, -math.sqrt(2 / math.pi) * np.expm1(-edges * edges / 2)
    sine = np.minimum(edges / math.sqrt(dim), 1)
    cosine = np.sqrt(1 - sine * sine)
    even = dim % 2 == 0
    below, integral = (2 / math.pi * np.arcsin(sine), math.pi / 2) if even else (sine, 1.0)
    for k in range(2 if even else 3, dim - 1, 2):
        integral *= (k - 1) / k
        below = below + cosine ** (k - 1) * sine / (k * integral)
    return below, math.sqrt(dim) * (1 - cosine ** (dim - 1)) / ((dim - 1) * integral)


def cell_moments(thresholds, dim):
    edges = np.array([0, *thresholds, 40 if dim is None else math.sqrt(dim)], np.float64)
    below, first = cumulative(edges, dim)
    return np.diff(below), np.diff(first)


def squared_error(values, thresholds, dim):
    """E (z - level)**2, with E z**2 = 1."""
    mass, first = cell_moments(thresholds, dim)
    return 1 - 2 * values @ first + values**2 @ mass


def draw(dim, n, seed):
    """Independent coordinates: one of each of n random vectors."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(n)
    if dim is None:
        return z
    rest = rng.chisquare(dim - 1, n) if dim > 1 else 0
    return math.sqrt(dim) * z / np.sqrt(z * z + rest)


def decoded(codes, levels):
    return (scalar.levels_of(codes, levels.magnitudes) + 0.5) * levels.unit


@pytest.mark.parametrize("bits", PUBLISHED)
def test_lloyds_iteration_takes_the_published_levels_to_ours(bits):
    """Started there because, from 3 bits on, they were printed before they had settled."""
    found, _ = lloyd_max(bits)
    published = np.array(PUBLISHED[bits])
    np.testing.assert_allclose(found, published, rtol=0, atol=1e-8 if bits < 3 else 1e-5)
    for _ in range(2000):
        mass, first = cell_moments(0.5 * (published[1:] + published[:-1]), None)
        published = first / mass
    np.testing.assert_allclose(found, published, rtol=1e-10)


@pytest.mark.parametrize("bits", FREE)
def test_lloyd_max_reaches_the_published_distortion(bits):
    distortion, digit = FREE[bits]
    assert abs(squared_error(*lloyd_max(bits), None) - distortion) <= digit


def test_distortion_tends_to_the_high_rate_law():
    """Panter and Dite: sqrt(3) pi / 2 * 4**-bits, each further bit halving what it is off by."""
    law = math.sqrt(3) * math.pi / 2
    off = [1 - squared_error(*lloyd_max(bits), None) * 4**bits / law for bits in (6, 7, 8)]
    assert 0 < off[2] < 0.01
    assert off[0] / off[1] == pytest.approx(2, rel=0.05)
    assert off[1] / off[2] == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_levels_are_means_and_thresholds_midpoints(bits, dim):
    found, thresholds = lloyd_max(bits, dim)
    np.testing.assert_array_equal(thresholds, 0.5 * (found[1:] + found[:-1]))
    mass, first = cell_moments(thresholds, dim)
    # Differences of the closed forms are off by some roundings of 1, and a mean by that over mass.
    rounding = (8 if dim is None else 8 + dim) * 2.0**-52 * (1 + found) / mass
    assert (np.abs(found - first / mass) <= 1e-12 * found + rounding).all()


def test_three_dimensions_are_uniform():
    for bits in range(1, 9):
        found, _ = lloyd_max(bits, 3)
        want = math.sqrt(3) * (2 * np.arange(2 ** (bits - 1)) + 1) / 2**bits
        np.testing.assert_allclose(found, want, rtol=1e-12)
        assert scalar_levels(bits, 3).distortion == pytest.approx(4.0**-bits, rel=1e-9)


def test_one_bit_is_the_mean_magnitude():
    for dim in (2, 3, 4, 5, 7, 50):
        mean = math.sqrt(dim / math.pi) * math.exp(
            math.lgamma(dim / 2) - math.lgamma(dim / 2 + 0.5)
        )
        levels = scalar_levels(1, dim)
        assert levels.magnitudes.tolist() == [0]
        assert levels.values[0] == pytest.approx(mean, rel=1e-12)
        assert levels.distortion == pytest.approx(1 - mean**2, rel=1e-12)


@pytest.mark.parametrize("bits", range(1, 9))
def test_one_dimension_is_decoded_exactly(bits):
    levels = scalar_levels(bits, 1)
    z = np.array([[1.0, -1.0]])
    np.testing.assert_allclose(decoded(scalar.encode(z, levels.thresholds), levels), z, rtol=1e-15)
    assert levels.distortion < 1e-30


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_distortion_is_that_of_the_grid_levels(bits, dim):
    levels = scalar_levels(bits, dim)
    middles = 0.5 * (levels.values[1:] + levels.values[:-1])
    np.testing.assert_allclose(levels.thresholds, middles, rtol=2.0**-23)
    want = squared_error(levels.values, middles, dim)
    assert abs(levels.distortion - want) <= (8 if dim is None else 8 + dim) * 2.0**-50


@pytest.mark.parametrize("row", ["grid", "free"])
def test_distortions_are_as_documented(row):
    printed = re.search(rf"^ *{row} +(\..*)$", scalar_levels.__doc__, re.M).group(1).split()
    assert len(printed) == 8
    for bits, text in enumerate(printed, start=1):
        free = squared_error(*lloyd_max(bits), None)
        found = scalar_levels(bits).distortion if row == "grid" else free
        assert abs(found - float(text)) <= 0.5001 * 10.0 ** (1 - len(text))


@pytest.mark.parametrize(("bits", "worst"), [(1, 1e-9), (2, 1e-5), (3, 3e-4), (4, 2e-3), (5, 1e-2)])
@pytest.mark.parametrize("dim", [*DIMS, 384, 768, 1536])
def test_grid_costs_next_to_nothing_up_to_five_bits(bits, worst, dim):
    free = squared_error(*lloyd_max(bits, dim), dim)
    assert scalar_levels(bits, dim).distortion <= free * (1 + worst)


def test_distortion_at_128_dimensions():
    """The figures of the TurboQuant law, to their four decimals."""
    for bits, distortion in enumerate([0.3609, 0.1160, 0.0340, 0.0093], start=1):
        assert abs(scalar_levels(bits, 128).distortion - distortion) <= 5e-5


@given(bits=any_bits, dim=any_dim)
@example(bits=8, dim=1)
@example(bits=8, dim=2)
@settings(max_examples=40, deadline=None)
def test_every_dimension_and_width_has_valid_levels(bits, dim):
    levels = scalar_levels(bits, dim)
    assert levels.magnitudes.dtype == np.int8
    assert levels.magnitudes.shape == (2 ** (bits - 1),)
    assert levels.magnitudes[0] >= 0
    assert (np.diff(levels.magnitudes.astype(int)) > 0).all()
    assert levels.thresholds.dtype == np.float32
    assert (levels.values[:-1] < levels.thresholds).all()
    assert (levels.thresholds < levels.values[1:]).all()
    assert 0 <= levels.distortion < 1
    for narrower in range(1, bits):
        nested = nested_levels(levels, narrower)
        assert (np.diff(nested.magnitudes.astype(int)) > 0).all()
        assert nested.distortion >= levels.distortion * (1 - 1e-9)


@pytest.mark.parametrize("dim", [None, 1, 2, 5, 128])
@pytest.mark.parametrize("bits", range(1, 9))
def test_distortion_is_what_samples_show(bits, dim):
    levels = scalar_levels(bits, dim)
    z = draw(dim, 100_000, seed=bits)
    errors = (z - decoded(scalar.encode(z, levels.thresholds), levels)) ** 2
    # The law's own fourth moment, since samples of it rarely hold the tail that makes it large.
    nodes, weight = module._nodes(2.0**53 if dim is None else dim, levels.thresholds)
    fourth = (weight * (nodes - levels.values[:, None]) ** 4).sum() / weight.sum()
    bound = 5 * math.sqrt((fourth - levels.distortion**2) / z.size)
    assert abs(errors.mean() - levels.distortion) <= bound + 1e-30


@pytest.mark.parametrize("bits", range(5, 9))
def test_no_other_unit_is_better(bits):
    levels = scalar_levels(bits, 128)
    for factor in (0.999, 1.001):
        values = levels.values * factor
        middles = 0.5 * (values[1:] + values[:-1])
        assert squared_error(values, middles, 128) > levels.distortion


@pytest.mark.parametrize("unit", [0.013, 0.03, 0.05])
def test_best_magnitudes_are_the_best_of_all_triples(unit):
    below, first = cumulative(np.arange(256) * unit / 2, None)
    put = np.arange(256) * unit / 2 * below - first
    t = np.arange(128)
    a, b, c = t[:, None, None], t[:, None], t
    top = (c + 0.5) * unit
    saved = (b - a) * put[a + b + 1] + (c - b) * put[b + c + 1]
    error = 1 - 2 * top * math.sqrt(2 / math.pi) + top**2 - 2 * unit * saved
    best = np.where((a < b) & (b < c), error, np.inf).argmin()
    found = module._law_magnitudes(2.0**53, 3, unit)
    assert found.tolist() == list(np.unravel_index(best, error.shape))


def test_prefixes_of_four_bits():
    """The cost of merging Lloyd-Max cells; the grid moves the figures by less than a thousandth."""
    levels = scalar_levels(4)
    for bits, distortion in {1: 0.36338, 2: 0.12026, 3: 0.03485}.items():
        assert nested_levels(levels, bits).distortion == pytest.approx(distortion, rel=1e-3)
    assert nested_levels(levels, 4) is levels


@given(bits=any_bits, narrower=any_bits, dim=any_dim, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_prefix_of_a_code_is_the_code_of_fewer_bits(bits, narrower, dim, seed):
    bits, narrower = max(bits, narrower), min(bits, narrower)
    levels = scalar_levels(bits, dim)
    nested = nested_levels(levels, narrower)
    z = np.append(draw(dim, 200, seed).astype(np.float32), levels.thresholds)
    codes = scalar.encode(z, levels.thresholds)
    np.testing.assert_array_equal(
        scalar.encode(z, nested.thresholds), codes >> np.uint8(bits - narrower)
    )


@pytest.mark.parametrize("dim", [None, 2, 5, 128])
@pytest.mark.parametrize(("bits", "narrower"), [(2, 1), (4, 2), (6, 4), (8, 1), (8, 7)])
def test_nested_levels_are_means_of_merged_cells_but_for_rounding(bits, narrower, dim):
    nested = nested_levels(scalar_levels(bits, dim), narrower)
    mass, first = cell_moments(nested.thresholds, dim)
    means = first / mass
    least = 1 - means @ first
    assert least - 1e-12 <= nested.distortion <= least + 0.25 * nested.unit**2


@pytest.mark.parametrize("dim", [None, 64, 768])
@pytest.mark.parametrize("bits", range(1, 8))
def test_levels_on_the_grid_of_a_bit_more(bits, dim):
    """Ascending, and worse than those on the best grid by what rounding them can add at most."""
    finer, own = scalar_levels(bits + 1, dim), scalar_levels(bits, dim)
    levels = levels_at(bits, dim, finer.unit)
    assert levels.unit == finer.unit
    assert (np.diff(levels.magnitudes.astype(int)) > 0).all()
    assert levels.magnitudes[0] >= 0
    assert np.allclose(levels.thresholds, (levels.values[1:] + levels.values[:-1]) / 2, rtol=1e-6)
    least = own.distortion
    assert least * (1 - 1e-9) <= levels.distortion <= least + finer.unit**2 / 4
    if bits <= 4:
        assert levels.distortion < 1.01 * least


@pytest.mark.parametrize(("bits", "dim"), [(0, None), (9, 8), (4, 0), (4, -1)])
def test_what_is_out_of_range_is_said(bits, dim):
    for function in (lloyd_max, scalar_levels):
        with pytest.raises(SpecError, match=r"got (0|9|-1)"):
            function(bits, dim)


@pytest.mark.parametrize("bits", [0, 5])
def test_a_prefix_is_no_longer_than_its_code(bits):
    with pytest.raises(SpecError, match=f"got {bits}"):
        nested_levels(scalar_levels(4), bits)


def test_shared_arrays_are_read_only():
    levels = scalar_levels(4, 96)
    assert scalar_levels(4, 96) is levels
    for array in (levels.magnitudes, levels.thresholds, *lloyd_max(4, 96)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_codes_are_symmetric():
    levels = scalar_levels(4)
    z = draw(None, 1000, seed=0)
    codes = scalar.encode(z, levels.thresholds)
    np.testing.assert_array_equal(scalar.encode(-z, levels.thresholds), codes ^ 8)
    np.testing.assert_array_equal(decoded(codes ^ 8, levels), -decoded(codes, levels))


def test_zeros_are_positive_and_thresholds_round_towards_zero():
    levels = scalar_levels(3)
    z = np.array([0.0, -0.0, *levels.thresholds, *-levels.thresholds], np.float32)
    assert scalar.encode(z, levels.thresholds).tolist() == [0, 0, 0, 1, 2, 4, 5, 6]


@given(bits=any_bits, d=st.integers(1, 150), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_raw_and_half_are_the_sum_of_level_times_query(bits, d, seed):
    rng = np.random.default_rng(seed)
    magnitudes = scalar_levels(bits).magnitudes
    codes = rng.integers(0, 2**bits, (5, d), np.uint8)
    query = rng.integers(-128, 128, (3, d), np.int8)
    table = np.append(2 * magnitudes.astype(int) + 1, -(2 * magnitudes.astype(int) + 1))
    doubled = 2 * scalar.raw(codes, magnitudes, query) + (2 * scalar.half(query)).astype(int)
    np.testing.assert_array_equal(doubled, table[codes] @ query.T.astype(int))


def test_score_rounds_every_step_in_order():
    rng = np.random.default_rng(0)
    n, nq, segments = 20, 10, 3
    raw = rng.integers(-(2**30), 2**30, (segments, n, nq))
    half = (1e9 * rng.standard_normal((segments, nq))).astype(np.float32)
    gamma = rng.standard_normal((segments, nq)).astype(np.float32)
    scale = rng.standard_normal((segments, n)).astype(np.float32)
    bias = (1e9 * rng.standard_normal(n)).astype(np.float32)
    parts = [score.part(*each) for each in zip(raw, half, gamma, strict=True)]
    found = score.score(parts, list(scale), bias)
    assert found.dtype == np.float32
    for i in range(n):
        for s in range(nq):
            total = np.float32(0)
            for g in range(segments):
                total += (np.float32(raw[g, i, s]) + half[g, s]) * gamma[g, s] * scale[g, i]
            assert found[i, s] == total + bias[i]


@given(m=st.integers(0, 200), seed=st.integers(0, 2**32 - 1))
@example(m=63, seed=0)
@example(m=64, seed=0)
@example(m=65, seed=0)
@settings(max_examples=30, deadline=None)
def test_one_bit_codes_are_signs(m, seed):
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (5, m)).astype(bool)
    query = rng.integers(-128, 128, (3, m), np.int8)
    codes = scalar.raw(signs.astype(np.uint8), np.zeros(1, np.int8), query)
    twice = 2 * codes + (2 * scalar.half(query)).astype(int)
    np.testing.assert_array_equal(twice, sign.raw(signs, query))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_uniform_levels_are_the_best_evenly_spaced(bits, dim):
    levels = uniform_levels(bits, dim)
    k = np.arange(2 ** (bits - 1))
    assert levels.magnitudes.tolist() == k.tolist()

    def distortion(unit):
        return squared_error((k + 0.5) * unit, k[1:] * unit, dim)

    rounding = (8 if dim is None else 8 + dim) * 2.0**-50
    assert abs(distortion(levels.unit) - levels.distortion) <= rounding
    others = [distortion(levels.unit * factor) for factor in np.geomspace(0.5, 2, 101)]
    assert min(others) >= levels.distortion - rounding
    assert levels.distortion >= lloyd_distortion(bits, dim) - rounding
    np.testing.assert_array_equal(levels.thresholds, np.float32(k[1:] * levels.unit))


def lloyd_distortion(bits, dim):
    free, thresholds = lloyd_max(bits, dim)
    return squared_error(free, thresholds, dim)


def test_uniform_distortions_as_printed():
    printed = re.findall(r"\.0*[0-9]{6}", uniform_levels.__doc__)
    assert [f"{uniform_levels(bits).distortion:.6g}" for bits in range(1, 9)] == [
        f"{float(figure):.6g}" for figure in printed
    ]
