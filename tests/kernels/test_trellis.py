"""Paths through a trellis, against the reference."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqindex.kernels.cpu import trellis
from vqindex.kernels.reference import trellis as reference


def encoded(values, factors, words, stride, steps):
    codes = np.full((len(values), steps), 0xFFFF, np.uint16)
    trellis.encode(values, factors, np.ascontiguousarray(words.T), stride, codes)
    return codes


def steps_of(dims, window, stride):
    return max(-(-dims // 2), -(-window // stride))


def padded(values, factors, steps):
    z = values * factors[:, None]
    return np.pad(z, ((0, 0), (0, 2 * steps - values.shape[1])))


def check(dims, window, stride, rng, few):
    words = rng.standard_normal((1 << window, 2)).astype(np.float32)
    values = rng.standard_normal((3, dims)).astype(np.float32)
    if few:  # so that paths tie
        words, values = np.rint(words), np.rint(values)
    factors = np.float32([1, 0.5, 0])
    steps = steps_of(dims, window, stride)
    codes = encoded(values, factors, words, stride, steps)
    want = reference.encode(padded(values, factors, steps), words, stride, trellis.MARGIN)
    assert (codes == want).all()
    # What a code shares with the next, and the last with the first.
    shared = np.roll(codes, -1, axis=1) & ((1 << window - stride) - 1)
    assert (codes >> stride == shared).all()


@pytest.mark.parametrize("stride", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("dims", [1, 2, 3, 24, 65, 2 * trellis.MARGIN + 1, 300])
def test_codes_equal_the_reference(dims, stride):
    rng = np.random.default_rng([dims, stride])
    check(dims, max(stride + 4, 8), stride, rng, few=False)


@given(
    window=st.integers(6, 9), stride=st.integers(2, 5), dims=st.integers(1, 90),
    seed=st.integers(0, 99), few=st.booleans(),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_any_trellis(window, stride, dims, seed, few):
    check(dims, max(window, stride + 4), stride, np.random.default_rng(seed), few)


def test_the_best_of_all_streams_is_found():
    """Of one that shares what the ends do, among every stream of 12 bits."""
    rng = np.random.default_rng(0)
    words = rng.standard_normal((64, 2)).astype(np.float32)
    found = best = 0.0
    for _ in range(20):
        z = rng.standard_normal((1, 12)).astype(np.float32)
        codes = encoded(z, np.ones(1, np.float32), words, 2, 6)[0]
        streams = np.array(list(itertools.product((0, 1), repeat=12)))
        at = (2 * np.arange(6)[:, None] + np.arange(6)) % 12
        every = streams[:, at] @ (1 << np.arange(6))
        costs = ((words[every].reshape(-1, 12) - z) ** 2).sum(axis=1)
        same = (every >> 2)[:, 5] == codes[5] >> 2
        own = ((words[codes].reshape(12) - z) ** 2).sum()
        assert own <= costs[same].min() * (1 + 1e-5)
        found, best = found + own, best + costs.min()
    assert found <= 1.3 * best


def test_no_rows():
    words = np.zeros((64, 2), np.float32)
    codes = encoded(np.empty((0, 7), np.float32), np.empty(0, np.float32), words, 2, 4)
    assert codes.shape == (0, 4)
