"""Scores of every quantizer are those of what its codes stand for."""

from itertools import product

import numpy as np
import pytest

from tests.quantizers.test_contract import DIMS, MATCHED, cases, fitted, rows, scored
from vqindex.codec import BIAS
from vqindex.factory import parse
from vqindex.kernels.cpu import program
from vqindex.kernels.cpu.operands import FINEST, STEPS
from vqindex.layouts.joined import Joined
from vqindex.layouts.mixed import MixedCodes
from vqindex.layouts.offset import OffsetColumn
from vqindex.layouts.scalar import ScalarCodes
from vqindex.layouts.sign import SignCodes
from vqindex.layouts.sparse import SparseCodes
from vqindex.layouts.table import TableCodes

LEVELLED = (ScalarCodes, MixedCodes)
U = 2.0**-24
HALF = 0.5 + 3 * STEPS * U  # a step of tables, with what float32 takes of it


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
    beyond the first add to its entries, and are finer.
    """
    nq, size = len(asked), layout.operand_bytes
    if isinstance(layout, OffsetColumn):
        entries = operands.gamma[i, :nq, None].astype(np.float64)
        assert (entries == asked).all()
        return [entries], i + 1, at + size
    if isinstance(layout, TableCodes):
        return [tables(layout, i, operands, at, asked)], i + 1, at + size
    if isinstance(layout, SparseCodes):
        entries = operands.entries[:nq, at : at + size].view(np.int32)[:, : layout.dims]
        unit = operands.gamma[i, :nq, None].astype(np.float64)
        assert np.abs(entries).max() <= FINEST
        assert (np.abs(entries * unit - asked) <= unit * (0.5 + FINEST * U)).all()
        return [entries * unit], i + 1, at + size
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
        parts[-1][:, :width] = (operands.entries[:nq, first : first + width] * unit)[
            :, : asked.shape[1]
        ]
        allowed[:, :width] = unit * (0.5 + 256 * U)
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
    if isinstance(layouts(term)[0], TableCodes):
        sizes = np.abs(values) @ (np.abs(y.astype(np.float64)) @ np.abs(s)).T
        assert (off <= 1.01 * U * (d + layouts(term)[0].parts + 2) * sizes).all()
        return
    mixing = 0 if np.array_equal(s, np.eye(d)) else 2 * (d + 3) * d**0.5
    norm = np.abs(s.T @ s).sum(axis=0).max() ** 0.5  # at least that of S
    factor = 1.01 * U * (1 + mixing) * norm
    lengths = np.linalg.norm(values, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    assert (off <= factor * lengths).all()


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
        *product(("PQ1x4", "RQ2x4(beam=2)", "NUQ4(outliers=0.0)"), DIMS[:-1]),
        ("OPQ1x4(center=no)", 7),
        *(case for case in MATCHED if not case[0].endswith((")", "QJL"))), ("RQ6x4(groups=3)", 65),
        ("RQ6x4(groups=3,outliers=0.1)", 65),
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
