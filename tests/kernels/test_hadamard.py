"""Rotation kernels against the explicit matrix, and bit for bit against their order of sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.kernels.cpu import hadamard as cpu
from vqindex.kernels.reference import hadamard as reference

U = 2.0**-24  # unit roundoff of float32
ROWS = (0, 1, 2, 15, 16, 17, 33)


def floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


@st.composite
def cases(draw):
    """Rows, signs and mixes; the mixes need not be orthogonal, nor p odd."""
    width = 2 ** draw(st.integers(0, 7))
    p = draw(st.integers(1, 9 if width > 16 else 40))
    rounds = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = floats(rng, draw(st.sampled_from(ROWS)), width * p)
    signs = rng.choice(np.array([-1, 1], np.float32), (rounds, width * p))
    return x, signs, floats(rng, rounds, p, p)


def run(x, signs, mixes):
    out = np.full_like(x, np.nan)
    cpu.rotate(x, out, signs, cpu.pack(mixes, x.shape[1]))
    return out


def run_back(y, signs, mixes):
    out = np.full_like(y, np.nan)
    cpu.unrotate(y, out, signs, cpu.pack(mixes.transpose(0, 2, 1), y.shape[1]))
    return out


def rounding_bound(x, signs, mixes, matrices):
    """Each output sums log2(width) + p times after one product, in every round."""
    rounds, d = signs.shape
    p = mixes.shape[1]
    operations = rounds * ((d // p).bit_length() + p)
    magnitude = np.abs(x).astype(np.float64)
    for matrix in matrices:
        magnitude = magnitude @ np.abs(matrix).T
    return operations * U / (1 - operations * U) * magnitude


@settings(deadline=None)
@given(cases())
def test_rotate_is_the_matrix(case):
    x, signs, mixes = case
    rounds = [reference.round_matrix(s, m) for s, m in zip(signs, mixes, strict=True)]
    error = np.abs(run(x, signs, mixes) - reference.rotate(x, signs, mixes))
    assert (error <= rounding_bound(x, signs, mixes, rounds)).all()


@settings(deadline=None)
@given(cases())
def test_unrotate_is_the_transposed_matrix(case):
    y, signs, mixes = case
    backwards = [reference.round_matrix(s, m).T for s, m in zip(signs, mixes, strict=True)][::-1]
    error = np.abs(run_back(y, signs, mixes) - y @ reference.rotation(signs, mixes))
    assert (error <= rounding_bound(y, signs, mixes, backwards)).all()


def butterflies(x):
    """Walsh-Hadamard along axis 1, widest stride first, in float32."""
    half = x.shape[1] // 2
    while half:
        low_high = x.reshape(len(x), x.shape[1] // (2 * half), 2, half, x.shape[2])
        low, high = low_high[:, :, 0], low_high[:, :, 1]
        x = np.stack([low + high, low - high], axis=2).reshape(x.shape)
        half //= 2
    return x


def mixed(x, mix):
    """Products with `mix` along axis 2, added from first to last in float32."""
    total = np.zeros_like(x)
    for j in range(len(mix)):
        total = total + x[:, :, j, None] * mix[:, j]
    return total


@settings(deadline=None)
@given(cases())
def test_every_bit_follows_from_the_order_of_sums(case):
    """So nothing depends on vector width, batch or CPU: NumPy adds and multiplies in the open."""
    x, signs, mixes = case
    want, p = x, mixes.shape[1]
    width = x.shape[1] // p
    for s, mix in zip(signs, mixes, strict=True):
        cube = (want * s).reshape(len(x), width, p)
        wide = width >= cpu.LANES
        cube = mixed(butterflies(cube), mix) if wide else butterflies(mixed(cube, mix))
        want = cube.transpose(0, 2, 1).reshape(x.shape)
    assert run(x, signs, mixes).tobytes() == want.tobytes()


@pytest.mark.parametrize("n", ROWS)
@pytest.mark.parametrize(
    ("d", "p"), [(1, 1), (97, 97), (50, 25), (100, 25), (384, 12), (5000, 625)]
)
def test_rows_alone_equal_the_batch(n, d, p):
    rng = np.random.default_rng(n)
    x, mixes = floats(rng, n, d), floats(rng, 2, p, p)
    signs = rng.choice(np.array([-1, 1], np.float32), (2, d))
    before = x.copy()
    for function in (run, run_back):
        batch = function(x, signs, mixes)
        assert (x == before).all()
        for i in range(n):
            assert function(x[i : i + 1], signs, mixes).tobytes() == batch[i].tobytes()


@pytest.mark.parametrize("n", [*ROWS, 130])
@pytest.mark.parametrize(("inner", "width"), [(1, 1), (3, 70), (64, 32), (101, 33)])
def test_matmul(n, inner, width):
    rng = np.random.default_rng(inner)
    x, matrix = floats(rng, n, inner), floats(rng, 1, inner, width)
    out = np.full((n, width), np.nan, np.float32)
    cpu.matmul(x, cpu.pad(matrix), out)
    total = np.zeros_like(out)
    for j in range(inner):
        total = total + x[:, j, None] * matrix[0, j]
    assert out.tobytes() == total.tobytes()
    magnitude = np.abs(x).astype(np.float64) @ np.abs(matrix[0])
    assert (np.abs(out - x.astype(np.float64) @ matrix[0]) <= (inner + 1) * U * magnitude).all()


def test_each_kernel_is_compiled_once():
    x, one = np.zeros((2, 4), np.float32), np.ones((1, 1, 1), np.float32)
    run(x, x, np.repeat(one, 2, axis=0))
    run_back(x, x, np.repeat(one, 2, axis=0))
    cpu.matmul(x, cpu.pad(np.zeros((1, 4, 4), np.float32)), x.copy())
    for kernel in (cpu.rotate, cpu.unrotate, cpu.matmul):
        kinds = {
            tuple(getattr(part, "ndim", part) for part in signature)  # writable or not
            for signature in kernel.signatures
        }
        assert len(kinds) == 1


@pytest.mark.parametrize("order", [1, 2, 8])
def test_sylvester(order):
    h = reference.sylvester(order)
    parity = [[bin(i & j).count("1") % 2 for j in range(order)] for i in range(order)]
    assert (h == 1 - 2 * np.array(parity)).all()


def test_reference_is_its_formula():
    """M X.T H, row by row, and the rounds one after the other."""
    rng = np.random.default_rng(0)
    x, mixes = rng.standard_normal((3, 12)), rng.standard_normal((2, 3, 3))
    signs = rng.choice([-1.0, 1.0], (2, 12))
    for i, row in enumerate(x):
        y = row
        for s, m in zip(signs, mixes, strict=True):
            y = (m @ (s * y).reshape(4, 3).T @ reference.sylvester(4)).ravel()
        np.testing.assert_allclose(reference.rotate(x, signs, mixes)[i], y, rtol=0, atol=1e-12)
