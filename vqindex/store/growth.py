"""How a store's index grows with its rows: exact, then codes, then codes in lists.

Which codes is measured: the cheapest kind that finds a sample's neighbours among its candidates.
"""

import sqlite3
from collections.abc import Callable
from math import ceil
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from vqindex.factory import index_factory, parse_index
from vqindex.indexes.base import Index
from vqindex.indexes.ivf import IVFIndex
from vqindex.store import ranking
from vqindex.store.documents import matrix
from vqindex.store.reading import Rows, read, read_rows, vector_rows

Vectors = NDArray[np.float32]
WAITING = 4096  # rows that are searched exactly before any is encoded
TAIL = 1024  # newest rows beside the codes, encoded when there are more
LISTED = 262_144  # rows from which they lie in lists
GROWN = 8  # times the rows that an index was made of: then it is made anew
CODES = ("EDEN4", "SAQ4")  # the first is made in less time and faster, the second finer
LISTS = "IVF,EDEN4"
SAMPLE = 8192  # rows that an index is fitted to, where it does not want more
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
    needs = {spec: parse_index(spec, metric, 0).sample_size for spec in kinds}
    sample = _some(connection, rows, dim, max(SAMPLE, *needs.values()))
    trial = _Trial(sample, metric) if len(kinds) > 1 else None
    for spec in kinds:
        index = index_factory(spec, metric=metric)
        if 0 < needs[spec] <= len(rows):
            index.fit(sample)
        for names, vectors in read(connection, [(0, int(rows.max(initial=0)))], dim):
            index.add(vectors, names)
            if trial is not None and spec == kinds[0]:
                trial.see(names, vectors)
            tell(len(index))
        if trial is None or trial.finds(index):
            break
    return index


def _some(connection: sqlite3.Connection, rows: Rows, dim: int, most: int) -> Vectors:
    """The vectors of at most so many rows, evenly spread over all."""
    chosen = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)]
    return matrix([blob for _, blob in read_rows(connection, chosen.tolist())], dim)


@final
class _Trial:
    """Questions such as may come, and what is to be found for them.

    They are rows of a sample, moved half the way to the last of their neighbours in it. Rows
    themselves would be too easy to find: their lists are their neighbours' as well.
    """

    def __init__(self, sample: Vectors, metric: str) -> None:
        chosen = sample[np.linspace(0, len(sample) - 1, ASKED).astype(np.int64)]
        last = _nearest(ranking.many_scores(chosen, sample, metric))[:, -1]
        self.asked: Vectors = (chosen + sample[last]) / np.float32(2)
        self.metric = metric
        self._scores = np.full((ASKED, NEAREST), -np.inf, np.float32)
        self._rows = np.full((ASKED, NEAREST), -1)

    def see(self, rows: Rows, vectors: Vectors) -> None:
        """Let some more rows be among those to be found, if they are near enough."""
        scores = ranking.many_scores(self.asked, vectors, self.metric)
        scores = np.concatenate([self._scores, scores], axis=1)
        every = np.concatenate([self._rows, np.broadcast_to(rows, (ASKED, len(rows)))], axis=1)
        best = _nearest(scores)
        self._scores = np.take_along_axis(scores, best, 1)
        self._rows = np.take_along_axis(every, best, 1)

    def finds(self, index: Index) -> bool:
        """Whether an index finds enough, set to look into as many lists as that takes.

        And into half as many again, as those asked are few.
        """
        if "nprobe" not in index.settings:
            return self._share(index) >= ENOUGH
        lists = index.nlist if isinstance(index, IVFIndex) else None
        nprobe, most = 8, (lists or 0) // FEW
        while nprobe <= most and self._share(index, nprobe=nprobe) < ENOUGH:
            nprobe = ceil(1.5 * nprobe)
        index.configure(nprobe=ceil(1.5 * nprobe))
        return nprobe <= most

    def _share(self, index: Index, **settings: Any) -> float:
        found = index.search(self.asked, candidates(NEAREST), **settings).ids
        pairs = zip(self._rows, found, strict=True)
        return float(np.mean([np.isin(rows, those).mean() for rows, those in pairs]))


def _nearest(scores: Vectors) -> Rows:
    """Places of the NEAREST largest of each row (nq, n), the least of them last."""
    best = np.argpartition(-scores, NEAREST - 1, axis=1)[:, :NEAREST]
    order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1)
    return np.take_along_axis(best, order, 1)
