"""LVQ codes by their definition, one level and two, and with a column instead of a minimum."""

import numpy as np
import pytest

import vqindex as vq
from vqindex.errors import CorruptFileError, SpecError
from vqindex.factory import parse
from vqindex.indexes.settings import Settings
from vqindex.kernels.cpu import program
from vqindex.quantizers import LVQ

U = 2.0**-24
RECIPES = [LVQ(1), LVQ(2), LVQ(4), LVQ(8), LVQ(4, 1), LVQ(4, 4), LVQ(4, 8), LVQ(1, 8)]
recipes = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.spec)


def rows(n, dim, seed=0):
    """Not symmetric, of many sizes, the first two zero and constant."""
    rng = np.random.default_rng([seed, dim])
    y = (rng.gamma(2, size=(n, dim)) - 1) * 10 ** rng.uniform(-4, 4, (n, 1))
    y[0], y[1] = 0, -3
    return y.astype(np.float32)


@recipes
@pytest.mark.parametrize("dim", [1, 2, 65, 200])
def test_reconstruction_by_the_papers_formulas(recipe, dim):
    """l + step * floor((y - l) / step + 1/2), and the same of what that leaves in +-step / 2."""
    y = rows(50, dim)
    x = y.astype(np.float64)
    low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    step = (high - low) / (2**recipe.bits - 1)
    safe = np.where(step > 0, step, 1)
    z = (x - low) / safe
    want = low + step * np.floor(z + 0.5)
    clear = np.abs(z - np.floor(z) - 0.5) > 1e-4
    if recipe.more:
        finer, safer = step / (2**recipe.more - 1), safe / (2**recipe.more - 1)
        left = (x - want + step / 2) / safer
        want += finer * np.floor(left + 0.5) - step / 2
        clear &= np.abs(left - np.floor(left) - 0.5) > 1e-2
    clear |= step == 0
    found = recipe.fit(y, dim, 0).encode(y).approximation
    assert dim == 2 or clear.mean() > 0.9  # a row's ends leave nothing, the middle of finer steps
    assert (np.abs(found - want) <= 8 * U * np.abs(x).max(axis=1, keepdims=True))[clear].all()
    last = step / (2**recipe.more - 1) if recipe.more else step
    half = last / 2 + 16 * U * np.abs(x).max(axis=1, keepdims=True)
    assert (np.abs(found - x) <= half).all()


@recipes
def test_columns_and_bytes(recipe):
    y = rows(9, 64)
    part = recipe.fit(y, 64, 0)
    columns = part.encode(y).columns
    assert sum(c.row_bytes for c in part.columns) == 8 * (recipe.bits + recipe.more) + 8
    middle = (y.max(axis=1) + y.min(axis=1)) / np.float32(2)
    assert columns["middle"].tobytes() == middle.tobytes()
    extent = y.max(axis=1) - y.min(axis=1)
    assert columns["scale"].tobytes() == (extent / np.float32(2**recipe.bits - 1)).tobytes()


@pytest.mark.parametrize("more", [1, 3, 8])
def test_two_levels_begin_with_one(more):
    """Its columns, its segments and the beginning of its queries: a coarser code of its own."""
    y, q = rows(40, 100), rows(5, 100, 1)
    one, two = LVQ(4).fit(y, 100, 0), LVQ(4, more).fit(y, 100, 0)
    a, b = one.encode(y).columns, two.encode(y).columns
    assert all(b[name].tobytes() == a[name].tobytes() for name in a)
    index = {column.name: i for i, column in enumerate(two.columns)}
    fields = one.layout.program(index, index["scale"], 0), two.layout.program(index, 0, 0)
    tables = [f[:2].copy() for f in fields]
    for t in tables:
        t[:, [program.SCALE, program.TABLE]] = 0  # a number, and addresses
    assert (tables[0] == tables[1]).all()
    values = one.layout.spread(one.operand(q)), two.layout.spread(two.operand(q))
    assert (values[0] == values[1][:, : values[0].shape[1]]).all()


@recipes
def test_shrink_gives_the_least_error(recipe):
    """Of the sample that was fitted, among all multiples."""
    y = rows(100, 60)
    part = recipe.fit(y, 60, 0)
    x = part.encode(y).approximation.astype(np.float64)
    whole = (y.astype(np.float64) ** 2).sum()
    errors = [((x * part.shrink * f - y) ** 2).sum() / whole for f in (1, 0.99, 1.01)]
    assert errors[0] == pytest.approx(part.distortion, rel=1e-9)
    assert errors[0] < min(errors[1:])


def test_rotated_gaussian_distortion():
    """A row's entries but its ends, which are exact, err by step^2 / 12, and the best multiple
    takes as much off as errors are longer than rows; to 4 standard errors of errors' squares."""
    d = 768
    y = np.random.default_rng(0).standard_normal((1000, d)).astype(np.float32)
    step = np.ptp(y.astype(np.float64), axis=1) / (2**4 - 1)
    share = (step**2).sum() / 12 * (d - 2) / (y.astype(np.float64) ** 2).sum()
    found = LVQ(4).fit(y, d, 0).distortion
    assert found == pytest.approx(share / (1 + share), rel=4 * (0.8 / y.size) ** 0.5)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("spec", ["LVQ4", "LVQ8", "LVQ4x8", "Hadamard,LVQ4", "LVQ4+QJL"])
