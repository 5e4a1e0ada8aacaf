"""The codec: what scores are under each metric, and how far they are from the truth."""

import functools
import math
from dataclasses import replace

import numpy as np
import pytest

from vqindex.codec import ID
from vqindex.codes import Codes
from vqindex.errors import CorruptFileError, NonFiniteError
from vqindex.factory import parse
from vqindex.indexes.scan import scores_of_blocks
from vqindex.kernels.cpu import program
from vqindex.quantizers import LloydMax
from vqindex.quantizers.levels import scalar_levels, uniform_levels
from vqindex.scoring import MOST_NOISE
from vqindex.sketches.qjl import FittedQJL

U = 2.0**-24
METRICS = ("l2", "ip", "cosine")
SPECS = [
    "F32", "F16", "SQ8", "EDEN1", "EDEN4", "Haar,EDEN2(scale=biased)", "EDEN3(center=no)", "TQ2",
    "None,TQ5(center=yes)", "QJL", "QJL50(projection=gaussian)", "TQprod3", "EDEN2+QJL20",
    "SQ8+QJL",
]  # fmt: skip
specs = pytest.mark.parametrize("spec", SPECS)
metrics = pytest.mark.parametrize("metric", METRICS)


def normal(n, dim, seed=0):
    return np.random.default_rng([seed, n, dim]).standard_normal((n, dim)).astype(np.float32)


def about(n, dim):
    """Rows and queries about a common mean."""
    mean = normal(1, dim) / 2
    return normal(n, dim) + mean, normal(9, dim) + mean


def scored(codec, x, q):
    """Scores (n, nq) by the kernels, the columns as they were kept, the operands."""
    codes = Codes(codec.columns)
    codes.append(codec.encode(x) | {ID: np.arange(len(x))})
    operands = codec.operands(q)
    scores = scores_of_blocks(codes, codec, operands, 0, codes.nblocks) + operands.alpha
    return scores, codes.take(np.arange(len(x))), operands


