"""Lloyd-Max codes err as the theory says, through the path by which rows are coded."""

import numpy as np
import pytest

from vqindex.errors import CorruptFileError, SpecError
from vqindex.kernels.reference import scalar
from vqindex.quantizers import LloydMax
from vqindex.quantizers.levels import scalar_levels
from vqindex.quantizers.lloyd_max import SCALES
from vqindex.transforms import DenseRotation, HadamardRotation

U = 2.0**-24
BITS = (1, 2, 3, 4)
GAUSSIAN = dict(zip(BITS, (0.36338, 0.11748, 0.03455, 0.009501), strict=True))  # D of N(0, 1)
AT_768 = dict(zip(BITS, (0.3630, 0.1172, 0.0345, 0.0095), strict=True))  # D of a direction
bits = pytest.mark.parametrize("bits", BITS)
scales = pytest.mark.parametrize("scale", SCALES)


def normal(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def least_error(recipe, y):
    """The least-error reconstruction of rows, float64."""
    part = recipe.fit(None, y.shape[1], 0)
    return part.encode(y).approximation.astype(np.float64) * part.shrink


def agrees(samples, want, digit):
    """The mean is `want` as printed, its last digit worth `digit`, but for 4 standard errors."""
    error = 4 * samples.std() / samples.size**0.5
    assert error < 0.015 * want  # or the test could not fail
    return abs(samples.mean() - want) <= error + digit / 2


@bits
@scales
def test_distortion_of_gaussian_coordinates(bits, scale):
    y = normal(10, 100_000)
    x = least_error(LloydMax(bits, scale), y)
    assert agrees((x - y) ** 2 / (y.astype(np.float64) ** 2).mean(), GAUSSIAN[bits], 1e-5)


@pytest.mark.parametrize(
    ("bits", "dim", "want"),
    [
        (1.5, 99_968, 0.24043), (2.5, 99_968, 0.07601), (3.5, 99_968, 0.02203),
        (2 + 1 / 3, 99_840, 0.0898), (2.5, 192, None), (6.75, 256, None),
    ],
)  # fmt: skip
def test_distortion_of_a_fraction_of_bits(bits, dim, want):
    """The mean of those of both bits, weighted by their words: half of each kind by halves."""
    part = LloydMax(bits).fit(None, dim, 0)
    low, words = int(bits), -(-dim // 64)
    finer = 64 * int((bits - low) * words + 1e-9)
    assert part.dims == (finer, dim - finer)
    more, less = (scalar_levels(b, dim).distortion for b in (low + 1, low))
    mean = (finer * more + (dim - finer) * less) / dim
    assert part.distortion == pytest.approx(mean, rel=0.01)
    y = normal(max(4, 500_000 // dim), dim)
    x = least_error(LloydMax(bits), y)
    errors = ((x - y) ** 2).sum(axis=1) / (y.astype(np.float64) ** 2).sum(axis=1)
    assert abs(errors.mean() / part.distortion - 1) < 0.01
    if want:
        assert abs(errors.mean() / want - 1) < 0.01


def test_fractions_are_of_whole_words():
    """No row takes more bytes than its bits; below a word's worth, the integer below."""
    for bits, dim, want in [(2.5, 64, (64,)), (2.5, 100, (64, 36)), (2.9, 128, (64, 64)),
                            (2.4, 384, (128, 256)), (4.0, 65, (65,)), (8, 65, (65,))]:  # fmt: skip
        part = LloydMax(bits).fit(None, dim, 0)
        assert part.dims == want
        code = [c for c in part.columns if c.name in ("plane", "rest")]
        assert sum(c.row_bytes for c in code) <= 8 * bits * -(-dim // 64)
    assert LloydMax(4.0).spec == "EDEN4"


@pytest.mark.parametrize("bits", [1.5, 2.5, 3.5])
@pytest.mark.parametrize("rounds", [2, 3])
def test_fractions_are_unbiased_over_rotations(bits, rounds):
    """Every row exactly so along itself, and by 4 standard errors along another direction."""
    x = fixed_directions(384)
    q = np.roll(x, 1, axis=0) + x
    found = []
    for seed in range(100):
        rotation = HadamardRotation(rounds).fit(None, 384, seed)
        approximation = LloydMax(bits).fit(None, 384, 0).encode(rotation.apply(x)).approximation
        assert np.abs((approximation * rotation.apply(x)).sum(axis=1) - 1).max() < 1e-5
        found.append((approximation * rotation.apply(q)).sum(axis=1))
    errors = np.array(found) - (x * q).sum(axis=1)
    assert (np.abs(errors.mean(axis=0)) < 4.5 * errors.std(axis=0) / 10).all()
    distortion = LloydMax(bits).fit(None, 384, 0).distortion
    assert errors.std() == pytest.approx((distortion / (1 - distortion) / 383) ** 0.5, rel=0.15)


def fixed_directions(dim):
    """One entry, two, a sign pattern, a decaying row and a constant one; as they are, of norm 1."""
    x = np.zeros((5, dim))
    x[0, 5] = x[1, 1] = x[1, dim // 2] = 1
    x[2] = np.where(np.arange(dim) % 3, 1, -1)
    x[3] = 0.99 ** np.arange(dim)
    x[4] = 1
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module", params=["Hadamard", "Haar"])
def rotated(request):
    """Fixed unit vectors of 768 dimensions after rotation: a few of them by many rotations, or,
    as Haar's are slow to draw, 768 at right angles by one."""
    if request.param == "Haar":
        return DenseRotation().fit(None, 768, 0).apply(np.eye(768, dtype=np.float32))
    x, recipe = fixed_directions(768), HadamardRotation()
    return np.concatenate([recipe.fit(None, 768, seed).apply(x) for seed in range(300)])


@bits
def test_distortion_of_rotated_unit_vectors(bits, rotated):
    x = least_error(LloydMax(bits, "fixed"), rotated)
    assert agrees(((x - rotated) ** 2).sum(axis=1), AT_768[bits], 1e-4)


@bits
@scales
def test_reconstruction_errs_least(bits, scale):
    """The best multiple of a row's reconstruction is 1 on average, to first order in 1 / d.

    With A = <z, u>, B = <u, u> of one mean, it is A / B under a fixed scale and A^2 / (B E B)
    under an unbiased one, whose mean exceeds 1 by the square of A / B's spread.
    """
    y = normal(3000, 768)
    x, fixed = (least_error(LloydMax(bits, s), y) for s in (scale, "fixed"))
    best, ratio = ((a * y).sum(axis=1) / (a * a).sum(axis=1) for a in (x, fixed))
    error = 4 * best.std() / len(best) ** 0.5
    assert error < 0.002
    assert abs(best.mean() - 1) <= error + ratio.var()
    if scale == "biased":
        assert np.abs(best - 1).max() <= 768 * U  # each row's own


@bits
@pytest.mark.parametrize("dim", [1, 2, 5, 64, 100])
def test_codes_and_scales_by_definition(bits, dim):
    y = normal(200, dim, bits).astype(np.float64)
    norms = np.linalg.norm(y, axis=1)
    levels = scalar_levels(bits, dim)
    z = y / norms[:, None] * dim**0.5
    clear = (np.abs(np.abs(z)[..., None] - levels.thresholds) > 1e-5).all(axis=(1, 2))
    codes = scalar.encode(z, levels.thresholds)
    u = scalar.levels_of(codes, levels.magnitudes) + 0.5
    dot, square = (y * u).sum(axis=1), (u * u).sum(axis=1)
    want = {
        "unbiased": norms**2 / dot,
        "biased": dot / square,
        "fixed": norms * levels.unit / dim**0.5,
    }
    assert clear.mean() > 0.9
    for scale in SCALES:
        part = LloydMax(bits, scale).fit(None, dim, 0)
        columns = part.encode(y.astype(np.float32)).columns
        assert (part.layout.unpack(columns)[clear] == codes[clear]).all()
        off = np.abs(columns["scale"] / want[scale] - 1)[clear]
        assert off.max() <= (2 * dim + 8) * U  # sums of positive terms, each of two products
        if bits > 1:
            own = 2 * norms**2 / np.abs(y).sum(axis=1) / want[scale]
            off = np.abs(columns["ratio"].astype(np.float64) / own - 1)[clear]
            assert off.max() <= 2.0**-11 + (4 * dim + 16) * U


def test_a_ratio_fits_float16_in_any_dimension():
    """A single entry among half a million that no rotation has mixed."""
    y = np.zeros((1, 600_000), np.float32)
    y[0, 7] = 1
    for scale in SCALES:
        assert np.isfinite(LloydMax(4, scale).fit(None, y.shape[1], 0).encode(y).columns["ratio"])


def test_columns():
    recipes = LloydMax(1), LloydMax(4), LloydMax(3.5, nested=True)
    names = [[c.name for c in recipe.fit(None, 128, 0).columns] for recipe in recipes]
    assert names == [
        ["plane", "scale"], ["plane", "rest", "scale", "ratio"],
        ["plane", "rest", "scale", "ratio", "ratio2", "ratio3"],
    ]  # fmt: skip


def test_one_bit_says_the_same_whatever_the_scale():
    y = normal(20, 96)
    planes = [LloydMax(1, s).fit(None, 96, 0).encode(y).columns["plane"] for s in SCALES]
    assert all((plane == planes[0]).all() for plane in planes)


@pytest.mark.parametrize(
    ("spec", "recipe"),
    [
        (("EDEN", 4, {}), LloydMax()),
        (("EDEN", 2, {"scale": "biased", "center": False}), LloydMax(2, "biased", False)),
        (("EDEN", 2, {"scale": "fixed"}), LloydMax(2, "fixed", True)),
        (("TQ", 3, {}), LloydMax(3, "fixed", False)),
        (("TQ", 3, {"center": True, "scale": "fixed"}), LloydMax(3, "fixed", True)),
    ],
)
def test_from_spec(spec, recipe):
    assert LloydMax.from_spec(*spec) == recipe
    assert recipe.sample_size == (1024 if recipe.centered else 0)


def test_specs():
    found = [LloydMax(2, scale, center).spec for scale in SCALES for center in (True, False)]
    assert found == [
        "EDEN2", "EDEN2(center=no)", "EDEN2(scale=biased)", "EDEN2(center=no,scale=biased)",
        "TQ2(center=yes)", "TQ2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (("EDEN", None, {}), "needs its bits"),
        (("EDEN", 0, {}), "bits must be 1 to 8, got 0"),
        (("EDEN", 9, {}), "bits must be 1 to 8, got 9"),
        (("EDEN", 4, {"scale": "short"}), "unbiased, biased, fixed, got 'short'"),
        (("EDEN", 4, {"center": "maybe"}), "center must be yes or no, got 'maybe'"),
        (("TQ", 4, {"scale": "biased"}), r"use EDEN4\(scale=biased\)"),
    ],
)
def test_refused_specs(spec, message):
    with pytest.raises(SpecError, match=message):
        LloydMax.from_spec(*spec)


HOSTILE = {
    "magnitudes": [
        None, np.arange(8), np.arange(8, dtype=np.float32), np.arange(8, dtype=np.int8)[None],
        np.arange(7, dtype=np.int8), np.arange(9, dtype=np.int8), np.arange(8, dtype=np.int8)[::-1],
        np.zeros(8, np.int8), np.arange(-1, 7, dtype=np.int8), np.empty(0, np.int8),
    ],
    "thresholds": [
        None, np.arange(7.0), np.ones((1, 7), np.float32), np.arange(6, dtype=np.float32),
        np.arange(8, dtype=np.float32), np.arange(7, dtype=np.float32)[::-1],
        np.array([1, 2, 3, np.nan, 5, 6, 7], np.float32), np.full(7, np.inf, np.float32),
    ],
    "unit": [
        None, np.array(0.0), np.array(-1.0), np.array(np.nan), np.array(np.inf), np.ones(1),
        np.array(1), np.array(1, np.float32),
    ],
    "distortion": [
        None, np.array(-0.1), np.array(1.0), np.array(np.nan), np.array(np.inf), np.zeros(1),
        np.array(0), np.array(0.5, np.float32),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "i"), [(name, i) for name, arrays in HOSTILE.items() for i in range(len(arrays))]
)
def test_hostile_arrays(name, i):
    arrays = LloydMax(4).fit(None, 24, 0).arrays()
    assert LloydMax(4).restore(dict(arrays), 24).arrays().keys() == arrays.keys()
    arrays[name] = HOSTILE[name][i]
    if arrays[name] is None:
        del arrays[name]
    with pytest.raises(CorruptFileError):
        LloydMax(4).restore(arrays, 24)


@pytest.mark.parametrize("name", ["magnitudes_fewer", "thresholds_fewer", "distortion_fewer"])
def test_hostile_arrays_of_a_fraction(name):
    arrays = LloydMax(3.5).fit(None, 200, 0).arrays()
    assert LloydMax(3.5).restore(dict(arrays), 200).arrays().keys() == arrays.keys()
    for other in (arrays[name.split("_")[0]], None):
        changed = {k: v for k, v in arrays.items() if k != name}
        if other is not None and other.ndim:
            changed[name] = other
        with pytest.raises(CorruptFileError):
            LloydMax(3.5).restore(changed, 200)
    with pytest.raises(CorruptFileError, match="levels of 4 bits need 8"):
        LloydMax(3.5).restore(LloydMax(2.5).fit(None, 200, 0).arrays(), 200)


@pytest.mark.parametrize("bits", [3, 5])
def test_arrays_of_other_bits(bits):
    with pytest.raises(CorruptFileError, match="levels of 4 bits need 8 magnitudes"):
        LloydMax(4).restore(LloydMax(bits).fit(None, 24, 0).arrays(), 24)