def test_an_index_of_it(spec, metric, tmp_path):
    """One query or many, filtered or not, by radius, and from a file: the same scores."""
    x = rows(1200, 70)[2:] / 1e3
    q = x[:30] + np.float32(1e-3) * rows(30, 70, 1)
    index = vq.index_factory(spec, metric=metric)
    index.add(x)
    many = index.search(q, 5)
    one = [index.search(each, 5) for each in q]
    assert many.scores.tobytes() == np.stack([r.scores for r in one]).tobytes()
    few = index.search(q[:3], 5, filter=np.arange(20))
    everything = index.search(q[:3], len(x))
    for i in range(3):
        here = everything.ids[i] < 20
        assert few.scores[i].tobytes() == everything.scores[i][here][:5].tobytes()
    radius = float(np.sort(many.distances[:, 2])[15])
    limits, distances, _ = index.range_search(q, radius)
    within = (index.search(q, len(x)).distances <= radius).sum(axis=1)
    assert (np.diff(limits) == within).all()
    assert (distances <= radius).all()
    index.save(tmp_path / "index")
    again = vq.load(tmp_path / "index", mmap=True)
    assert again.spec == spec
    assert again.search(q, 5).scores.tobytes() == many.scores.tobytes()
    assert again.reconstruct([7]).tobytes() == index.reconstruct([7]).tobytes()


def test_distances_are_those_of_the_reconstruction():
    """Under l2: the bias is its norm, the row's own where a sketch makes scores estimates."""
    x = rows(50, 40)
    for spec in ("LVQ2", "LVQ4x4", "Hadamard,LVQ3", "LVQ2+QJL"):
        codec = parse(spec, "l2", 0).fit(x, 40)
        r = (x - codec.center).astype(np.float64)
        columns = codec.encode(x)
        coded = codec.quantizer.expand(columns).astype(np.float64)
        want = ((r if codec.sketch else coded) ** 2).sum(axis=1)
        both = (r * r).sum(axis=1) + (coded * coded).sum(axis=1)
        assert (np.abs(columns["bias"] + want) <= 60 * U * both).all()


def test_bounds_are_off():
    x = np.random.default_rng(0).standard_normal((2000, 128)).astype(np.float32)
    index = vq.index_factory("Hadamard,LVQ4", metric="l2")
    index.add(x)
    assert index.settings["eps0"] == Settings().eps0
    tight = index.search(x[:20], 10, eps0=0.0)
    assert tight.scores.tobytes() == index.search(x[:20], 10, stages="off").scores.tobytes()


def test_a_sample_is_needed():
    with pytest.raises(SpecError, match="LVQ4x4 is fitted to a sample of rows, got none"):
        LVQ(4, 4).fit(None, 8, 0)


@pytest.mark.parametrize(
    ("number", "recipe", "spec"),
    [(4, LVQ(), "LVQ4"), ((4, 8), LVQ(4, 8), "LVQ4x8"), ((1, 1), LVQ(1, 1), "LVQ1x1")],
)
def test_specs(number, recipe, spec):
    assert LVQ.from_spec("LVQ", number, {}) == recipe
    assert recipe.spec == spec


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (None, "one code or two"),
        ((4, 4, 4), "one code or two"),
        ((4, 0), "one code or two"),
        (0, "bits must be 1 to 8, got 0"),
        (9, "bits must be 1 to 8, got 9"),
        (1.5, "bits must be 1 to 8, got 1.5"),
        ((4, 9), "second code must be 1 to 8, got 9"),
    ],
)
def test_refused_specs(number, message):
    with pytest.raises(SpecError, match=message):
        LVQ.from_spec("LVQ", number, {})


@pytest.mark.parametrize("name", ["distortion", "shrink"])
@pytest.mark.parametrize(
    "value",
    [None, np.array(np.nan), np.array(-0.1), np.array(2.5), np.ones(1), np.array(1),
     np.array(0.5, np.float32)],
)  # fmt: skip
def test_hostile_arrays(name, value):
    arrays = LVQ(4).fit(rows(9, 24), 24, 0).arrays()
    assert LVQ(4).restore(dict(arrays), 24).arrays() == arrays
    arrays[name] = value
    if value is None:
        del arrays[name]
    with pytest.raises(CorruptFileError):
        LVQ(4).restore(arrays, 24)


def test_signs_and_middles_bound_their_own_scores():
    """One bit is nothing but its sign: leaving rows out by it leaves out none that count."""
    x, q = rows(3000, 70) + 3, rows(40, 70, 1)
    index = vq.index_factory("LVQ1", metric="l2")
    index.add(x)
    staged, full = index.search(q), index.search(q, stages="off")
    assert (staged.ids == full.ids).all()
    assert staged.stats["scored"] < full.stats["scored"]
