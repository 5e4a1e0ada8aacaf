"""Vectors as a database has them, as arrays."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqindex.store.documents import matrix

AT_ONCE = 2048  # vectors read at a time
Rows = NDArray[np.int64]


class Written(NamedTuple):
    """What one version wrote, and need not be read again: the vectors of rows, None for none."""

    version: int
    blobs: Mapping[int, bytes | None]


def read(
    connection: sqlite3.Connection, ranges: Iterable[tuple[int, int]], dim: int | None
) -> Iterator[tuple[Rows, NDArray[np.float32]]]:
    """The vectors of rows in ranges, first and last of each, a part at a time, as float32."""
    some = "SELECT row, data FROM vectors WHERE row BETWEEN ? AND ? ORDER BY row"
    return parts(chain.from_iterable(connection.execute(some, ends) for ends in ranges), dim)


def parts(
    found: Iterator[tuple[int, bytes]], dim: int | None
) -> Iterator[tuple[Rows, NDArray[np.float32]]]:
    """Rows and their vectors as arrays, a part at a time."""
    while part := list(islice(found, AT_ONCE)):
        assert dim is not None
        yield np.array([row for row, _ in part]), matrix([blob for _, blob in part], dim)


def read_rows(connection: sqlite3.Connection, rows: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Some rows that have a vector, ascending, and its bytes."""
    some = "SELECT row, data FROM vectors WHERE row IN (SELECT value FROM json_each(?))"
    return connection.execute(some, (json.dumps(rows),))


def vector_rows(connection: sqlite3.Connection) -> Rows:
    """Every row that has a vector, ascending."""
    found = connection.execute("SELECT row FROM vectors ORDER BY row")
    return np.fromiter((row for (row,) in found), np.int64)
