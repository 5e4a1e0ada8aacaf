"""Adjusted codes, against the reference: equal, at any sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqindex.kernels.cpu import adjust
from vqindex.kernels.reference import adjust as reference


def case(n, d, seed):
    """Rows wider than their codes, ladders of 2 to 128 levels, places anywhere."""
    rng = np.random.default_rng([n, d, seed])
    rows = rng.standard_normal((n, d + 3)).astype(np.float32)
    counts = 1 << rng.integers(1, 8, d)
    ladders = np.full((d, 128), np.nan)
    for ladder, count in zip(ladders, counts, strict=True):
        half = np.sort(rng.uniform(0.1, 2, count // 2))
        ladder[:count] = np.concatenate([-half[::-1], half])
    nearest = np.abs(rows[:, :d, None] - np.nan_to_num(ladders, nan=1e9)).argmin(axis=2)
    return rows, ladders, counts.astype(np.int64), nearest.astype(np.uint8)


def cosine(row, levels):
    return row @ levels / np.linalg.norm(row) / np.linalg.norm(levels)


@pytest.mark.parametrize("d", [1, 2, 7, 64, 65, 150])
@pytest.mark.parametrize("rounds", [0, 1, 6])
def test_places_equal_the_reference(d, rounds):
    rows, ladders, counts, places = case(9, d, 0)
    rows[3] = 0
    want = [
        reference.descend(row[:d], own, ladders, counts, rounds)
        for row, own in zip(rows, places, strict=True)
    ]
    found = places.copy()
    adjust.descend(rows, ladders, counts, rounds, found)
    assert (found == want).all()
    assert (found[3] == places[3]).all()
    assert (found < counts).all()
    for i in (0, 8):
        alone = places[i : i + 1].copy()
        adjust.descend(rows[i : i + 1].copy(), ladders, counts, rounds, alone)
        assert (alone == found[i]).all()


@given(d=st.integers(1, 30), seed=st.integers(0, 2**32), start=st.booleans())
def test_the_cosine_never_falls(d, seed, start):
    """Whatever it began with, unless that points away; and what is left, no one step improves."""
    rows, ladders, counts, places = case(3, d, seed)
    if not start:
        places[:] = np.random.default_rng(seed).integers(0, counts, places.shape)
    found = places.copy()
    adjust.descend(rows, ladders, counts, 1000, found)
    j = np.arange(d)
    for row, before, after in zip(rows[:, :d].astype(np.float64), places, found, strict=True):
        old, new = cosine(row, ladders[j, before]), cosine(row, ladders[j, after])
        if old <= 0:
            assert (before == after).all()
            continue
        assert new >= old
        for k in j:
            for to in (int(after[k]) - 1, int(after[k]) + 1):
                if 0 <= to < counts[k]:
                    levels = ladders[j, after].copy()
                    levels[k] = ladders[k, to]
                    assert cosine(row, levels) <= new + 1e-8
