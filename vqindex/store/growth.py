"""How a store's index grows with its rows: exact, then codes, then codes in lists.

Which codes is measured: the cheapest kind that finds a sample's neighbours among its candidates.
"""

import sqlite3
from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqindex.factory import index_factory, parse_index
from vqindex.indexes.base import Index
from vqindex.indexes.ivf import IVFIndex
from vqindex.store import ranking
from vqindex.store.documents import matrix
from vqindex.store.reading import read, read_rows, vector_rows

WAITING = 4096  # rows that are searched exactly before any is encoded
TAIL = 1024  # newest rows beside the codes, encoded when there are more
LISTED = 262_144  # rows from which they lie in lists
GROWN = 8  # times the rows that an index was made of: then it is made anew
CODES = ("EDEN4", "SAQ4")  # the first is made in less time and faster, the second finer
LISTS = "IVF,EDEN4"
SAMPLE = 16_384  # rows that an index is fitted to, where it does not want more
ASKED = 48  # rows that are asked for
NEAREST = 10  # ... so many of their neighbours
ENOUGH = 0.995  # ... of which this share is to be among the candidates
FEW = 4  # lists are worth their while if one in so many is looked into


def candidates(k: int) -> int:
    """How many rows by their codes the k nearest are looked for among."""
    return 2 * k + 8


def specs(rows: int) -> tuple[str, ...]:
    """Factory strings for so many rows, the cheapest first; none for rows searched exactly."""
    if rows <= WAITING:
        return ()
    return CODES if rows < LISTED else (LISTS, *CODES)


def is_due(made_of: int, rows: int) -> bool:
    """Whether an index made of so many rows is to be made anew, now that there are more."""
    least = max(made_of, WAITING // GROWN)
    return rows > GROWN * least or made_of < LISTED <= rows


def build(
    connection: sqlite3.Connection, kinds: tuple[str, ...], metric: str, dim: int,
    tell: Callable[[int], None],
) -> Index:  # fmt: skip
    """An index of every row of a snapshot: the first kind that finds enough, or else the last."""
    rows = vector_rows(connection)
    if len(kinds) == 1:
        return _made(connection, rows, kinds[0], metric, dim, tell)
    asked = _questions(connection, rows, metric, dim)
    truth = _neighbours(connection, asked, metric)
    for spec in kinds:
        index = _made(connection, rows, spec, metric, dim, tell)
        if _finds(index, asked, truth):
            break
    return index


def _made(
    connection: sqlite3.Connection, rows: NDArray[np.int64], spec: str, metric: str, dim: int,
    tell: Callable[[int], None],
) -> Index:  # fmt: skip
    """An index of every row, fitted to some of all of them."""
    index, done = index_factory(spec, metric=metric), 0
    needed = parse_index(spec, metric, 0).sample_size
    if 0 < needed <= len(rows):
        index.fit(some(connection, rows, dim, max(needed, SAMPLE)))
    for names, vectors in read(connection, [(0, int(rows.max(initial=0)))], dim):
        index.add(vectors, names)
        done += len(names)
        tell(done)
    return index


def some(
    connection: sqlite3.Connection, rows: NDArray[np.int64], dim: int, most: int
) -> NDArray[np.float32]:
    """The vectors of at most so many rows, evenly spread over all."""
    chosen = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)]
    return matrix([blob for _, blob in read_rows(connection, chosen.tolist())], dim)


def _questions(
    connection: sqlite3.Connection, rows: NDArray[np.int64], metric: str, dim: int
) -> NDArray[np.float32]:
    """Questions such as may come: rows, moved half the way to the last of their neighbours.

    Rows themselves would be too easy to find: their lists are their neighbours' as well.
    """
    asked = some(connection, rows, dim, ASKED)
    last = _neighbours(connection, asked, metric)[:, -1].tolist()
    there = dict(read_rows(connection, last))
    middle: NDArray[np.float32] = (asked + matrix([there[row] for row in last], dim)) / 2
    return middle


def _finds(index: Index, asked: NDArray[np.float32], truth: NDArray[np.int64]) -> bool:
    """Whether an index finds enough, set to look into as many lists as that takes.

    And into half as many again, as those asked are few.
    """

    def share(**settings: Any) -> float:
        found = index.search(asked, candidates(NEAREST), **settings).ids
        return float(np.mean([np.isin(t, f).mean() for t, f in zip(truth, found, strict=True)]))

    if "nprobe" not in index.settings:
        return share() >= ENOUGH
    lists = index.nlist if isinstance(index, IVFIndex) else None
    nprobe, most = 8, (lists or 0) // FEW
    while nprobe <= most and share(nprobe=nprobe) < ENOUGH:
        nprobe = ceil(1.5 * nprobe)
    index.configure(nprobe=ceil(1.5 * nprobe))
    return nprobe <= most


def _neighbours(
    connection: sqlite3.Connection, asked: NDArray[np.float32], metric: str
) -> NDArray[np.int64]:
    """The rows nearest to each query, (nq, NEAREST), nearest first, by reading all."""
    nq, dim = asked.shape
    scores, ids = np.full((nq, NEAREST), -np.inf), np.full((nq, NEAREST), -1)
    for names, vectors in read(connection, [(0, 2**62)], dim):
        scores = np.concatenate([scores, ranking.many_scores(asked, vectors, metric)], axis=1)
        ids = np.concatenate([ids, np.broadcast_to(names, (nq, len(names)))], axis=1)
        best = np.argpartition(-scores, NEAREST - 1, axis=1)[:, :NEAREST]
        scores, ids = np.take_along_axis(scores, best, 1), np.take_along_axis(ids, best, 1)
    return np.take_along_axis(ids, np.argsort(-scores, axis=1), 1)
