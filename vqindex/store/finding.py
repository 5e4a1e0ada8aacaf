"""What reads a store within a snapshot: rows that pass filters, documents, the nearest."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from vqindex import arrays
from vqindex.store import ranking, sql
from vqindex.store.documents import Document, Hit, loads, matrix, vector
from vqindex.store.growth import candidates
from vqindex.store.mirror import Mirror
from vqindex.store.reading import read_rows
from vqindex.store.schema import State
from vqindex.store.where import Function, parse

Where = Mapping[str, Any] | Callable[[Document], bool] | None
Rows = NDArray[np.int64]
_IN = "IN (SELECT value FROM json_each(?))"
TOGETHER = 64  # queries whose candidates are read at once


@final
@dataclass(frozen=True)
class Questions:
    """Queries: exactly as given (nq, d) float64, and as float32 for the index."""

    exact: NDArray[np.float64]
    rough: NDArray[np.float32]

    @classmethod
    def of(cls, queries: Any, dim: int | None) -> "Questions":
        """Queries (nq, d), checked."""
        rough, single = arrays.queries(queries, dim)
        exact = np.asarray(queries, np.float64)
        return cls(exact[None] if single else exact, rough)


@final
@dataclass(frozen=True)
class Found:
    """The nearest rows of one query, best first, their scores and, if read, vectors."""

    rows: list[int]
    scores: list[float]
    blobs: dict[int, bytes]


def rows(connection: sqlite3.Connection, where: Where, ids: Sequence[str] | None = None) -> Rows:
    """Rows that pass a filter, ascending, of all or of some ids."""
    named = None
    if ids is not None:
        named = np.unique(np.array([*_named(connection, ids).values()], np.int64))
        if where is None:
            return named
    found: Iterable[tuple[int]]
    if where is None:
        found = connection.execute("SELECT row FROM documents ORDER BY row")
    elif callable(where):
        cursor = connection.execute("SELECT row, id, text, metadata FROM documents ORDER BY row")
        found = (
            (row,) for row, name, text, about in cursor if where(Document(name, text, loads(about)))
        )
    else:
        node, text = parse(where), _text(where)
        found = connection.execute(*sql.rows(node, text, indexed_fields(connection)))
    passed = np.fromiter((row for (row,) in found), np.int64)
    return passed if named is None else np.intersect1d(passed, named, assume_unique=True)


def _text(where: Mapping[str, Any]) -> str:
    """A filter that has been parsed, as JSON: for SQLite to hand to Python, and as its name."""
    return json.dumps(where, default=dict, sort_keys=True)


def indexed_fields(connection: sqlite3.Connection) -> dict[tuple[str, ...], int]:
    """The fields that have an index, and their numbers."""
    found = connection.execute("SELECT path, field FROM indexed")
    return {tuple(loads(path)): field for path, field in found}


def _named(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, int]:
    """The rows of ids that are there."""
    found = {}
    for one in ids:
        row = connection.execute("SELECT row FROM documents WHERE id = ?", (one,)).fetchone()
        if row is not None:
            found[one] = row[0]
    return found


def by_ids(connection: sqlite3.Connection, ids: Sequence[str], dim: int | None) -> list[Document]:
    """The documents of ids that are there, in their order."""
    named = _named(connection, ids)
    found = by_rows(connection, list(named.values()), dim)
    return [found[named[one]] for one in ids if one in named]


def by_rows(
    connection: sqlite3.Connection, rows: Sequence[int], dim: int | None,
    blobs: Mapping[int, bytes] | None = None,
) -> dict[int, Document]:  # fmt: skip
    """The documents of rows that are there; blobs are their vectors if they have been read."""
    if blobs is None:
        blobs = dict(read_rows(connection, rows))
    found = connection.execute(
        f"SELECT row, id, text, metadata FROM documents WHERE row {_IN}", (json.dumps(rows),)
    )
    return {
        row: Document(
            name, text, loads(about),
            vector(blobs[row], dim) if row in blobs and dim is not None else None,
        )
        for row, name, text, about in found
    }  # fmt: skip


def best(
    connection: sqlite3.Connection, mirror: Mirror, state: State, asked: Questions, k: int,
    where: Where, rerank: bool,
) -> list[Found]:  # fmt: skip
    """The k nearest rows of each query; the mirror stands where the snapshot does."""
    allowed, name = None, ""
    if where is not None:
        if isinstance(where, Function):
            name = f"function {where.name}"
        elif not callable(where):
            parse(where)
            name = _text(where)
        allowed = mirror.allowed(name) or mirror.allow(name, rows(connection, where))
    found, scores = mirror.candidates(asked.rough, k, candidates(k) if rerank else k, allowed)
    out = []
    for start in range(0, len(found), TOGETHER):
        part = found[start : start + TOGETHER]
        blobs: dict[int, bytes] = {}
        if rerank and part.size:
            wanted = part[0] if len(part) == 1 else np.unique(part)
            blobs = dict(read_rows(connection, wanted[wanted >= 0].tolist()))
        for i, ids in enumerate(part, start):
            there = ids >= 0
            names, estimates = ids[there], scores[i][there].astype(np.float64)
            if rerank and len(names):
                assert state.dim is not None
                each = matrix([blobs[row] for row in names.tolist()], state.dim, np.float64)
                estimates = ranking.scores(asked.exact[i], each, state.metric)
            order = ranking.best(estimates, names, k)
            chosen = names[order].tolist()
            mine = {row: blobs[row] for row in chosen} if rerank else {}
            out.append(Found(chosen, estimates[order].tolist(), mine))
    return out


def hits(
    connection: sqlite3.Connection, state: State, found: Sequence[Found], threshold: float | None
) -> list[list[Hit]]:
    """Found rows with their documents, those with too low a score left out."""
    blobs = {row: blob for one in found for row, blob in one.blobs.items()}
    wanted = list({row: None for one in found for row in one.rows})
    there = by_rows(connection, wanted, state.dim, blobs or None) if wanted else {}
    return [
        [
            Hit(there[row], score, ranking.distance(score, state.metric))
            for row, score in zip(one.rows, one.scores, strict=True)
            if threshold is None or score >= threshold
        ]
        for one in found
    ]


def spread_out(query: Any, hits: list[Hit], k: int, lambda_mult: float) -> list[Hit]:
    """k of some hits, by maximal marginal relevance."""
    if not hits:
        return []
    each = np.stack([np.asarray(hit.document.vector, np.float64) for hit in hits])
    chosen = ranking.spread_out(np.asarray(query, np.float64), each, k, lambda_mult)
    return [hits[i] for i in chosen]
