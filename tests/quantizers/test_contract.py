"""What every quantizer keeps, under every name it has, alone and with a residual sketch."""

import dataclasses
import functools
import pickle
from itertools import pairwise, product

import numpy as np
import pytest

import vqindex as vq
from vqindex.codec import BIAS, ID
from vqindex.codes import Codes
from vqindex.datasets import load
from vqindex.errors import SpecError
from vqindex.factory import parse
from vqindex.indexes.scan import scores_of_blocks
from vqindex.kernels.cpu import program
from vqindex.kernels.cpu.operands import STEPS
from vqindex.layouts.joined import Joined
from vqindex.layouts.mixed import MixedCodes
from vqindex.layouts.offset import OffsetColumn
from vqindex.layouts.scalar import ScalarCodes
from vqindex.layouts.sign import SignCodes
from vqindex.layouts.table import TableCodes
from vqindex.quantizers import QUANTIZERS
from vqindex.sketches import QJL

U = 2.0**-24
HALF = 0.5 + 3 * STEPS * U  # a step of tables, with what float32 takes of it
KINDS = (*QUANTIZERS, QJL)
DIMS = (1, 2, 3, 7, 64, 65, 384)
LEVELLED = (ScalarCodes, MixedCodes)
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
OPTIONS += ["PVQ3(center=no)", "Polar(center=no)"]
OPTIONS += ["PQ1x4", "PQ1x8(scale=unbiased)"]
OPTIONS += ["RQ2x4(beam=2)", "RQ3x4(center=no,scale=unbiased)", "RQ1x8"]
MATCHED = [  # with the dimensions they are for; rotations of many take long to learn
    *product(["OPQ1x4(center=no)"], DIMS[:-1]), ("OPQ5x8(scale=length)+QJL", 7),
    ("PQ16x4", 64), ("PQ17x4(scale=length)", 65), ("PQ33x8", 65), ("OPQ12x4", 64),
    ("RQ6x4(groups=3)", 65), ("RQ4x8(groups=2,scale=unbiased)", 7), ("PQ7x4+QJL", 7),
]  # fmt: skip
LEARNED = ("PQ", "OPQ", "RQ")  # their words are as long as the sample's rows, whatever a row is


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
codecs = pytest.mark.parametrize("spec", ALONE + SKETCHED)
dims = pytest.mark.parametrize("dim", DIMS)
cases = pytest.mark.parametrize(
    ("spec", "dim"),
    [
        *product(ALONE, DIMS),
        *product(SKETCHED, (1, 2, 7, 65)),
        ("EDEN8", 1),
        ("TQ8", 65),
        ("EDEN7.5", 130),
        *MATCHED,
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


@functools.cache
def fitted(spec, dim):
    return parse(spec, "ip", 5).fit(rows(dim), dim)


@functools.cache
def quantizer(spec, dim):
    return parse(spec, "ip", 5).quantizer.fit(rows(dim), dim, 5)


def same(a, b):
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


def scored(codec, x, q):
    """Scores as kernels give them, what they were given, and the columns as they were kept."""
    codes = Codes(codec.columns)
    codes.append(codec.encode(x) | {ID: np.arange(len(x))})
    operands = codec.operands(q)
    scores = scores_of_blocks(codes, codec, operands, 0, codes.nblocks)
    return scores, operands, codes.take(np.arange(len(x)))


def layouts(term):
    return term.layout.parts if isinstance(term.layout, Joined) else (term.layout,)


def coded(term, columns):
    """The entries that a term's operand meets, (n, operand's dims) float64."""
    found = []
    for layout in layouts(term):
        if isinstance(layout, SignCodes):
            values = np.where(layout.unpack(columns), -0.5, 0.5)
        elif isinstance(layout, TableCodes):
            hits = layout.unpack(columns)[:, :, None] == np.arange(layout.size)
            values = hits.reshape(len(hits), -1).astype(np.float64)
        else:
            decode = layout.levels if isinstance(layout, LEVELLED) else layout.unpack
            values = decode(columns).astype(np.float64)
        scaled = term.scale and not isinstance(layout, OffsetColumn)
        found.append(values * columns[term.scale] if scaled else values)
    return np.concatenate(found, axis=1)


def rounded(layout, i, operands, at, asked):
    """What the operand of a layout that begins at segment i and entry `at` stands for, checked.

    For each segment, and then the segment and the entry where the next layout begins. Segments
    beyond the first have entries of their own, or add to its entries and are finer.
    """
    nq, size = len(asked), layout.operand_bytes
    if isinstance(layout, OffsetColumn):
        entries = operands.gamma[i, :nq, None].astype(np.float64)
        assert (entries == asked).all()
        return [entries], i + 1, at + size
    if isinstance(layout, TableCodes):
        return [tables(layout, i, operands, at, asked)], i + 1, at + size
    if operands.entries.dtype != np.int8:
        used = layout.spread(np.ones((1, asked.shape[1]), np.float32))[0] > 0
        assert (operands.entries[:nq, at : at + used.size][:, used] == asked).all()
        return [asked.astype(np.float64)], i + 1, at + used.size
    parts, allowed = [], np.zeros(asked.shape)
    fields = operands.program[(operands.program[:, program.OPERAND] >= at)]
    for s, segment in enumerate(fields[fields[:, program.OPERAND] < at + size], i):
        first, width = segment[program.OPERAND], 64 * segment[program.WORDS]
        unit = operands.gamma[s, :nq, None].astype(np.float64)
        parts.append(np.zeros(asked.shape))
        start = first - at if isinstance(layout, ScalarCodes) else 0
        here = slice(start, min(start + width, asked.shape[1]))
        entries = operands.entries[:nq, first : first + here.stop - start]
        parts[-1][:, here] = entries * unit
        allowed[:, here] = unit * (0.5 + 256 * U)
    assert (np.abs(sum(parts) - asked) <= allowed + 4 * U * np.abs(asked)).all()
    return parts, s + 1, at + size


def tables(layout, i, operands, at, asked):
    """Tables (nq, entries) of which an operand holds steps, checked: within half a step each.

    Each table begins at its least entry. The sum of these is added to a row's sum, so that each of
    its codes has the same share of it here.
    """
    nq = len(asked)
    places = layout.spread(np.arange(1, layout.dims + 1, dtype=np.float32)[None])[0]
    places = np.argsort(np.where(places > 0, places, np.inf), kind="stable")[: layout.dims]
    whole = operands.entries[:nq, at : at + layout.operand_bytes].view(np.int32)
    steps, unit = whole[:, places], operands.gamma[i, :nq, None].astype(np.float64)
    assert (np.delete(whole, places, axis=1) == 0).all()
    assert steps.min() >= 0
    assert steps.max() <= STEPS
    each = asked.astype(np.float64).reshape(nq, layout.parts, layout.size)
    least = each.min(axis=2, keepdims=True)
    off = np.abs(unit[:, :, None] * steps.reshape(each.shape) + least - each)
    assert (off <= unit[:, :, None] * HALF).all()
    total, span = least.sum(axis=1), (each - least).max(axis=(1, 2))[:, None]
    want = np.maximum(span / STEPS, np.abs(total) * 2.0**-32)
    assert unit == pytest.approx(np.where(want > 0, want, 1), rel=4 * U, abs=0)
    half = operands.half[i, :nq, None].astype(np.float64)
    assert (np.abs(unit * half - total) <= 2 * U * np.abs(total)).all()
    return unit * (steps + half / layout.parts)


def check_expand(term, columns, values, y, asked):
    """<expand, y> is what the codes give: but for scale * level, and products by a matrix S.

    Such a product, each way, errs by 1.01 u (d + 3) sqrt(d) |S| at most, whatever fast way it has.
    Tables are sums of up to d products, rows sums of a word for each code, times a scale.
    """
    d = y.shape[1]
    s = term.operand(np.eye(d, dtype=np.float32))
    expanded = term.expand(columns).astype(np.float64)
    off = np.abs(expanded @ y.astype(np.float64).T - values @ asked.astype(np.float64).T)
    if isinstance(term.layout, TableCodes):
        sizes = values @ (np.abs(y.astype(np.float64)) @ np.abs(s)).T
        assert (off <= 1.01 * U * (d + term.layout.parts + 1) * sizes).all()
        return
    mixing = 0 if np.array_equal(s, np.eye(d)) else 2 * (d + 3) * d**0.5
    norm = np.abs(s.T @ s).sum(axis=0).max() ** 0.5  # at least that of S
    factor = 1.01 * U * (1 + mixing) * norm
    lengths = np.linalg.norm(values, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    assert (off <= factor * lengths).all()


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


@cases
def test_scores_are_inner_products(spec, dim):
    """Of the query as rounded, but for float32's rounding, and of `expand`, as the query was.

    Integer sums are exact and then rounded thrice; float sums at most once for each entry.
    """
    codec = fitted(spec, dim)
    x, q = rows(dim), rows(dim + 1)[:, :dim].copy()
    found, operands, columns = scored(codec, x, q)
    y = codec.transform.apply_query(q)
    want = bound = np.zeros(found.shape)
    i = at = 0
    for term in (t for t in (codec.quantizer, codec.sketch) if t is not None):
        asked, values = term.operand(y), coded(term, columns)
        first = 0
        for layout in layouts(term):
            here = slice(first, first + layout.dims)
            segments, i, at = rounded(layout, i, operands, at, asked[:, here])
            each = layout.dims * (U if operands.entries.dtype == np.float32 else U * U)
            for entries in segments:
                part = values[:, here] @ entries.T
                bound = bound + (np.abs(want).max() > 0) * U * np.abs(want + part)
                want = want + part
                bound = bound + 4 * U * np.abs(part)
                bound = bound + each * (np.abs(values[:, here]) @ np.abs(entries).T)
            first = here.stop
        check_expand(term, columns, values, y, asked)
    assert (np.abs(found - want) <= bound).all()


@pytest.mark.parametrize(
    ("spec", "dim"),
    [
        *product(("PQ1x4", "RQ2x4(beam=2)"), DIMS[:-1]), ("OPQ1x4(center=no)", 7),
        *(case for case in MATCHED if not case[0].endswith((")", "QJL"))), ("RQ6x4(groups=3)", 65),
    ],
)  # fmt: skip
def test_words_without_a_scale_give_their_own_distances(spec, dim):
    """Under l2; orthogonal words need no norm of the row. Each code errs by half a step of tables.

    The rest are products by a rotation, as in `check_expand`, and sums of d squares.
    """
    codec = parse(spec, "l2", 5).fit(rows(dim), dim)
    x, q = rows(dim), rows(dim + 1)[:, :dim].copy()
    found, operands, columns = scored(codec, x, q)
    assert (BIAS in columns) == spec.startswith("RQ")
    decoded = codec.decode(columns).astype(np.float64)
    center = np.zeros(dim) if codec.center is None else codec.center.astype(np.float64)
    want = -((decoded[:, None] - q) ** 2).sum(axis=2)
    lengths = [np.linalg.norm(v - center, axis=1) for v in (x, decoded, q)]
    sizes = np.maximum(*lengths[:2])[:, None] + lengths[2] + np.linalg.norm(center)
    bound = 4 * (dim + 3) * dim**0.5 * U * sizes**2
    bound = bound + codec.quantizer.layout.parts * operands.gamma[0, : len(q)] * HALF
    assert (np.abs(found + operands.alpha - want) <= bound).all()


@pytest.mark.parametrize("spec", [s for s in ALONE if not s.startswith(LEARNED) or "scale=" in s])
@dims
def test_a_zero_row_stands_for_zero(spec, dim):
    part, y = quantizer(spec, dim), rows(dim)
    approximation = part.encode(y).approximation
    assert approximation.dtype == np.float32
    assert not approximation[3].any()
    assert approximation[0].any() == y[0].any()


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
        codec = recipe.fit(sample, dim)
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


@codecs
def test_recipes_are_frozen_and_pickle(spec):
    recipe, codec = parse(spec, "l2", 3), fitted(spec, 7)
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    parts = [recipe, recipe.quantizer, recipe.transform, codec, codec.quantizer, codec.transform]
    for part in parts + ([recipe.sketch, codec.sketch] if recipe.sketch else []):
        name = next((f.name for f in dataclasses.fields(part)), "anything")
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, name, None)


@codecs
def test_specs_name_the_recipe(spec):
    for before in ("", "None,", "Haar,", "Hadamard(rounds=3),"):
        for after in ("", ",Keep(f16)", ",Keep(f32)"):
            recipe = parse(f"{before}{spec}{after}", "cosine", 4)
            assert parse(recipe.spec, "cosine", 4) == recipe
            assert recipe.spec.endswith(f"{spec}{after}")


@pytest.mark.parametrize(
    ("given", "spec", "sample_size"),
    [
        ("Hadamard,EDEN4", "EDEN4", 1024),
        ("EDEN4(center=no)", "EDEN4(center=no)", 0),
        ("None,F32,Keep(f16)", "F32,Keep(f16)", 0),
        ("Haar,TQprod3 , Keep(f32)", "Haar,TQ2+QJL,Keep(f32)", 0),
        ("TQ1(center=yes)+QJL8", "TQ1(center=yes)+QJL8", 1024),
    ],
)
def test_recipes(given, spec, sample_size):
    recipe = parse(given, "ip", 0)
    assert (recipe.spec, recipe.sample_size) == (spec, sample_size)


@pytest.mark.parametrize("spec", FLOATS)
def test_float_rows_take_no_sketch(spec):
    with pytest.raises(SpecError, match="takes no sketch"):
        parse(f"{spec}+QJL", "ip", 0)


@functools.cache
def hits(spec):
    """The share of each query's ten nearest rows that are found, on the sample."""
    sample = load("sample")
    index = vq.index_factory(spec, metric=sample.metric)
    index.add(sample.base)
    found = index.search(sample.queries, 10).ids.tolist()
    truth = sample.neighbors[:, :10].tolist()
    return np.array([len(set(a) & set(b)) / 10 for a, b in zip(found, truth, strict=True)])


@pytest.mark.parametrize(
    "order",
    [
        ["EDEN1", "EDEN1.5", "EDEN2", "EDEN2.5", "EDEN3", "EDEN3.5", "EDEN4", "SQ8", "F16"],
        ["TQprod2", "TQ2", "EDEN2"],
        ["TQprod4", "TQ4", "EDEN4"],
        ["EDEN1", "VQ4(words=256)", "TCQ2", "Levels11", "TCQ4"],
        ["Ternary", "Levels5", "OCT3", "OCT4"],
        ["EDEN2", "PVQ2", "EDEN3"],
        ["PVQ2", "Polar", "EDEN4"],
        ["LVQ1", "LVQ2", "LVQ4"],
    ],
    ids="-".join,
)
def test_recall_is_in_the_order_of_theory(order):
    """Better by three standard errors of the difference between the same queries."""
    for worse, better in pairwise(order):
        gain = hits(better) - hits(worse)
        assert gain.mean() > 3 * gain.std() / len(gain) ** 0.5, (worse, better)


def test_float32_is_exact():
    assert hits("F32").mean() == 1
