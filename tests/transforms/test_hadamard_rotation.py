"""Two rounds are as good as Haar; one is not."""

import numpy as np
import pytest

from vqindex.errors import CorruptFileError, SpecError
from vqindex.factory import parse
from vqindex.kernels.reference import hadamard as reference
from vqindex.transforms import HadamardRotation
from vqindex.transforms.base import generator
from vqindex.transforms.hadamard_rotation import mixing_order, paley

LEVELS = np.array([-1.5104, -0.4528, 0.4528, 1.5104])  # Lloyd-Max, 2 bits
SEEDS = 100


def sparse_and_decaying(dim):
    """The worst rows for a rotation, with the length they have anyway of no account."""
    x = np.zeros((5, dim), np.float32)
    x[0, dim // 3] = 1
    x[1, [0, dim // 2]] = 1
    x[2, [1, 2]] = 1, -0.3
    x[3] = 0.8 ** np.arange(dim)
    x[4] = 1
    return x


def figures(y):
    """Kurtosis of each row's entries, and its 2-bit distortion with the best scale."""
    z = y * np.sqrt(y.shape[1]) / np.linalg.norm(y, axis=1, keepdims=True)
    u = LEVELS[np.searchsorted([-0.9816, 0, 0.9816], z)]
    cosine = (z * u).sum(axis=1) / (np.linalg.norm(z, axis=1) * np.linalg.norm(u, axis=1))
    return np.array([(z**4).mean(axis=1), 1 - cosine**2])


def rotated_figures(dim, rounds=2):
    """(SEEDS, 2, inputs)."""
    x = sparse_and_decaying(dim)
    recipe = HadamardRotation(rounds)
    return np.array([figures(recipe.fit(None, dim, s).apply(x)) for s in range(SEEDS)])


def haar_figures(dim, n=2000):
    """(n, 2) for a fixed row under Haar-random rotations: a uniform direction."""
    return figures(np.random.default_rng(dim).standard_normal((n, dim))).T


def deviations(found, want):
    """By how many standard errors the means differ."""
    error = found.var(axis=0) / len(found) + want.var(axis=0)[:, None] / len(want)
    return np.abs(found.mean(axis=0) - want.mean(axis=0)[:, None]) / np.sqrt(error)


@pytest.mark.parametrize("dim", [384, 768, 300, 200, 105])
def test_two_rounds_are_as_good_as_haar(dim):
    assert (deviations(rotated_figures(dim), haar_figures(dim)) <= 5).all()


def test_768_on_one_entry():
    """Sums of d random signs have kurtosis 3 - 2 / d; uniform directions have distortion .1171."""
    found = rotated_figures(768)[:, :, 0]
    error = found.std(axis=0) / np.sqrt(SEEDS)
    assert (np.abs(found.mean(axis=0) - [3 - 2 / 768, 0.1171]) <= 5 * error).all()


def test_one_round_is_not_enough():
    found = rotated_figures(384, rounds=1)[:, 0, 0]
    assert np.abs(found - 1).max() < 1e-5  # one magnitude everywhere


@pytest.mark.parametrize("order", [12, 20, 28])
def test_paley(order):
    h = paley(order)
    assert (np.abs(h) == 1).all()
    assert (h @ h.T == order * np.eye(order)).all()


def test_mixing_order():
    known = {1: 1, 2: 1, 3: 3, 6: 3, 12: 12, 1024: 1, 384: 12, 768: 12, 1536: 12, 3072: 12}
    known |= {640: 20, 896: 28, 960: 15, 1000: 125, 97: 97, 10: 5, 20: 20, 14: 7, 300: 75}
    assert {dim: mixing_order(dim) for dim in known} == known


@pytest.mark.parametrize("dim", [1, 2, 7, 48, 50, 64, 384])
def test_it_is_the_reference_of_its_arrays(dim):
    fitted = HadamardRotation().fit(None, dim, 4)
    stored = fitted.arrays()
    matrix = reference.rotation(stored["signs"], stored["mixes"])
    p = stored["mixes"].shape[1]
    bound = 2.02 * ((dim // p).bit_length() + p) * 2.0**-24  # |R2| |R1| has entries below 1
    assert np.abs(fitted.apply(np.eye(dim, dtype=np.float32)) - matrix.T).max() <= bound


def test_signs_are_the_seeded_ones():
    stored = HadamardRotation(rounds=3).fit(None, 768, 11).arrays()
    rng = generator("Hadamard", 11)
    assert stored["signs"].dtype == np.int8
    assert (stored["signs"] == [rng.integers(0, 2, 768) * 2 - 1 for _ in range(3)]).all()


@pytest.mark.parametrize("rounds", [0, -1, 1.5, "2", True])
def test_refused_rounds(rounds):
    with pytest.raises(SpecError, match="rounds"):
        HadamardRotation(rounds)


def test_rounds_in_a_spec():
    recipe = HadamardRotation.from_spec("Hadamard", None, {"rounds": "3"})
    assert recipe == HadamardRotation(3)
    assert recipe.spec == "Hadamard(rounds=3)"
    for wrong in ("0", "-1", "x", True):
        with pytest.raises(SpecError, match="rounds"):
            HadamardRotation.from_spec("Hadamard", None, {"rounds": wrong})


@pytest.mark.parametrize(("dim", "block"), [(384, 256), (300, 256), (512, 256), (7, 4), (65, 64)])
def test_blocks_are_apart(dim, block):
    """Each the reference of its own arrays, the shorter last one too, and nothing beside them."""
    fitted = HadamardRotation(block=block).fit(None, dim, 4)
    matrix = fitted.apply(np.eye(dim, dtype=np.float32)).T
    for start in range(0, dim, block):
        here = slice(start, start + block)
        own = fitted.parts[start // block].arrays()
        want = reference.rotation(own["signs"], own["mixes"])
        p = own["mixes"].shape[1]
        bound = 2.02 * ((block // p).bit_length() + p) * 2.0**-24
        assert np.abs(matrix[here, here] - want).max() <= bound
        matrix[here, here] = 0
    assert not matrix.any()


def test_a_block_of_all_dimensions_is_no_block():
    for dim in (100, 256):
        whole, one = (HadamardRotation(block=b).fit(None, dim, 3) for b in (None, 256))
        assert one.isotropic
        assert one.arrays().keys() == whole.arrays().keys()
        assert all((one.arrays()[k] == a).all() for k, a in whole.arrays().items())


def test_blocks_keep_the_energy_of_their_dimensions():
    """A decaying row of 3 blocks, coded by one scale: the first block's entries are too large.

    The distortion is about .345, a rotation's .117: so its signs do not bound what they should.
    """
    x = np.float32(0.98 ** np.arange(768))[None]
    found = [
        figures(HadamardRotation(block=256).fit(None, 768, seed).apply(x))[1, 0]
        for seed in range(SEEDS)
    ]
    assert np.mean(found) > 0.3
    assert not HadamardRotation(block=256).fit(None, 768, 0).isotropic


@pytest.mark.parametrize("block", [0, 1, 3, 255, -2, 2.0, "256", True])
def test_refused_blocks(block):
    with pytest.raises(SpecError, match="block must be a power of two"):
        HadamardRotation(block=block)


def test_blocks_in_a_spec():
    for spec, recipe in {
        "Hadamard(block=256)": HadamardRotation(block=256),
        "Hadamard(block=64,rounds=1)": HadamardRotation(1, 64),
    }.items():
        assert recipe.spec == spec
        assert parse(f"{spec},EDEN4", "ip", 0).transform == recipe
    with pytest.raises(SpecError, match="block must be a power of two"):
        HadamardRotation.from_spec("Hadamard", None, {"block": "x"})


def test_hostile_blocks():
    recipe = HadamardRotation(block=16)
    arrays = recipe.fit(None, 24, 0).arrays()
    for name, wrong in (
        ("signs", np.ones((2, 23), np.int8)),
        ("signs", np.ones((1, 24), np.int8)),
        ("mixes", np.ones((2, 3, 3), np.float32)),
    ):
        with pytest.raises(CorruptFileError):
            recipe.restore(arrays | {name: wrong}, 24)


@pytest.mark.parametrize(
    ("signs", "mixes"),
    [
        (np.ones((2, 23)), np.ones((2, 3, 3))),
        (np.ones((1, 24)), np.ones((2, 3, 3))),
        (np.zeros((2, 24)), np.ones((2, 3, 3))),
        (np.ones((2, 24)), np.ones((2, 4, 3))),
        (np.ones((2, 24)), np.ones((2, 4, 4))),
        (np.ones((2, 24)), np.ones((2, 5, 5))),
        (np.ones((2, 24)), np.ones((2, 0, 0))),
        (np.ones((0, 24)), np.ones((0, 3, 3))),
    ],
)
def test_hostile_arrays(signs, mixes):
    arrays = {"signs": signs.astype(np.int8), "mixes": mixes.astype(np.float32)}
    with pytest.raises(CorruptFileError, match="24 dimensions"):
        HadamardRotation().restore(arrays, 24)
