"""Transforms of one vector, told as records, beside the transforms."""

import numpy as np
import pytest

from vqindex.factory import parse
from vqindex.kernels.cpu import hadamard, simd
from vqindex.kernels.cpu.compile import kernel
from vqindex.kernels.cpu.step import take
from vqindex.memory import address, aligned_zeros


@kernel
def take_step(step, x, out, scratch):
    take(step, simd.address_of(x), x.size, simd.address_of(out), scratch)


@pytest.mark.parametrize("d", [1, 2, 3, 12, 15, 16, 17, 48, 64, 100, 384, 640])
@pytest.mark.parametrize("name", ["None", "Hadamard", "Hadamard(rounds=3)", "Haar", "PCA"])
def test_a_step_gives_the_bits_of_the_transform(name, d):
    rng = np.random.default_rng(d)
    sample = rng.standard_normal((2 * d + 2, d), np.float32)
    fitted = parse(f"{name},F32", "ip", 0).transform.fit(sample, d, 1)
    x = rng.standard_normal((3, d), np.float32)
    scratch = aligned_zeros((hadamard.scratch_floats(1, d),), np.float32)
    for i, want in enumerate(fitted.apply_query(x)):
        out = np.full(d + 16, np.nan, np.float32)
        take_step(fitted.step, x[i], out, address(scratch))
        np.testing.assert_array_equal(out[:d], want)
        assert np.isnan(out[d:]).all()


@pytest.mark.parametrize("name", ["Hadamard(block=16)", "LeanVec16"])
def test_transforms_of_several_steps_have_none(name):
    rng = np.random.default_rng(0)
    sample = rng.standard_normal((200, 32), np.float32)
    assert parse(f"{name},F32", "ip", 0).transform.fit(sample, 32, 1, sample).step is None
