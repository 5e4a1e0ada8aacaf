"""Octahedral codes: the map is its own inverse, and joint rounding errs as it should."""

import numpy as np
import pytest

from vqindex.errors import SpecError
from vqindex.quantizers import Octahedral
from vqindex.quantizers.octahedral import direction, levels, place

JOINT = {2: 0.0844, 3: 0.0247, 4: 0.0068}  # OCTOPUS's, which looks among neighbours
bits_ = pytest.mark.parametrize("bits", JOINT)


def directions(n):
    n = np.random.default_rng(0).standard_normal((n, 3))
    return n / np.linalg.norm(n, axis=1, keepdims=True)


def test_the_map_is_undone():
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    edges = np.array([[1.0, 1, 0], [-1, 1, 0], [1, 0, -1], [0, -1, -1], [-1, -1, -1]])
    edges /= np.linalg.norm(edges, axis=1, keepdims=True)
    n = np.concatenate([axes, edges, directions(10_000)])
    where = place(n)
    assert np.abs(where).max() <= 1 + 1e-12
    assert np.abs(direction(where) - n).max() <= 1e-9
    inside = np.random.default_rng(1).uniform(-1, 1, (10_000, 2))
    assert np.abs(place(direction(inside)) - inside).max() <= 1e-9


def nearest(values, x):
    return values[np.searchsorted((values[1:] + values[:-1]) / 2, x)]


def test_independent_rounding_errs_as_published():
    t = np.random.default_rng(2).standard_normal((200_000, 3))
    places, lengths = levels(2)
    length = np.linalg.norm(t, axis=1)
    x = direction(nearest(places, place(t))) * nearest(lengths, length)[:, None]
    cosine = (x * t).sum() / np.sqrt((x * x).sum() * (t * t).sum())
    assert abs(1 - cosine**2 - 0.0910) <= 0.01 * 0.0910


@bits_
def test_distortion_of_gaussian_coordinates(bits, gaussian, distortion):
    found, error = distortion(Octahedral(bits), gaussian)
    assert error < 0.012 * found
    assert abs(found - JOINT[bits]) <= error + 0.005 * JOINT[bits]
    stated = Octahedral(bits).codebook().distortion
    assert abs(found - stated) <= error + 0.01 * stated


@bits_
def test_codes_are_the_longest_direction_and_the_nearest_length(bits):
    y = np.random.default_rng(bits).standard_normal((20, 33)).astype(np.float32)
    part = Octahedral(bits).fit(None, 33, 0)
    z = y / np.linalg.norm(y, axis=1, keepdims=True) * (33**0.5 / part.book.unit)
    words = (part.book.words + 0.5).reshape(-1, 1 << bits >> 1, 3)
    found = part.layout.levels(part.encode(y).columns).reshape(-1, 3) + 0.5
    triplets = z.reshape(-1, 3).astype(np.float64)
    along = (triplets[:, None] * words[:, -1] / np.linalg.norm(words[:, -1:], axis=2)).sum(axis=2)
    length = np.linalg.norm(found, axis=1)
    own = (triplets * found).sum(axis=1) / length
    # A shorter word is rounded to the grid of int8 more coarsely than the longest.
    assert (own >= along.max(axis=1) - 3**0.5 * np.abs(triplets).max(axis=1) / length).all()
    best = np.abs(np.linalg.norm(words, axis=2).mean(axis=0) - along.max(axis=1)[:, None]).min(
        axis=1
    )
    assert (np.abs(length - along.max(axis=1)) <= best + 3**0.5).all()


@pytest.mark.parametrize(("bits", "row_bytes"), [(2, 112), (3, 160), (4, 208)])
def test_bytes_of_a_row(bits, row_bytes):
    part = Octahedral(bits).fit(None, 384, 0)
    assert part.layout.columns[0].row_bytes == row_bytes == 128 * (3 * bits + 1) // 8


@bits_
def test_specs(bits):
    assert Octahedral.from_spec("OCT", bits, {}) == Octahedral(bits)
    assert Octahedral(bits).spec == f"OCT{bits}"
    assert Octahedral(bits, center=False).spec == f"OCT{bits}(center=no)"


@pytest.mark.parametrize("number", [None, 1, 5, 2.5])
def test_refused_specs(number):
    with pytest.raises(SpecError, match=f"OCT takes 2, 3 or 4 bits, got {number}"):
        Octahedral.from_spec("OCT", number, {})
