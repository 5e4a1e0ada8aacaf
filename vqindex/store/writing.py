"""What changes a store's tables, within a transaction."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqindex.errors import IdError, ShapeError
from vqindex.progress import Progress, ProgressLike
from vqindex.store.database import read_state
from vqindex.store.documents import Batch, is_odd, loads
from vqindex.store.finding import indexed_fields
from vqindex.store.reading import Written
from vqindex.store.schema import State
from vqindex.store.sql import entry

AT_ONCE = 1024  # documents written between two signs of progress


def write(
    connection: sqlite3.Connection, batch: Batch, mode: str, progress: ProgressLike = False
) -> Written:
    """Write documents, which makes a version if there are any; mode is "add", "skip" or "upsert".

    IdError if an id is there that is to be added, ShapeError for vectors of another dimension.
    """
    state = read_state(connection)
    dim = _dim(state, batch)
    chosen = _chosen(batch, mode)
    rows, new = _placed(connection, batch, chosen, mode, state.next_row)
    chosen = [at for at, row in zip(chosen, rows, strict=True) if row >= 0]
    rows = [row for row in rows if row >= 0]
    tell = Progress(progress, len(rows), mode)
    fields = indexed_fields(connection)
    replaced = 0
    for start in range(0, len(rows), AT_ONCE):
        stop = start + AT_ONCE
        replaced += _put(connection, batch, chosen[start:stop], rows[start:stop], state, fields)
        tell(min(stop, len(rows)))
    if not rows:
        return Written(state.version, {})
    vectors = sum(batch.vectors[at] is not None for at in chosen) - replaced
    _changed(connection, rows)
    connection.execute(
        "UPDATE state SET dim = ?, next_row = next_row + ?, documents = documents + ?, "
        "vectors = vectors + ?",
        (dim, new, new, vectors),
    )
    blobs = {row: batch.vectors[at] for row, at in zip(rows, chosen, strict=True)}
    return Written(state.version + 1, blobs)


def _dim(state: State, batch: Batch) -> int | None:
    """The store's dimension with these vectors in it."""
    if batch.dim is None or not state.vectors:
        return state.dim if batch.dim is None else batch.dim
    if batch.dim != state.dim:
        raise ShapeError(f"vectors must have shape (n, {state.dim}), got (n, {batch.dim}).")
    return state.dim


def _chosen(batch: Batch, mode: str) -> list[int]:
    """Places of the documents to write: of each id one."""
    places: dict[str, int] = {}
    for at, name in enumerate(batch.ids):
        if name not in places or mode == "upsert":
            places[name] = at
        elif mode == "add":
            raise IdError(f"ids must all differ, got {name!r} again at position {at}.")
    return list(places.values())


def _placed(
    connection: sqlite3.Connection, batch: Batch, chosen: Sequence[int], mode: str, first: int
) -> tuple[list[int], int]:
    """The row of each document, -1 for one to leave alone, and how many are new."""
    if mode == "add":
        return list(range(first, first + len(chosen))), len(chosen)
    rows, next_row = [], first
    for at in chosen:
        name = batch.ids[at]
        found = connection.execute("SELECT row FROM documents WHERE id = ?", (name,)).fetchone()
        if found is None:
            rows.append(next_row)
            next_row += 1
        else:
            rows.append(found[0] if mode == "upsert" else -1)
    return rows, next_row - first


def _put(
    connection: sqlite3.Connection, batch: Batch, chosen: Sequence[int], rows: Sequence[int],
    state: State, fields: Mapping[tuple[str, ...], int],
) -> int:  # fmt: skip
    """Write some documents; how many vectors they replaced."""
    old = [(row,) for row in rows if row < state.next_row]
    replaced = 0
    if old:
        replaced = connection.executemany("DELETE FROM vectors WHERE row = ?", old).rowcount
        connection.executemany("DELETE FROM documents WHERE row = ?", old)
        connection.executemany("DELETE FROM fields WHERE row = ?", old)
    ready = list(zip(rows, chosen, strict=True))
    try:
        connection.executemany(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?)",
            [(r, batch.ids[i], batch.texts[i], batch.encoded[i], batch.odd[i]) for r, i in ready],
        )
    except sqlite3.IntegrityError as error:
        raise IdError(_taken(connection, batch, state.next_row)) from error
    connection.executemany(
        "INSERT INTO vectors VALUES (?, ?)",
        [(r, batch.vectors[at]) for r, at in ready if batch.vectors[at] is not None],
    )
    if fields:
        _index(connection, fields, ((r, batch.metadata[at], batch.odd[at]) for r, at in ready))
    return replaced


def _taken(connection: sqlite3.Connection, batch: Batch, next_row: int) -> str:
    """Which id was there before those that are being added."""
    for name in batch.ids:
        found = connection.execute("SELECT row FROM documents WHERE id = ?", (name,)).fetchone()
        if found is not None and found[0] < next_row:
            return f"id {name!r} is in the store already; upsert replaces documents."
    return "an id is in the store already; upsert replaces documents."


def remove(connection: sqlite3.Connection, rows: NDArray[np.int64]) -> None:
    """Remove the documents of some rows, ascending."""
    if not len(rows):
        return
    gone = [(row,) for row in rows.tolist()]
    vectors = connection.executemany("DELETE FROM vectors WHERE row = ?", gone).rowcount
    connection.executemany("DELETE FROM documents WHERE row = ?", gone)
    connection.executemany("DELETE FROM fields WHERE row = ?", gone)
    _changed(connection, rows.tolist())
    connection.execute(
        "UPDATE state SET documents = documents - ?, vectors = vectors - ?", (len(rows), vectors)
    )


def _changed(connection: sqlite3.Connection, rows: Iterable[int]) -> None:
    """Note a new version, and which rows it changed."""
    ranges: list[list[int]] = []
    for row in sorted(rows):
        if ranges and row == ranges[-1][1] + 1:
            ranges[-1][1] = row
        else:
            ranges.append([row, row])
    connection.execute("UPDATE state SET version = version + 1")
    connection.executemany("INSERT INTO log SELECT version, ?, ? FROM state", ranges)


def index_field(connection: sqlite3.Connection, path: tuple[str, ...]) -> None:
    """Begin an index of a field; nothing if there is one."""
    text = json.dumps(path)
    if connection.execute("SELECT 1 FROM indexed WHERE path = ?", (text,)).fetchone():
        return
    field = connection.execute("INSERT INTO indexed(path) VALUES (?)", (text,)).lastrowid
    assert field is not None
    found = connection.execute("SELECT row, metadata FROM documents")
    while part := found.fetchmany(AT_ONCE):
        several = ((row, loads(metadata), is_odd(metadata)) for row, metadata in part)
        _index(connection, {path: field}, several)


def _index(
    connection: sqlite3.Connection, fields: Mapping[tuple[str, ...], int],
    several: Iterable[tuple[int, Mapping[str, Any], bool]],
) -> None:  # fmt: skip
    """Write the values of indexed fields; odd rows are filtered without."""
    entries = []
    for row, metadata, odd in several:
        for path, field in fields.items():
            value: Any = metadata
            for key in path[1:]:
                value = value.get(key, _NONE) if isinstance(value, Mapping) else _NONE
            kind, shown = (-1, None) if odd or value is _NONE else entry(value)
            if kind >= 0:
                entries.append((field, kind, shown, row))
    connection.executemany("INSERT INTO fields VALUES (?, ?, ?, ?)", entries)


_NONE: Any = object()
