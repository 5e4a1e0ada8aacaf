"""The codec: what scores are under each metric, and how far they are from the truth."""

from dataclasses import replace

import numpy as np
import pytest

from vqindex.codec import ID
from vqindex.codes import Codes
from vqindex.errors import CorruptFileError, NonFiniteError
from vqindex.factory import parse
from vqindex.indexes.stored import scores_of_blocks
from vqindex.quantizers import LloydMax
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


def kept_squares(codec, r):
    """The square norms that l2 has of centred rows: those of what is kept where codes round."""
    encoded = codec.quantizer.encode(codec.transform.apply(r.astype(np.float32)))
    kept = encoded.approximation if encoded.rounded and codec.sketch is None else r
    return (kept.astype(np.float64) ** 2).sum(axis=1)


@specs
@metrics
def test_scores_by_the_formula(spec, metric):
    """Those of rows that stand for c + their expansion, but for queries rounded to int8.

    l2 has the row's own norm, and its expansion's where codes round. Rounding a query errs by at
    most half a step gamma for each entry of a term's operand, and sums by 12 u of what they add. A
    product by a matrix, however fast, errs by 2.02 u (d + 3) sqrt(d) of the norms: T's here and
    there, S's there and back, at |S| |signs| up to twice the row's norm; all is doubled under l2.
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
        squares = kept_squares(codec, x - center)[:, None] + (queries**2).sum(axis=1)
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
    squares = kept_squares(codec, r)[:, None] + (p**2).sum(axis=1, dtype=float)
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

    def fit(self, sample, dim, seed, queries=None):
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


@metrics
def test_quantizers_see_queries_as_operands_do(metric, monkeypatch):
    """Measured, centred under l2 and rotated, as scores are of them."""
    seen = []
    fit = LloydMax.fit

    def spy(self, sample, dim, seed, queries=None):
        seen.append(queries)
        return fit(self, sample, dim, seed)

    monkeypatch.setattr(LloydMax, "fit", spy)
    x, q = about(50, 12)
    codec = parse("EDEN2", metric, 3).fit(x, 12, q)
    wide = q.astype(np.float64)
    known = unit(wide) if metric == "cosine" else wide - (codec.center if metric == "l2" else 0)
    want = codec.transform.apply_query(known.astype(np.float32))
    assert seen[0] == pytest.approx(want, abs=1e-5)
    parse("EDEN2", metric, 3).fit(x, 12)
    assert seen[1] is None
