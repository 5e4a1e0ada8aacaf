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
            values = hits_of(layout, columns)
        else:
            decode = layout.levels if isinstance(layout, LEVELLED) else layout.unpack
            values = decode(columns).astype(np.float64)
        scaled = term.scale and not isinstance(layout, OffsetColumn)
        found.append(values * columns[term.scale] if scaled else values)
    return np.concatenate(found, axis=1)


def hits_of(layout, columns):
    """One for each entry of the tables that a row looks up, (n, entries) float64."""
    found = layout.unpack(columns)[:, :, None] == np.arange(layout.size)
    return found.reshape(len(found), -1).astype(np.float64)


def table_words(coarse):
    """The centroid that each entry of the tables is of, (entries, dim) float64."""
    levels = np.split(coarse.words, np.cumsum(coarse.sizes)[:-1])
    return np.concatenate([w[np.arange(256) * (np.arange(256) < len(w))] for w in levels])


def rounded(layout, operands, at, asked):
    """What the operand of a layout that begins at entry `at` stands for, checked.

    For each segment, with its number, and then the entry where the next layout begins. Segments
    beyond the first have entries of their own, or add to its entries and are finer.
    """
    nq, size, starts = len(asked), layout.operand_bytes, operands.program[:, program.OPERAND]
    here = np.flatnonzero((starts >= at) & (starts < at + size))
    if isinstance(layout, OffsetColumn):
        entries = operands.gamma[here[0], :nq, None].astype(np.float64)
        assert (entries == asked).all()
        return [(here[0], entries)], at + size
    if isinstance(layout, TableCodes):
        return [(here[0], tables(layout, here[0], operands, at, asked))], at + size
    if isinstance(layout, SparseCodes):
        entries = operands.entries[:nq, at : at + size].view(np.int32)[:, : layout.dims]
        unit = operands.gamma[here[0], :nq, None].astype(np.float64)
        assert np.abs(entries).max() <= FINEST
        assert (np.abs(entries * unit - asked) <= unit * (0.5 + FINEST * U)).all()
        return [(here[0], entries * unit)], at + size
    if operands.entries.dtype != np.int8:
        used = layout.spread(np.ones((1, asked.shape[1]), np.float32))[0] > 0
        assert (operands.entries[:nq, at : at + used.size][:, used] == asked).all()
        return [(0, asked.astype(np.float64))], at + used.size
    parts, allowed = [], np.zeros(asked.shape)
    for s in here:
        first, width = starts[s], 64 * operands.program[s, program.WORDS]
        unit = operands.gamma[s, :nq, None].astype(np.float64)
        parts.append(np.zeros(asked.shape))
        start = first - at if isinstance(layout, ScalarCodes) else 0
        own = slice(start, min(start + width, asked.shape[1]))
        entries = operands.entries[:nq, first : first + own.stop - start]
        parts[-1][:, own] = entries * unit
        allowed[:, own] = unit * (0.5 + 256 * U)
    assert (np.abs(sum(parts) - asked) <= allowed + 4 * U * np.abs(asked)).all()
    return list(zip(here, parts, strict=True)), at + size


def tables(layout, i, operands, at, asked):
    """Tables (nq, entries) of which an operand holds steps, checked: within half a step each.

    Each table begins at its least entry. The sum of these is added to a row's sum, so that each of
    its codes has the same share of it here.
    """
    nq = len(asked)
    places = layout.spread(np.arange(1, layout.dims + 1, dtype=np.float32)[None])[0]
    places = places[: 256 * layout.words]
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
    terms, at = [], 0
    for term in (t for t in (codec.quantizer, codec.sketch) if t is not None):
        asked, values = term.operand(y), coded(term, columns)
        first = 0
        for layout in layouts(term):
            here = slice(first, first + layout.dims)
            segments, at = rounded(layout, operands, at, asked[:, here])
            terms += [(s, values[:, here], entries) for s, entries in segments]
            first = here.stop
        check_expand(term, columns, values, y, asked)
    if codec.coarse is not None:
        asked, values = codec.coarse.operand(q), hits_of(codec.coarse.layout, columns)
        [(s, entries)], _at = rounded(codec.coarse.layout, operands, at, asked)
        terms.append((s, values, entries))
        points = codec.coarse.points(columns).astype(np.float64)
        sizes = values @ (np.abs(q) @ np.abs(table_words(codec.coarse)).T).T
        off = np.abs(values @ asked.astype(np.float64).T - points @ q.astype(np.float64).T)
        assert (off <= U * (dim + 3) * sizes).all()
    want = bound = np.zeros(found.shape)
    for _s, values, entries in sorted(terms, key=lambda term: term[0]):
        each = values.shape[1] * (U if operands.entries.dtype == np.float32 else U * U)
        part = values @ entries.T
        bound = bound + (np.abs(want).max() > 0) * U * np.abs(want + part)
        want = want + part
        bound = bound + 4 * U * np.abs(part)
        bound = bound + each * (np.abs(values) @ np.abs(entries).T)
    if codec.coarse is not None:
        want = want + columns[BIAS]
        bound = bound + U * np.abs(want)
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
