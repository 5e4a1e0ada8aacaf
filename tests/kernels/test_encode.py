"""Encoding against the reference: codes exactly, sums within rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vqindex.kernels.cpu import encode
from vqindex.kernels.reference import decoded, scalar
from vqindex.layouts.scalar import ScalarCodes, Segment
from vqindex.quantizers.levels import scalar_levels

U = 2.0**-24  # half an ulp of float32
DIMS = [1, 7, 63, 64, 65, 127, 128, 129, 384]


def gamma(k):
    """Bound on the relative error of k float32 roundings in a row."""
    return k * U / (1 - k * U)


def segment_of(dims, bits):
    levels = scalar_levels(bits)
    return Segment(dims, tuple(levels.magnitudes.tolist())), levels.thresholds


def encoded(shape, values, factors):
    parts = [segment_of(dims, bits) for dims, bits in shape]
    layout = ScalarCodes(tuple(segment for segment, _ in parts))
    return layout, layout.encode(values, factors, [thresholds for _, thresholds in parts])


def codes_of(z, bits):
    return scalar.encode(z, scalar_levels(bits).thresholds)


def rows_of(n, dims, seed):
    """Values and factors such that magnitudes cover every cell, zeros of both signs included."""
    rng = np.random.default_rng(seed)
    values = (rng.standard_normal((n, dims)) * rng.lognormal(size=(n, 1))).astype(np.float32)
    values[rng.random((n, dims)) < 0.05] = 0.0
    values[rng.random((n, dims)) < 0.05] = -0.0
    return values, rng.lognormal(size=n).astype(np.float32)


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_equal_the_reference(bits, dims):
    values, factors = rows_of(20, dims, bits * dims)
    layout, (columns, _) = encoded([(dims, bits)], values, factors[:, None])
    codes = codes_of(values * factors[:, None], bits)
    want = layout.pack(codes)
    assert columns.keys() == want.keys()
    assert all((columns[name] == want[name]).all() for name in want)
    integers = scalar.levels_of(codes, scalar_levels(bits).magnitudes)
    assert (layout.levels(columns) == integers + 0.5).all()


@pytest.mark.parametrize("shape", [[(64, 8), (65, 5), (1, 1)], [(7, 4), (7, 2), (130, 2)]])
def test_segments_have_factors_and_thresholds_of_their_own(shape):
    dims = [dims for dims, _ in shape]
    values, factors = rows_of(11, sum(dims), 0)
    factors = factors[:, None] * np.float32([1, 3, 0.25])
    layout, (columns, sums) = encoded(shape, values, factors)
    parts = np.split(values, np.cumsum(dims)[:-1], axis=1)
    codes = [
        codes_of(part * factors[:, i : i + 1], bits)
        for i, (part, (_, bits)) in enumerate(zip(parts, shape, strict=True))
    ]
    want = layout.pack(np.concatenate(codes, axis=1))
    assert all((columns[name] == want[name]).all() for name in want)
    for i, (part, (dims, bits)) in enumerate(zip(parts, shape, strict=True)):
        own, (alone_columns, alone) = encoded([(dims, bits)], part.copy(), factors[:, i : i + 1])
        assert sums[:, i].tobytes() == alone[:, 0].tobytes()
        levels = np.split(layout.levels(columns), np.cumsum([d for d, _ in shape])[:-1], axis=1)
        assert (levels[i] == own.levels(alone_columns)).all()


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_sums_are_within_rounding(bits, dims):
    values, factors = rows_of(20, dims, bits + dims)
    layout, (columns, sums) = encoded([(dims, bits)], values, factors[:, None])
    x, u = values.astype(np.float64), layout.levels(columns).astype(np.float64)
    want = np.stack([(x * u).sum(1), (u * u).sum(1), np.abs(x).sum(1)], axis=1)
    # One rounding of a product, one addition for each of a lane's entries, four across lanes.
    bound = gamma(1 + 4 * -(-dims // 64) + 4) * want
    assert (np.abs(sums[:, 0] - want) <= bound).all()


@given(
    magnitudes=hnp.arrays(np.float32, 70, elements=st.floats(0, 16, width=32)),
    bits=st.integers(2, 8),
    data=st.data(),
)
@settings(max_examples=30, deadline=None)
def test_a_value_on_a_threshold_belongs_to_the_cell_nearer_zero(magnitudes, bits, data):
    thresholds = scalar_levels(bits).thresholds
    chosen = data.draw(st.lists(st.sampled_from(thresholds.tolist()), min_size=20, max_size=20))
    magnitudes[:20] = chosen
    magnitudes[20:40] = np.nextafter(np.float32(chosen), np.float32(np.inf))
    values = np.stack([magnitudes, -magnitudes])
    layout, (columns, _) = encoded([(70, bits)], values, np.ones((2, 1), np.float32))
    codes = layout.unpack(columns)
    assert (codes == codes_of(values, bits)).all()
    below = codes[0, :20] % 2 ** (bits - 1)
    assert (np.searchsorted(thresholds, magnitudes[:20]) == below).all()
    assert (codes[0, 20:40] > below).all()


def test_a_factor_of_zero_keeps_signs():
    values = np.float32([[1, -1, 0, -0.0, 1e-30, -1e-30]])
    layout, (columns, _) = encoded([(6, 3)], values, np.zeros((1, 1), np.float32))
    assert layout.unpack(columns).tolist() == [[0, 4, 0, 0, 0, 4]]
    first = scalar_levels(3).magnitudes[0] + 0.5
    assert layout.levels(columns).tolist() == [[first, -first, first, first, first, -first]]


def test_writes_its_own_words_and_no_others():
    values, factors = rows_of(5, 70, 3)
    levels = scalar_levels(3)
    plane, rest = np.full((5, 4), 7, np.uint64), np.full((5, 7), 7, np.uint64)
    sums = np.full((5, 3), np.nan, np.float32)
    offsets = np.array([0, 0, 3, 6, 6, 6, 6, 6, 6])
    encode.encode(
        values, 4, 65, factors, levels.thresholds.copy(), levels.magnitudes + np.float32(0.5),
        plane, rest, 1, offsets, sums,
    )  # fmt: skip
    layout = ScalarCodes((Segment(65, tuple(levels.magnitudes.tolist())),))
    want = layout.pack(codes_of(values[:, 4:69] * factors[:, None], 3))
    assert (plane == np.pad(want["plane"], ((0, 0), (1, 1)), constant_values=7)).all()
    assert (rest[:, [1, 2, 4, 5]] == want["rest"]).all()
    assert (rest[:, [0, 3, 6]] == 7).all()
    assert np.isfinite(sums).all()
    out = np.full((5, 70), np.nan, np.float32)
    magnitudes, scales = levels.magnitudes.astype(np.uint8), np.arange(5, dtype=np.float32)
    encode.levels(plane, rest, 1, offsets, magnitudes, scales, out, 4, 65)
    assert (out[:, 4:69] == layout.levels(want) * scales[:, None]).all()
    assert np.isnan(out[:, [0, 1, 2, 3, 69]]).all()


@pytest.mark.parametrize("bits", [1, 4])
def test_a_row_is_coded_alike_alone_and_among_others(bits):
    values, factors = rows_of(9, 100, bits)
    _, (together, sums) = encoded([(100, bits)], values, factors[:, None])
    for i in range(9):
        one = slice(i, i + 1)
        _, (alone, alone_sums) = encoded([(100, bits)], values[one], factors[one, None])
        assert all((alone[name] == together[name][one]).all() for name in alone)
        assert alone_sums.tobytes() == sums[one].tobytes()


@pytest.mark.parametrize("dims", DIMS)
def test_square_norms_in_the_fixed_order(dims):
    values = np.random.default_rng(dims).standard_normal((6, dims + 5)).astype(np.float32)
    out = np.full(6, np.nan, np.float32)
    encode.square_norms(values, 3, dims, out)
    x = values[:, 3 : 3 + dims]
    want = np.array([decoded.dot(row[None], row[None])[0, 0] for row in x])
    assert out.tobytes() == want.tobytes()


@pytest.mark.parametrize("dims", DIMS)
def test_inner_products_in_the_fixed_order(dims):
    x, y = np.random.default_rng(dims).standard_normal((2, 6, dims)).astype(np.float32)
    out = np.full(6, np.nan, np.float32)
    encode.inner_products(x, y, out)
    assert out.tobytes() == np.diag(decoded.dot(x, y)).tobytes()


def bits_of(array):
    return array.view(np.uint32).tolist()


@pytest.mark.parametrize("dims", DIMS)
def test_normalize_rounds_each_step(dims):
    rng = np.random.default_rng(dims)
    values, center = rng.standard_normal((2, 9, dims)).astype(np.float32)
    center, out, norms = center[0].copy(), np.full((9, dims), np.nan, np.float32), np.empty(9, "f4")
    encode.normalize(values, center, norms, out)
    squares = np.empty(9, np.float32)
    encode.square_norms(values, 0, dims, squares)
    assert bits_of(norms) == bits_of(np.sqrt(squares))
    assert bits_of(out) == bits_of(values / norms[:, None] - center)


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("power", [-149, -130, 0, 100])
def test_to_bytes_is_its_formula(dims, power):
    values = np.ldexp(np.random.default_rng(dims).standard_normal((9, dims)), power).astype("f4")
    values[0], values[1] = 0, -0.0
    values[2] = -np.abs(values[2]).max()
    out, scales = np.full((9, dims), 99, np.int8), np.full(9, np.nan, np.float32)
    encode.to_bytes(values, out, scales)
    scale = np.abs(values).max(axis=1) / np.float32(127.5)
    unit = np.where(scale > 0, scale, np.float32(1))[:, None]
    assert bits_of(scales) == bits_of(scale)
    assert (out == np.clip(np.floor(values / unit), -128, 127)).all()


def test_no_rows():
    layout, (columns, sums) = encoded(
        [(7, 3)], *map(np.float32, [np.ones((0, 7)), np.ones((0, 1))])
    )
    assert columns["plane"].shape == (0, 1)
    assert columns["rest"].shape == (0, 2)
    assert sums.shape == (0, 1, 3)
    assert layout.levels(columns).shape == (0, 7)


@pytest.mark.parametrize("dims", [1, 7, 384])
def test_dots_are_summed_in_float64(dims):
    rng = np.random.default_rng(dims)
    values, vector = (
        rng.standard_normal((9, dims), np.float32),
        rng.standard_normal(dims, np.float32),
    )
    out = np.full(10, np.nan, np.float32)
    encode.dots(values, vector.ctypes.data, out)
    pairs = [zip(row.tolist(), vector.tolist(), strict=True) for row in values]
    want = [np.float32(sum(a * b for a, b in pair)) for pair in pairs]
    assert out[:9].tolist() == want
    assert np.isnan(out[9])


def test_normalize_tells_of_norms_that_lose_digits():
    center, out = np.zeros(3, np.float32), np.empty((2, 3), np.float32)
    norms = np.empty(2, np.float32)
    for scale, odd in ((1, False), (1e-14, False), (1e-16, True), (1e16, True), (0, True)):
        values = np.float32([[1, 0, 0], [scale, 0, 0]])
        assert encode.normalize(values, center, norms, out) == odd
