"""What every quantizer keeps, under every name it has, alone and with a residual sketch."""

import functools
import pickle
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from vqindex.codec import ID
from vqindex.codes import Codes
from vqindex.errors import SpecError
from vqindex.factory import parse
from vqindex.indexes.stored import scores_of_blocks
from vqindex.kernels.cpu import program
from vqindex.quantizers import QUANTIZERS
from vqindex.sketches import QJL

KINDS = (*QUANTIZERS, QJL)
DIMS = (1, 2, 3, 7, 64, 65, 384)
FLOATS = ("F32", "F16")  # their queries are not int8, a sketch's are
OPTIONS = [
    "EDEN2(center=no)", "EDEN4(scale=biased)", "TQ2(center=yes)", "QJL(projection=gaussian)",
    "RaBitQ2(search=fast)", "RaBitQ4(error=yes)", "LVQ4x4", "LVQ2x6",
]  # fmt: skip
OPTIONS += ["EDEN2.5", "TQ1.5", "EDEN3.5(nested=yes)"]
OPTIONS += ["Ternary(center=no)", "Levels5(scale=biased)", "Levels11"]
OPTIONS += ["OCT3(center=no)", "OCT4(scale=biased)"]
OPTIONS += ["TCQ1.5(center=no,window=8)", "TCQ3(scale=biased,window=10)"]
OPTIONS += ["VQ2(center=no)", "VQ2(scale=biased,words=256)", "VQ4", "VQ4(words=256)"]
OPTIONS += ["SAQ1(adjust=1)", "SAQ3(adjust=6)"]
OPTIONS += ["PVQ3(center=no)", "Polar(center=no)"]
OPTIONS += ["PQ1x4", "PQ1x8(scale=unbiased)", "PQ1x4(anisotropic=0.3)"]
OPTIONS += ["PQ1x8(weighting=queries)", "RQ2x4(weighting=queries)"]
OPTIONS += ["NUQ4(center=no)", "NUQ4(outliers=0.0)", "NUQ8(outliers=0.1,scale=unbiased)"]
OPTIONS += ["RQ2x4(beam=2)", "RQ3x4(center=no,scale=unbiased)", "RQ1x8"]
MATCHED = [  # with the dimensions they are for; rotations of many take long to learn
    *product(["OPQ1x4(center=no)"], DIMS[:-1]), ("OPQ5x8(scale=length)+QJL", 7),
    ("PQ16x4", 64), ("PQ17x4(scale=length)", 65), ("PQ33x8", 65), ("OPQ12x4", 64),
    ("RQ6x4(groups=3)", 65), ("RQ4x8(groups=2,scale=unbiased)", 7), ("PQ7x4+QJL", 7),
    ("RQ6x4(groups=3,outliers=0.1)", 65), ("RQ2x4(groups=2,outliers=0.4)", 2),
    ("PQ20x4(weighting=queries)", 65), ("RQ6x4(groups=3,scale=length,weighting=queries)", 7),
    ("RQ6x4(groups=3,outliers=0.1,weighting=queries)", 65),
    ("PQ16x4(anisotropic=0.2)", 64), ("OPQ7x8(anisotropic=0.5,scale=unbiased)", 7),
]  # fmt: skip
COARSE = [
    "Coarse2,EDEN1", "Coarse16,EDEN4", "Coarse5x3,SAQ2", "Coarse16,EDEN2+QJL", "Coarse3,LVQ4x4",
    "Coarse4,PQ1x4", "Coarse16x16,RQ2x4(beam=2)", "Coarse7,TCQ2",
]  # fmt: skip
# Their words are as long as the sample's rows, whatever a row is.
LEARNED = ("PQ", "OPQ", "RQ", "NUQ")


def named():
    """The spec of every name with those of a few numbers that it takes, and of every option."""
    for name in (name for kind in KINDS for name in kind.names):
        for bits in ("", 1, 2, 6):
            try:
                yield parse(f"{name}{bits}", "ip", 0).spec
            except SpecError:
                continue
    yield from OPTIONS


ALONE = list(named())
SKETCHED = [f"{spec}+QJL" for spec in ALONE if spec not in FLOATS] + ["EDEN2+QJL70"]

