"""Rows coded from points near them: what their scores want added, and how far those are off."""

import numpy as np
import pytest

from tests.test_codec import U, metrics, normal, norms, scored, truth, unit
from vqindex.codec import ID
from vqindex.codes import Codes
from vqindex.factory import parse
from vqindex.indexes.stored import scores_of_blocks

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
