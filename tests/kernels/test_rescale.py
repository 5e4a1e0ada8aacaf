"""The best multiple of a row against a sweep of all, in awkward rows and from any guess."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vqindex.kernels.cpu import rescale
from vqindex.kernels.reference import rescale as reference

DIMS = [1, 2, 3, 15, 16, 17, 63, 64, 65, 129]
BITS = [2, 3, 4, 6, 8]
U = 2.0**-24


def found(x, top, guess=None):
    """A multiple of each row; guesses put its root mean square in the middle of the levels."""
    if guess is None:
        norms = np.linalg.norm(x.astype(np.float64), axis=1)
        guess = top * x.shape[1] ** 0.5 / 3 / np.where(norms > 0, norms, np.inf)
    out = np.full(len(x), np.nan, np.float32)
    rescale.best_factors(x, np.float32(guess), top, out)
    return out


def cosine(row, t, top):
    a = np.abs(row)
    u = reference.levels(a, np.array([t]), top)[0]
    a = a.astype(np.float64)
    return a @ u / np.sqrt(u @ u * (a @ a))


def check_best(x, top, t):
    """No event gives a greater cosine, but for float64's rounding of sums in another order."""
    for row, mine in zip(x, t, strict=True):
        _, most = reference.best(np.abs(row), top)
        assert abs(cosine(row, mine, top) - most) <= (x.shape[1] + 4) * 2.0**-52


def awkward(dims, seed=0):
    """Rows of many kinds: ties, few entries, heavy tails, grids, halves, extreme lengths."""
    rng = np.random.default_rng([seed, dims])
    x = rng.standard_normal((16, dims))
    x[0], x[1] = 1, np.arange(1, dims + 1)
    x[2], x[2, dims // 2] = 0, -3
    x[3], x[4] = rng.standard_t(1, dims), x[4] ** 7
    x[5] = rng.integers(-3, 4, dims) / 2
    x[5, 0] = 1
    x[6, ::2] = 0
    x[6, -1] = 2
    x[7], x[8] = x[7] * 2.0**55, x[8] * 2.0**-55
    x[9] = 0.5 ** np.arange(dims) + 1e-9
    return x.astype(np.float32)


@pytest.mark.parametrize(("dims", "bits"), [*product(DIMS, BITS), (384, 2), (384, 4)])
def test_the_cosine_is_the_greatest(dims, bits):
    x, top = awkward(dims), 2 ** (bits - 1) - 1
    check_best(x, top, found(x, top))


@given(
    x=hnp.arrays(
        np.float32, (2, 21), elements=st.floats(-4, 4, width=16) | st.integers(-4, 4),
    ).filter(lambda x: x.any(axis=1).all()),
    bits=st.integers(2, 8),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_any_rows(x, bits):
    check_best(x, 2 ** (bits - 1) - 1, found(x, 2 ** (bits - 1) - 1))


@pytest.mark.parametrize("times", [1e-4, 0.3, 3, 1e4])
def test_guesses_do_not_matter(times):
    x = awkward(65)
    norms = np.linalg.norm(x.astype(np.float64), axis=1)
    for top in (1, 7, 127):
        check_best(x, top, found(x, top, times * top * 65**0.5 / norms))


def test_it_is_the_first_event_of_its_code():
    """Where the greatest is far from the others, the reference's own bits."""
    x = np.random.default_rng(1).standard_normal((50, 100)).astype(np.float32)
    for top in (1, 7, 127):
        want = [reference.best(np.abs(row), top)[0] for row in x]
        assert (found(x, top) == want).all()


def test_rows_alone_and_lengths():
    x = awkward(70)
    x = np.concatenate([x, np.zeros((2, 70), np.float32)])
    t = found(x, 7)
    assert (t[-2:] == 0).all()
    assert all(found(x[i : i + 1], 7) == t[i] for i in range(len(x)))
    assert (found(np.ldexp(x, 20), 7) == np.ldexp(t, -20)).all()


def test_events_are_the_first_float_that_reaches():
    a = np.abs(np.random.default_rng(2).standard_normal(999)).astype(np.float32)
    for top in (1, 12):
        t = reference.events(a, top)
        levels = reference.levels(a, t, top).sum(axis=1)
        before = reference.levels(a, np.nextafter(t, np.float32(0)), top).sum(axis=1)
        assert (np.diff(levels) > 0).all()
        assert (levels > before).all()
        assert (before[1:] == levels[:-1]).all()


def test_bounds_are_above_all_between_and_sums_within_slack():
    """What lets stretches be skipped: at any events inside, N^2 / D is at most the bound."""
    rng = np.random.default_rng(3)
    for dims, top in ((5, 7), (64, 3), (300, 127)):
        x = np.abs(rng.standard_normal(dims)).astype(np.float32)
        t = np.sort(rng.choice(reference.events(x, top), 8, replace=False))
        events = reference.events(x, top)
        for t0, t1 in pairwise(t):
            inside = events[(events > t0) & (events <= t1)]
            u = reference.levels(x, np.concatenate([[t0], inside]), top)
            n, d = u @ x.astype(np.float64), (u * u).sum(axis=1)
            most = rescale._most(np.float64(t0), n[0], d[0], np.float64(t1), n[-1], d[-1], 16 * U)
            assert (n * n / d).max() <= most