quantizers = pytest.mark.parametrize("spec", ALONE)
codecs = pytest.mark.parametrize("spec", ALONE + SKETCHED + COARSE)
dims = pytest.mark.parametrize("dim", DIMS)
cases = pytest.mark.parametrize(
    ("spec", "dim"),
    [
        *product(ALONE, DIMS),
        *product(SKETCHED, (1, 2, 7, 65)),
        ("EDEN8", 1),
        ("TQ8", 65),
        ("EDEN7.5", 130),
        ("SAQ0.5", 384),
        ("SAQ1.5", 130),
        ("SAQ2.5", 65),
        *MATCHED,
        *product(COARSE, (1, 2, 7, 65)),
    ],
)


def rows(dim, n=35):
    """Rows of many norms; one is zero, one has a single entry, one is constant, two are equal."""
    rng = np.random.default_rng(dim)
    x = rng.standard_normal((n, dim)) * 10 ** rng.uniform(-3, 3, (n, 1))
    if n > 7:
        x[3] = x[4] = 0
        x[4, dim // 2] = 2
        x[5] = -1
        x[7] = x[6]
    return x.astype(np.float32)


def known(spec, dim):
    """Queries, for what cannot do without them."""
    return rows(dim + 1)[:, :dim].copy() if "weighting" in spec else None


@functools.cache
def fitted(spec, dim):
    return parse(spec, "ip", 5).fit(rows(dim), dim, known(spec, dim))


@functools.cache
def quantizer(spec, dim):
    return parse(spec, "ip", 5).quantizer.fit(rows(dim), dim, 5, known(spec, dim))


def same(a, b):
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


def scored(codec, x, q):
    """Scores as kernels give them, what they were given, and the columns as they were kept."""
    codes = Codes(codec.columns)
    codes.append(codec.encode(x) | {ID: np.arange(len(x))})
    operands = codec.operands(q)
    scores = scores_of_blocks(codes, codec, operands, 0, codes.nblocks)
    return scores, operands, codes.take(np.arange(len(x)))


def test_every_name_and_option_is_here():
    specs = ALONE + sorted({spec for spec, _dim in MATCHED})
    recipes = [parse(spec, "ip", 0).quantizer for spec in specs]
    assert len(set(specs)) == len(specs)
    for kind in KINDS:
        mine = [s for s, r in zip(specs, recipes, strict=True) if isinstance(r, kind)]
        assert all(any(s.startswith(name) for s in mine) for name in kind.names)
        assert all(any(f"{option}=" in s for s in mine) for option in kind.options)


@cases
def test_shapes_and_dtypes(spec, dim):
    codec = fitted(spec, dim)
    wanted = [column for column in codec.columns if column.name != ID]
    for n in (0, 1, 33):
        columns = codec.encode(rows(dim, n))
        assert set(columns) == {column.name for column in wanted}
        for column in wanted:
            array = columns[column.name]
            assert array.dtype == column.dtype
            assert array.shape in {(n, column.width)} | ({(n,)} if column.width == 1 else set())
            assert array.dtype.kind != "f" or np.isfinite(array).all()
        decoded = codec.decode(columns)
        assert (decoded.shape, decoded.dtype) == ((n, dim), np.float32)
        assert np.isfinite(decoded).all()


@cases
def test_a_row_has_one_code(spec, dim):
    """Again, alone, beside others, as a duplicate; and what was given stays as it was."""
    codec = fitted(spec, dim)
    x, q = rows(dim), rows(dim + 1)[:, :dim].copy()
    before = x.copy(), q.copy()
    columns = codec.encode(x)
    codec.operands(q)
    assert x.tobytes() == before[0].tobytes()
    assert q.tobytes() == before[1].tobytes()
    assert same(codec.encode(x), columns)
    for i in range(0, len(x), 6):
        assert same(codec.encode(x[i : i + 1]), {k: v[i : i + 1] for k, v in columns.items()})
    assert all((v[6] == v[7]).all() for v in columns.values())


@pytest.mark.parametrize("spec", [s for s in ALONE if not s.startswith(LEARNED) or "scale=" in s])
@dims
def test_a_zero_row_stands_for_zero(spec, dim):
    part, y = quantizer(spec, dim), rows(dim)
    encoded = part.encode(y)
    approximation = encoded.approximation
    assert approximation.dtype == np.float32
    assert not approximation[3].any()
    says = y[0].any()
    if spec.startswith(LEARNED) and "scale=unbiased" in spec:  # nothing by words that point away
        says = replace(part, rule="none").expand(encoded.columns)[0] @ y[0] > 0
    assert approximation[0].any() == says


@quantizers
@dims
def test_strides_do_not_matter(spec, dim):
    part, y = quantizer(spec, dim), rows(dim)
    wide = np.repeat(y, 2, axis=1)
    want = part.encode(y).columns
    for same in (np.asfortranarray(y), wide[:, ::2]):
        found = part.encode(same).columns
        assert all(found[name].tobytes() == want[name].tobytes() for name in want)


@pytest.mark.parametrize("spec", [s for s in ALONE if not s.startswith(LEARNED)])
@dims
def test_lengths_do_not_matter(spec, dim):
    """A row times a power of two has the same codes, and what is float32 times that power."""
    if spec == "F16":
        pytest.skip("float16 has few powers of two")
    part, y = quantizer(spec, dim), rows(dim)
    before = part.encode(y)
    for power in (-20, 40):
        after = part.encode(np.ldexp(y, power))
        assert (after.approximation == np.ldexp(before.approximation, power)).all()
        for name, array in before.columns.items():
            if array.dtype == np.float32:
                array = np.ldexp(array, power)
            assert (after.columns[name] == array).all()


@quantizers
@dims
def test_tiny_huge_and_single_entries(spec, dim):
    """Nothing overflows or divides by zero (a warning is an error), float16 ratios least of all."""
    top = 6e4 if spec == "F16" else 1e18
    sizes = np.array([1e-45, 1e-42, 1e-38, 1e-30, 1e-22, 1e-18, 1e-8, 1, 1e4, top / dim**0.5])
    single = np.zeros((len(sizes), dim))
    single[:, -1] = -1
    y = (np.concatenate([single, rows(dim, 10) / 1e3]) * np.tile(sizes, 2)[:, None]) / 10
    part = quantizer(spec, dim)
    encoded = part.encode(y.astype(np.float32))
    for array in [encoded.approximation, *encoded.columns.values()]:
        assert array.dtype.kind != "f" or np.isfinite(array).all()
    if part.ratio:
        assert (encoded.columns[part.ratio] >= 0).all()
        assert (encoded.columns[part.ratio][5:10] > 0).all()


@cases
def test_samples_without_variance(spec, dim):
    """Of equal rows, which a centre takes away whole, and of rows on one line."""
    line = np.ldexp(rows(dim, 1), np.arange(-3, 4)[:, None]).astype(np.float32)
    for sample in (np.repeat(rows(dim, 1), 9, axis=0), line):
        recipe = parse(spec, "ip", 0)
        codec = recipe.fit(sample, dim, known(spec, dim))
        scores, _, columns = scored(codec, sample, rows(dim))
        decoded = codec.decode(columns)
        assert np.isfinite(scores).all()
        assert np.isfinite(decoded).all()
        if recipe.quantizer.centered and sample is not line:
            assert decoded.tobytes() == sample.tobytes()


@cases
def test_arrays_make_it_again(spec, dim):
    codec = fitted(spec, dim)
    arrays = {name: array.copy() for name, array in codec.arrays().items()}
    again = parse(spec, "ip", 99).restore(arrays, dim)
    assert same(again.arrays(), codec.arrays())
    assert codec.nbytes == sum(array.nbytes for array in arrays.values())
    check_same_work(codec, again, dim)


def check_same_work(codec, again, dim):
    x, q = rows(dim), rows(dim + 1)[:, :dim].copy()
    assert again.columns == codec.columns
    found, operands, columns = scored(codec, x, q)
    found_again, operands_again, columns_again = scored(again, x, q)
    assert same(columns_again, columns)
    assert found_again.tobytes() == found.tobytes()
    for name in ("entries", "seed", "half", "gamma", "alpha", "norms"):
        assert getattr(operands_again, name).tobytes() == getattr(operands, name).tobytes()
    assert again.decode(columns).tobytes() == codec.decode(columns).tobytes()


@codecs
def test_fitted_parts_pickle(spec):
    """After use too: what was cached may be an address, which is worth nothing elsewhere."""
    codec = fitted(spec, 65)
    tables = codec.scorer.fields[:, program.TABLE]
    again = pickle.loads(pickle.dumps(codec))
    assert ((again.scorer.fields[:, program.TABLE] != tables) | (tables == 0)).all()
    check_same_work(codec, again, 65)
