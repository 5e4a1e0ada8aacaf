"""What lies in a store's database.

state      one row: what the store is, how many documents there are, and how often it changed
documents  in the order they were first added; `odd` is that of `vqindex.store.sql`
vectors    as they were given; a document need not have one
log        rows that each version changed, as ranges, since the index file before the last
fields     values of the fields that have an index
"""

from typing import NamedTuple

FORMAT = 1
APPLICATION = 0x76714453  # "vqDS", in the header of the database file

TABLES = """
CREATE TABLE state(
    format INTEGER NOT NULL, metric TEXT NOT NULL, spec TEXT, originals TEXT NOT NULL,
    dim INTEGER, version INTEGER NOT NULL, next_row INTEGER NOT NULL,
    documents INTEGER NOT NULL, vectors INTEGER NOT NULL,
    log_start INTEGER NOT NULL, index_file TEXT, index_version INTEGER NOT NULL);
CREATE TABLE documents(
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, text TEXT, metadata TEXT NOT NULL,
    odd INTEGER NOT NULL);
CREATE INDEX odd_documents ON documents(row) WHERE odd;
CREATE TABLE vectors(row INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE log(version INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE INDEX log_versions ON log(version);
CREATE TABLE indexed(field INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE fields(
    field INTEGER NOT NULL, kind INTEGER NOT NULL, value NOT NULL, row INTEGER NOT NULL,
    PRIMARY KEY(field, kind, value, row)) WITHOUT ROWID;
CREATE INDEX fields_of_rows ON fields(row);
"""


class State(NamedTuple):
    """The one row of `state`.

    version        how many calls have changed the store
    next_row       the row of the next new document; no row is ever used again
    log_start      the log has all changes after this version
    index_file     the name of the index file, None before the first
    index_version  the version that it is of
    """

    format: int
    metric: str
    spec: str | None
    originals: str
    dim: int | None
    version: int
    next_row: int
    documents: int
    vectors: int
    log_start: int
    index_file: str | None
    index_version: int
