"""Coding by words of a codebook against the reference: integers equal, gains bit for bit."""

import numpy as np
import pytest

from vqindex.kernels.cpu import codewords
from vqindex.kernels.reference import codebook as reference
from vqindex.kernels.reference import decoded

U = 2.0**-24


@pytest.mark.parametrize("stride", [1, 3, 4, 7, 8, 13, 16])
@pytest.mark.parametrize("count", [1, 2, 37])
def test_pack_is_the_stream(count, stride):
    codes = np.random.default_rng(count).integers(0, 1 << 16, (6, count)).astype(np.uint16)
    want = np.packbits(reference.stream(codes, stride), axis=1, bitorder="little")
    rows = np.zeros((6, want.shape[1] + 2), np.uint8)
    codewords.pack(codes, stride, rows)
    assert (rows == np.pad(want, ((0, 0), (0, 2)))).all()


@pytest.mark.parametrize("dims", [1, 2, 63, 64, 65, 383, 700])
@pytest.mark.parametrize("group", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [2, 17, 125])
def test_nearest(group, dims, count):
    """The same words and gains as the reference, the lowest of equal ones."""
    rng = np.random.default_rng([group, dims])
    words = rng.integers(-3, 4, (count, group)).astype(np.float32) + np.float32(0.5)
    offsets = (words * words).sum(axis=1) * np.float32(-0.5)
    values = rng.standard_normal((7, dims)).astype(np.float32)
    values[:3] = rng.integers(-3, 4, (3, dims))  # on borders between words
    factors = np.float32([1, 0.5, 2, 0, 1.7, 1e-3, 30])
    size = -(-dims // group)
    codes = np.full((7, size), 9999, np.uint16)
    gains = np.full((7, size), np.nan, np.float32)
    codewords.nearest(values, factors, words, offsets, codes, gains)
    z = np.pad(values * factors[:, None], ((0, 0), (0, size * group - dims)))
    want, gained = reference.nearest(z, words, offsets)
    assert (codes == want).all()
    assert (gains == gained).all()
    groups = z.reshape(7, size, group).astype(np.float64)
    off = ((groups[:, :, None] - words) ** 2).sum(axis=-1)
    chosen = np.take_along_axis(off, want[:, :, None], axis=2)[..., 0]
    scale = (np.abs(groups).max(axis=2) + 4) ** 2 * group
    assert (chosen <= off.min(axis=2) + 4 * (group + 1) * U * scale).all()


@pytest.mark.parametrize("dims", [1, 15, 16, 17, 65, 384])
def test_sums_are_within_rounding(dims):
    rng = np.random.default_rng(dims)
    values = rng.standard_normal((9, dims)).astype(np.float32)
    levels = rng.integers(-128, 128, (9, dims + 5), np.int8)
    out = np.full((9, 2), np.nan, np.float32)
    codewords.sums(values, levels, out)
    u = levels[:, :dims] + np.float32(0.5)
    for found, x in zip(out.T, (values, u), strict=True):
        # In the fixed order of float dots, with zeros in the lanes beyond the last entry.
        want = [decoded.dot(a[None], b[None])[0, 0] for a, b in zip(x, u, strict=True)]
        assert found.tobytes() == np.float32(want).tobytes()
