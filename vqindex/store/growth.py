"""How a store's index grows with its rows: exact, then codes, then codes in lists."""

import sqlite3
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vqindex.factory import index_factory, parse_index
from vqindex.indexes.base import Index
from vqindex.store import ranking
from vqindex.store.reading import read, vector_rows

CODES = "EDEN4"  # of some thousand rows and more
LISTS = "IVF,EDEN4"  # of LISTED rows and more
WAITING = 4096  # rows that are searched exactly before any is encoded
TAIL = 1024  # newest rows beside the codes, encoded when there are more
LISTED = 262_144
SAMPLE = 16_384  # rows that an index is fitted to, where it does not want more
ASKED = 64  # rows that show in how many lists to look
NEAREST = 10  # ... for so many of their neighbours
ENOUGH = 0.995  # ... or this share of them


def choice(rows: int) -> str | None:
    """The factory string for so many rows, None for none."""
    return None if rows <= WAITING else CODES if rows < LISTED else LISTS


def build(
    connection: sqlite3.Connection, spec: str, metric: str, dim: int, tell: Callable[[int], None]
) -> Index:
    """An index of every row of a snapshot, fitted to some of all of them."""
    index, rows, done = index_factory(spec, metric=metric), vector_rows(connection), 0
    needed = parse_index(spec, metric, 0).sample_size
    if 0 < needed <= len(rows):
        index.fit(some(connection, rows, dim, max(needed, SAMPLE)))
    for names, vectors in read(connection, 0, int(rows.max(initial=0)), dim):
        index.add(vectors, names)
        done += len(names)
        tell(done)
    if "nprobe" in index.settings and len(rows) >= LISTED:
        index.configure(nprobe=_nprobe(connection, index, rows, dim))
    return index


def some(
    connection: sqlite3.Connection, rows: NDArray[np.int64], dim: int, most: int
) -> NDArray[np.float32]:
    """The vectors of at most so many rows, evenly spread over all."""
    chosen = np.unique(rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)])
    out = np.empty((len(chosen), dim), np.float32)
    for i, row in enumerate(chosen.tolist()):
        ((_, vector),) = read(connection, row, row, dim)
        out[i] = vector[0]
    return out


def _nprobe(connection: sqlite3.Connection, index: Index, rows: NDArray[np.int64], dim: int) -> int:
    """Lists in which some rows' neighbours are found, and half as many again.

    Questions lie farther from the lists' centroids than rows do, which is what the half is for.
    """
    queries = some(connection, rows, dim, ASKED).astype(np.float64)
    truth = _neighbours(connection, queries, int(rows[-1]), index.metric)
    nprobe = 8
    while nprobe < 4096:
        found = index.search(queries, 3 * NEAREST, nprobe=nprobe).ids
        hits = [np.isin(true, ids).mean() for true, ids in zip(truth, found, strict=True)]
        if np.mean(hits) >= ENOUGH:
            break
        nprobe *= 2
    return nprobe + nprobe // 2


def _neighbours(
    connection: sqlite3.Connection, queries: NDArray[np.float64], last: int, metric: str
) -> NDArray[np.int64]:
    """The rows nearest to each query, (nq, NEAREST), by reading all."""
    nq, dim = queries.shape
    best = np.full((nq, 0), -np.inf), np.empty((nq, 0), np.int64)
    for names, vectors in read(connection, 0, last, dim):
        doubles = vectors.astype(np.float64)
        each = [ranking.scores(query, doubles, metric) for query in queries]
        scores = np.concatenate([best[0], each], axis=1)
        ids = np.concatenate([best[1], np.broadcast_to(names, (nq, len(names)))], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :NEAREST]
        best = np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)
    return best[1]