def unit(x):
    x = x.astype(np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def norms(x):
    return np.linalg.norm(x.astype(np.float64), axis=1)


def truth(metric, x, q):
    """Exact scores (n, nq)."""
    if metric == "cosine":
        return unit(x) @ unit(q).T
    x, q = x.astype(np.float64), q.astype(np.float64)
    return x @ q.T if metric == "ip" else -((x[:, None] - q) ** 2).sum(axis=2)


@specs
@metrics
def test_scores_by_the_formula(spec, metric):
    """Those of rows that stand for c + their expansion, but for queries rounded to int8.

    l2 has the row's own norm, which is not its expansion's. Rounding errs by at most half a step
    gamma for each entry of a term's operand, and sums by 12 u of what they add. A product by a
    matrix, however fast, errs by 2.02 u (d + 3) sqrt(d) of the norms: T's here and there, S's there
    and back, at |S| |signs| up to twice the row's norm, and all is doubled under l2.
    """
    x, q = about(40, 33)
    codec = parse(spec, metric, 3).fit(x, 33)
    found, columns, operands = scored(codec, x, q)
    if metric == "cosine":
        x, q = unit(x), unit(q)
    center = 0 if codec.center is None else codec.center.astype(np.float64)
    queries = q - center if metric == "l2" else q.astype(np.float64)
    y = codec.transform.apply_query(queries.astype(np.float32)).astype(np.float64)
    expanded = codec.quantizer.expand(columns).astype(np.float64)
    steps = [np.abs(expanded).sum(axis=1)]
    if isinstance(codec.quantizer, FittedQJL):
        steps = [codec.quantizer.bits * columns["scale"][:, 0] / 2]
    if codec.sketch is not None:
        steps.append(codec.sketch.bits * columns["sketch_scale"][:, 0] / 2)
        expanded = expanded + codec.sketch.expand(columns)
    product, size = expanded @ y.T, np.abs(expanded) @ np.abs(y).T
    if metric == "l2":
        squares = ((x - center) ** 2).sum(axis=1)[:, None] + (queries**2).sum(axis=1)
        want, size = 2 * product - squares, 2 * size + squares
    else:
        want, size = product + (q * center).sum(axis=1), size + np.abs(q * center).sum(axis=1)
    mixing = 2.02 * U * (33 + 3) * 33**0.5
    lengths = (norms(x - center) + norms(expanded))[:, None] * norms(y)
    bound = 12 * U * size + 12 * mixing * lengths
    for gamma, step in zip(operands.gamma[:, : len(q)], steps, strict=True):
        bound += gamma / 2 * step[:, None]
    assert (np.abs(found - want) <= bound).all()


@specs
def test_metrics_share_their_products(spec):
    """Exactly but for the last sums: l2's is twice that of r and q - c, and ip's that of r."""
    x, q = about(40, 33)
    codec = parse(spec, "l2", 3).fit(x, 33)
    center = np.zeros(33, np.float32) if codec.center is None else codec.center
    r, p = x - center, q - center
    plain = replace(codec, metric="ip", center=None)
    product = scored(plain, r, p)[0].astype(np.float64)
    squares = (r.astype(np.float64) ** 2).sum(axis=1)[:, None] + (p**2).sum(axis=1, dtype=float)
    error = 12 * U * (squares + 2 * np.abs(product))
    assert (np.abs(scored(codec, x, q)[0] - (2 * product - squares)) <= error).all()
    offset = (q.astype(np.float64) * center).sum(axis=1)
    want = scored(plain, r, q)[0] + offset
    error = 2 * U * (np.abs(want) + np.abs(offset))
    assert (np.abs(scored(replace(codec, metric="ip"), x, q)[0] - want) <= error).all()


@metrics
@pytest.mark.parametrize("spec", ["EDEN1", "EDEN4", "TQ2(center=yes)", "EDEN2+QJL"])
def test_a_centre_is_data_without_its_mean(spec, metric):
    x, _ = about(50, 48)
    codec = parse(spec, metric, 1).fit(x, 48)
    seen = unit(x) if metric == "cosine" else x.astype(np.float64)
    assert (np.abs(codec.center - seen.mean(axis=0)) <= 2 * U * np.abs(seen).max()).all()
    if metric == "cosine":
        return
    plain = replace(codec, center=None)
    moved = plain.encode(x - codec.center)
    assert all((array == moved[name]).all() for name, array in codec.encode(x).items())
    assert (codec.decode(moved) == plain.decode(moved) + codec.center).all()


class Looking:
    """A recipe that keeps the sample it is given."""

    centered = True

    def fit(self, sample, dim, seed):
        self.sample = sample
        return LloydMax(2).fit(None, dim, seed)


def test_quantizers_see_samples_centred_and_rotated():
    x, _ = about(40, 33)
    recipe = replace(parse("Haar,EDEN2", "ip", 0), quantizer=Looking())
    codec = recipe.fit(x, 33)
    assert (recipe.quantizer.sample == codec.transform.apply(x - codec.center)).all()


@specs
def test_zero_vectors_under_cosine(spec):
    """A query of zeros is as far from every row; so is a row of zeros, exactly without a centre."""
    x, q = about(40, 33)
    x[5] = q[2] = 0
    codec = parse(spec, "cosine", 0).fit(x, 33)
    found = scored(codec, x, q)[0]
    assert not found[:, 2].any()
    if codec.center is None:
        assert not found[5].any()
        assert not codec.decode(codec.encode(x))[5].any()
    else:
        assert np.abs(found[5]).max() <= 2 * np.linalg.norm(codec.center)


@specs
def test_norms_near_the_ends_of_float32(spec):
    """Any norm will do under cosine; under another metric distances would overflow."""
    x, q = about(20, 33)
    codec = parse(spec, "cosine", 0).fit(x, 33)
    want = scored(codec, x, q)[0]
    for power, other in ((-100, 100), (-40, 124), (40, -40), (124, -100)):
        assert (scored(codec, np.ldexp(x, power), np.ldexp(q, other))[0] == want).all()
    assert np.isfinite(scored(codec, np.ldexp(x, -149), np.ldexp(q, -149))[0]).all()
    for metric in ("l2", "ip"):
        recipe = parse(spec, metric, 0)
        codec = recipe.fit(x, 33)
        for refuse in (codec.encode, codec.operands, lambda rows, r=recipe: r.fit(rows, 33)):
            with pytest.raises(NonFiniteError, match="norms up to 1e18"):
                refuse(np.ldexp(x, 62))
        if spec != "F16":
            assert np.isfinite(scored(codec, np.ldexp(x, 54), np.ldexp(q, 54))[0]).all()


DIM, RHO = 768, 0.5
D = {bits: scalar_levels(bits, DIM).distortion for bits in (1, 2, 3, 4)}


@functools.cache
def estimates(spec, seeds, pairs):
    """Scores of unit vectors of inner product RHO, less it: (seeds * pairs,); each seed has other
    rotations. All vectors of a seed but each pair's are at right angles. And the mean of gamma^2.
    """
    base = np.linalg.qr(normal(DIM, 2 * pairs).astype(np.float64))[0].T
    x = base[:pairs].astype(np.float32)
    q = (RHO * base[:pairs] + math.sqrt(1 - RHO**2) * base[pairs:]).astype(np.float32)
    errors, steps = [], []
    for seed in range(seeds):
        codec = parse(spec, "ip", seed).fit(None, DIM)
        for i in range(0, pairs, 64):
            scores, _, operands = scored(codec, x[i : i + 64], q[i : i + 64])
            errors.append(np.diag(scores).astype(np.float64) - RHO)
            steps.append(operands.gamma[0, :64].astype(np.float64) ** 2)
    return np.concatenate(errors), np.mean(steps)


def check_figures(errors, bias, variance=None):
    """Bias, and variance * d, to 4 standard errors: a few percent."""
    assert abs(errors.mean() - bias) <= 4 * errors.std() / errors.size**0.5
    squares = (errors - errors.mean()) ** 2 * DIM
    error = 4 * squares.std() / squares.size**0.5
    assert error < 0.12 * squares.mean()
    assert variance is None or abs(squares.mean() - variance) <= error


many = pytest.mark.parametrize("more", [1, pytest.param(25, marks=pytest.mark.slow)])


@many
@pytest.mark.parametrize(("bits", "variance"), [(1, 0.428), (2, 0.0998), (3, 0.0268), (4, 0.0072)])
def test_eden_is_unbiased(bits, variance, more):
    """Of variance (1 - rho^2) D / (1 - D) / (d - 1), and what rounding the query adds."""
    errors, step = estimates(f"EDEN{bits}(center=no)", 50 * more, 128)
    theory = (1 - RHO**2) * D[bits] / (1 - D[bits]) * DIM / (DIM - 1)
    assert abs(theory / variance - 1) < 0.01  # as printed
    check_figures(errors, 0, theory + DIM * step / 12 / (1 - D[bits]))
    assert abs(errors.mean()) < 0.001


@many
@pytest.mark.parametrize(("bits", "bias"), [(1, -0.1816), (2, -0.0588), (3, -0.0175), (4, -0.0047)])
def test_turboquant_is_biased(bits, bias, more):
    """By -rho D."""
    assert abs(-RHO * D[bits] / bias - 1) < 0.02  # as printed
    check_figures(estimates(f"TQ{bits}", 50 * more, 128)[0], -RHO * D[bits])


@many
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_turboquant_prod_is_unbiased(bits, more):
    """pi/2 |e|^2 - <q, e>^2 over d, where |e|^2 is D and <q, e> is rho D: 1.32 .537 .181 .0539.

    <q, e> varies as well, by 1 / d of that at most. One bit is a plain QJL of d bits.
    """
    spec = (f"TQ{bits - 1}+" if bits > 1 else "") + "QJL(projection=gaussian)"
    residual = D[bits - 1] if bits > 1 else 1
    variance = math.pi / 2 * residual - (RHO * residual) ** 2
    check_figures(estimates(spec, 12 * more, 256)[0], 0, variance)


@many
def test_an_orthogonal_projection_errs_less(more):
    """As the fixed scale that is unbiased: 1 / c^2 - <x, x^>^2 across x, Var <x, x^> along it."""
    c2 = parse("QJL", "ip", 0).quantizer.fit(None, DIM, 0).mean_magnitude ** 2
    square = (1 + (DIM - 1) * 2 / math.pi) / DIM / c2  # E <x, x^>^2
    across = (1 - RHO**2) * DIM / (DIM - 1) * (1 / c2 - square)
    variance = RHO**2 * DIM * (square - 1) + across
    assert abs(variance - 0.45) < 0.01
    check_figures(estimates("QJL", 50 * more, 128)[0], 0, variance)


@metrics
@pytest.mark.parametrize("spec", ["Haar,EDEN2", "Haar,EDEN1(center=no)", "Haar,TQ2+QJL", "QJL90"])
def test_unbiased_whatever_the_metric(spec, metric):
    """The mean over 300 rotations, to 5 standard errors of each of 24 pairs."""
    x, q = about(8, 64)
    q = q[:3]
    found = np.array([scored(parse(spec, metric, s).fit(x, 64), x, q)[0] for s in range(300)])
    error = found.std(axis=0) / 300**0.5
    assert (np.abs(found.mean(axis=0) - truth(metric, x, q)) <= 5 * error).all()


@specs
@metrics
def test_arrays_of_another_shape(spec, metric):
    """See the tests of each part for its own arrays."""
    recipe = parse(spec, metric, 3)
    arrays = recipe.fit(about(40, 33)[0], 33).arrays()
    assert ("center" in arrays) == recipe.quantizer.centered
    for bad in (None, np.zeros(32, np.float32), np.zeros(33), np.full(33, np.nan, np.float32)):
        wrong = arrays | {"center": bad}
        if bad is None:
            del wrong["center"]
        if recipe.quantizer.centered:
            with pytest.raises(CorruptFileError, match="'center'"):
                recipe.restore(wrong, 33)
    for prefix in {name.partition(".")[0] for name in arrays if "." in name}:
        fewer = {k: v for k, v in arrays.items() if not k.startswith(f"{prefix}.")}
        with pytest.raises(CorruptFileError):
            recipe.restore(fewer, 33)


@specs
@metrics
def test_kept_originals(spec, metric):
    """Beside the same codes, as given, whatever the metric makes of them."""
    x, _ = about(40, 33)
    plain = parse(spec, metric, 3).fit(x, 33)
    for keep, kept in (("f32", x), ("f16", x.astype(np.float16).astype(np.float32))):
        codec = parse(f"{spec},Keep({keep})", metric, 3).fit(x, 33)
        columns = codec.encode(x)
        assert all((columns[name] == a).all() for name, a in plain.encode(x).items())
        assert list(codec.kept(columns)) == ["kept_rows"]
        assert codec.reconstruct(columns).tobytes() == kept.tobytes()
        assert codec.decode(columns).tobytes() == plain.reconstruct(columns).tobytes()
    assert plain.kept(columns) == {}
    with pytest.raises(NonFiniteError, match="float16"):
        codec.encode(x * np.float32(1e6))


@pytest.mark.parametrize(
    "spec",
    ["EDEN1", "EDEN4", "TQ2", "EDEN1+QJL", "EDEN2+QJL64", "TQprod2", "EDEN1(scale=biased)+QJL",
     "EDEN1+QJL(projection=gaussian)", "QJL", "QJL+QJL64", "SQ8+QJL"],
)  # fmt: skip
def test_decoding_errs_least(spec):
    """No multiple of rows as decoded, less the centre, is nearer to them: to 4 standard errors.

    And to first order in 1 / d, as in the tests of LloydMax.
    """
    x, _ = about(1500, 768)
    codec = parse(spec, "ip", 1).fit(x, 768)
    center = 0 if codec.center is None else codec.center
    y, r = codec.decode(codec.encode(x)).astype(np.float64) - center, x - center
    best = (y * r).sum(axis=1) / (y * y).sum(axis=1)
    error = 4 * best.std() / len(best) ** 0.5
    assert error < 0.003
    assert abs(best.mean() - 1) <= error + 1 / 768


@pytest.mark.parametrize(
    ("signs", "exact", "which"),
    [
        (1, True, ["EDEN1", "TQ1", "QJL", "QJL9", "RaBitQ1"]),  # signs are the score
        (2, True, ["EDEN1+QJL", "TQprod2", "QJL+QJL"]),
        (2, True, ["LVQ1", "Hadamard,LVQ1"]),  # ... with an offset
        (3, True, ["LVQ1+QJL", "LVQ1x1"]),
        (1, False, ["EDEN2", "EDEN8", "TQ4", "EDEN2+QJL", "EDEN4+QJL8"]),  # they bound it
        (1, False, ["RaBitQ2", "RaBitQ8", "RaBitQ4+QJL8"]),
        (2, False, ["EDEN2+QJL30", "TQ2+QJL9"]),  # ... with those of a sketch that adds much
        (0, True, ["F32", "F16", "SQ8", "SQ8+QJL"]),  # there are none
        (0, True, ["LVQ2", "LVQ4x4", "Hadamard,LVQ4", "LVQ1x4"]),  # not all of a row is there
        (0, True, ["None,EDEN2", "None,TQ4+QJL"]),  # what they leave out is not random
    ],
)
def test_what_signs_say(signs, exact, which):
    for spec in which:
        codec = parse(spec, "l2", 0).fit(normal(9, 64), 64)
        names = [column.name for column in codec.columns]
        scorer = codec.scorer
        assert scorer.signs == signs
        assert (scorer.error == 0) == exact
        assert names[scorer.bias] == "bias"
        assert scorer.ratio == (names.index("ratio") if "ratio" in names else program.NONE)
        assert scorer.rated == len(scorer.fields) - (codec.sketch is not None)
        assert parse(spec, "ip", 0).fit(normal(9, 64), 64).scorer.bias == program.NONE


@pytest.mark.parametrize("spec", ["EDEN2", "EDEN4", "TQ2", "EDEN2+QJL30"])
def test_too_few_signs_bound_nothing(spec):
    assert parse(spec, "ip", 0).fit(normal(9, 63), 63).scorer.signs == 0
    assert parse(spec, "ip", 0).fit(normal(9, 64), 64).scorer.signs > 0


@pytest.mark.parametrize("spec", ["EDEN2", "EDEN3", "TQ2"])
def test_bits_of_a_sketch_that_signs_bear(spec):
    """As many as leave its variance, for a residual |e|^2, MOST_NOISE of that of signs alone."""
    d = scalar_levels(int(spec[-1]), 64).distortion
    residual = d if spec == "TQ2" else d / (1 - d)
    for m in range(1, 65):
        codec = parse(f"{spec}+QJL{m}", "ip", 0).fit(normal(9, 64), 64)
        noise = residual * (64 / (m * codec.sketch.mean_magnitude**2) - 1) / (math.pi / 2 - 1)
        heard = noise <= MOST_NOISE
        assert codec.scorer.signs == (1 if heard else 2)
        error = 0.5 * math.sqrt((1 - 2 / math.pi) * (1 + (noise if heard else 0)))
        assert math.isclose(codec.scorer.error, error, rel_tol=1e-9)


def share_of_grid(bits):
    """The same for evenly spaced levels v, not the means of their cells: |e - f|^2 / |f|^2 of the
    errors e of an unbiased v and f of signs, with <e, f> = E v / (E |z| v E |z|) - 1."""
    levels = uniform_levels(bits)
    z = np.linspace(0, 9, 200_001)
    v = (np.searchsorted(levels.thresholds, z) + 0.5) * levels.unit
    weight = np.exp(-z * z / 2)
    weight /= weight.sum()
    own = weight @ (v * v) / (weight @ (z * v)) ** 2 - 1
    both = weight @ v / (weight @ (z * v) * (weight @ z)) - 1
    return (own + math.pi / 2 - 1 - 2 * both) / (math.pi / 2 - 1)


@pytest.mark.parametrize(
    ("spec", "share"),
    [
        ("EDEN2(center=no)", 1 - D[2] / (1 - D[2]) / (math.pi / 2 - 1)),
        ("EDEN4(center=no)", 1 - D[4] / (1 - D[4]) / (math.pi / 2 - 1)),
        ("TQ2", 1 - D[2] / (math.pi / 2 - 1)),
        ("RaBitQ2", share_of_grid(2)),
        ("RaBitQ4", share_of_grid(4)),
        ("EDEN2(center=no)+QJL", 1),
        ("EDEN3(center=no)+QJL(projection=gaussian)", 1),
    ],
)
def test_spread_about_the_estimate_from_signs(spec, share):
    """Its square is that of `error`, of which a code's own levels leave out their own error."""
    x, q = normal(128, DIM), normal(64, DIM, 1)
    codec = parse(spec, "ip", 2).fit(None, DIM)
    scores, columns, operands = scored(codec, x, q)
    layout = codec.quantizer.layout
    signs = np.where(layout.unpack(columns) >> (layout.segments[0].bits - 1), -0.5, 0.5)
    scale = columns["scale"] * columns["ratio"].astype(np.float64)
    estimate = scale * (signs @ codec.transform.apply_query(q).T)
    squares = ((scores - estimate) / (scale * operands.norms)) ** 2
    error = 4 * squares.std() / squares.size**0.5
    assert error < 0.07 * squares.mean()
    assert abs(squares.mean() - share * codec.scorer.error**2) <= error


RESIDUAL = ["EDEN1", "EDEN4", "SAQ2", "EDEN2+QJL", "PQ3x4", "RQ2x4", "F16", "LVQ4", "SQ8"]


def from_origins(spec, metric):
    """A codec of residuals, rows about four points, those rows as it sees them, their points."""
    x = (3 * normal(4, 33, 8) + 1)[np.arange(300) % 4] + normal(300, 33) / 2

    def origins(rows):
        return np.stack([rows[i::4].mean(axis=0) for i in range(4)])[np.arange(len(rows)) % 4]

    codec = parse(spec, metric, 3).fit(x, 33, origins=origins)
    r = codec.centred(x)
    return codec, x, r, origins(r)


@metrics
@pytest.mark.parametrize("spec", RESIDUAL)
def test_scores_of_residuals_want_their_origins_added(spec, metric):
    """They are then nearer to the truth than those of whole rows.

    Not so where codes fit a sample: they find four points themselves.
    """
    share = 1.2 if spec in ("SAQ2", "RQ2x4", "PQ3x4") else 0.7
    codec, x, _, origins = from_origins(spec, metric)
    q = x[:20] + normal(20, 33, 5) / 4
    want = truth(metric, x, q)
    codes = Codes(codec.columns)
    codes.append(codec.encode(x, origins) | {ID: np.arange(len(x))})
    operands = codec.operands(q)
    found = scores_of_blocks(codes, codec, operands, 0, codes.nblocks) + operands.alpha
    found = found + origins @ codec.asked(q).T
    plain = parse(spec, metric, 3).fit(x, 33)
    whole = scored(plain, x, q)[0]
    assert np.abs(found - want).mean() < share * np.abs(whole - want).mean()
    columns = codes.take(np.arange(len(x)))
    target = unit(x) if metric == "cosine" else x
    errors = np.square(codec.decode(columns, origins) - target).sum()
    assert errors < share * np.square(plain.decode(plain.encode(x)) - target).sum()


@metrics
@pytest.mark.parametrize("spec", ["EDEN1", "EDEN4", "RaBitQ3"])
def test_the_error_along_an_origin_is_taken_away(spec, metric):
    """A row that is asked has its true score: unbiased codes err by nothing along what they code.

    But for what a rotation rounds.
    """
    codec, x, r, origins = from_origins(spec, metric)
    columns = codec.encode(x, origins)
    a = codec.asked(x)
    expanded = codec.quantizer.expand(columns).astype(np.float64)
    found = (codec.transform.apply_query(a) * expanded).sum(axis=1) + (a * origins).sum(axis=1)
    want = (a.astype(np.float64) * r).sum(axis=1) - (metric == "l2") * norms(r) ** 2
    rounding = 4 * U * (33 + 3) * 33**0.5 * (norms(r) + norms(expanded)) * norms(a)
    assert (np.abs(found + columns["bias"] - want) <= rounding).all()
    without = np.abs(((codec.transform.apply(r - origins) - expanded) * a).sum(axis=1))
    assert (without > rounding).mean() > 0.9


def test_words_have_their_own_distances_from_origins_too():
    codec, x, _, origins = from_origins("PQ3x4", "l2")
    columns = codec.encode(x, origins)
    decoded = codec.decode(columns, origins).astype(np.float64)
    a = codec.asked(x[::-1])
    found = (a * (decoded - codec.center)).sum(axis=1) - norms(a) ** 2 / 4 + columns["bias"]
    want = -((decoded - x[::-1]) ** 2).sum(axis=1)
    assert np.abs(found - want).max() <= 40 * U * (norms(a) + norms(decoded)).max() ** 2
