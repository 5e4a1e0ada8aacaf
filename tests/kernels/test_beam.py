"""Beam search against the reference, and sums of words."""

import numpy as np
import pytest

from vqindex.kernels.cpu import beam
from vqindex.kernels.reference import beam as reference


def searched(rows, words, width):
    """Codes by the kernel, stage by stage, everything it writes to poisoned before."""
    stages, size, d = words.shape
    flat = words.reshape(-1, d)
    gram, products = flat @ flat.T, rows @ flat.T
    halves = (flat**2).sum(axis=1) / np.float32(2)
    codes = np.full((len(rows), width, stages), 255, np.uint8)
    scores = np.full((len(rows), width), np.nan, np.float32)
    kept, scores[:, 0] = 1, 0
    for stage in range(stages):
        before = kept
        kept = beam.extend(products, size * stage, gram, halves, stage, kept, codes, scores)
        assert kept == min(width, before * size)
        assert (codes[:, :kept, stage + 1 :] == 255).all()
        assert (np.diff(scores[:, :kept], axis=1) >= 0).all()
        assert kept == width or np.isnan(scores[:, kept:]).all()
    return codes, scores, halves, gram, products


@pytest.mark.parametrize(
    ("stages", "size", "width"), [(1, 16, 1), (1, 16, 5), (2, 16, 20), (6, 16, 3), (3, 256, 7)]
)
def test_codes_equal_the_reference(stages, size, width):
    """Of small whole numbers, so that every sum is exact and many are equal."""
    rng = np.random.default_rng(stages * width)
    for n in (0, 1, 40):
        rows = rng.integers(-9, 10, (n, 5)).astype(np.float32)
        words = rng.integers(-4, 5, (stages, size, 5)).astype(np.float32)
        codes, scores, *_ = searched(rows, words, width)
        want = reference.encode(rows, words, width)
        assert (codes[:, 0] == want).all()
        sums = words[np.arange(stages), want].sum(axis=1)
        distances = ((rows - sums) ** 2).sum(axis=1) / 2 - (rows**2).sum(axis=1) / 2
        assert (scores[:, 0] == distances).all()


def test_decode_adds_words_of_each_group():
    rng = np.random.default_rng(0)
    words = rng.integers(-99, 99, (2, 3 * 16, 4)).astype(np.float32)
    codes = rng.integers(0, 16, (9, 6), np.uint8)
    out = np.full((9, 7), np.nan, np.float32)
    beam.decode(codes, 16, np.array([0, 3, 7]), words, out)
    for group, (start, stop) in enumerate(((0, 3), (3, 7))):
        numbers = codes[:, 3 * group : 3 * group + 3] + np.array([0, 16, 32])
        want = words[group, numbers, : stop - start].sum(axis=1)
        assert (out[:, start:stop] == want).all()
