"""Vectors as a database has them, as arrays."""

import sqlite3
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vqindex.store.documents import matrix

AT_ONCE = 2048  # vectors read at a time
Rows = NDArray[np.int64]


def read(
    connection: sqlite3.Connection, first: int, last: int, dim: int | None
) -> Iterator[tuple[Rows, NDArray[np.float32]]]:
    """The vectors of rows first..last, ascending, a part at a time, as float32."""
    found = connection.execute(
        "SELECT row, data FROM vectors WHERE row BETWEEN ? AND ? ORDER BY row", (first, last)
    )
    while part := found.fetchmany(AT_ONCE):
        assert dim is not None
        yield np.array([row for row, _ in part]), matrix([blob for _, blob in part], dim)


def vector_rows(connection: sqlite3.Connection) -> Rows:
    """Every row that has a vector, ascending."""
    found = connection.execute("SELECT row FROM vectors ORDER BY row")
    return np.fromiter((row for (row,) in found), np.int64)
