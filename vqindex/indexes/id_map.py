"""Which row an id is: nothing but a count while ids are 0..n-1 in order, else a hash table."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from vqindex.errors import CorruptFileError, IdError
from vqindex.kernels.cpu import ids as hashing

Ints = NDArray[np.int64]
_END = 2**63  # the first integer that is no id
_LEAST = 64  # slots of the smallest table
_SPARSE = 8  # slots per id from which a table is made smaller
_RESTORE = "restore the file from a copy"


def plan_removal(rows: Ints, n: int) -> tuple[Ints, Ints]:
    """Moves that keep n rows dense when some go: (targets, sources), ascending.

    rows     (m,) int64, ascending and all different, each in [0, n)
    targets  (t,) the rows among these that are below n - m
    sources  (t,) as many that stay, from n - m on: row sources[i] moves to targets[i], and all
             rows from n - m on are dropped
    No fewer moves are possible: every target is a hole to be filled.
    """
    kept = n - len(rows)
    holes = int(np.searchsorted(rows, kept))
    stays = np.ones(len(rows), np.bool_)
    stays[rows[holes:] - kept] = False
    return rows[:holes], kept + np.flatnonzero(stays)


@final
class IdMap:
    """Map from the ids of an index, each in [0, 2**63), to its rows 0..n-1.

    Arrays are plain int64, as `vqindex.arrays` returns them. A table takes 24 to 48 bytes per id
    when it has grown, at most 128 after removals.
    """

    def __init__(self) -> None:
        self._n = 0
        self._next_id = 0
        self._table: Ints | None = None  # None: id i is row i

    def __len__(self) -> int:
        return self._n

    @property
    def next_id(self) -> int:
        """One above the largest id ever inserted; 2**63 when none is left."""
        return self._next_id

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return 0 if self._table is None else self._table.nbytes

    @property
    def table(self) -> Ints:
        """What kernels take, see kernels.cpu.ids; without entries where id i is row i."""
        return np.empty((0, 2), np.int64) if self._table is None else self._table

    def next_ids(self, m: int) -> Ints:
        """Ids (m,) for m new rows: consecutive from `next_id`, so none is ever used again.

        Raises IdError where they would not be below 2**63.
        """
        if self._next_id + m > _END:
            raise IdError(
                f"{m} new ids from {self._next_id} on must be below 2**63: pass ids yourself"
            )
        return np.arange(self._next_id, self._next_id + m, dtype=np.int64)

    def find(self, ids: Ints) -> Ints:
        """Rows (m,) of ids (m,) of any sign, -1 where an id is missing."""
        if self._table is None:
            return np.where((ids >= 0) & (ids < self._n), ids, -1)
        rows = np.empty_like(ids)
        hashing.find(self._table, ids, rows)
        return rows

    def insert(self, ids: Ints, first_row: int) -> None:
        """Give new ids (m,), each >= 0, the rows first_row..first_row+m-1.

        Raises IdError at an id that is there already, and nothing was inserted.
        """
        if not len(ids):
            return
        if self._table is not None or first_row != self._n or not _consecutive(ids, self._n):
            table = self._with_room(self._n + len(ids))
            inserted = hashing.insert(table, ids, first_row)
            if inserted < len(ids):
                hashing.remove(table, ids[:inserted])
                raise IdError(f"ids must be new and all differ, got {ids[inserted]} once more")
        self._n += len(ids)
        self._next_id = max(self._next_id, int(ids.max()) + 1)

    def remove(self, ids: Ints) -> None:
        """Forget ids (m,), all different; any that are missing are ignored."""
        m = len(ids)
        if not m:
            return
        if self._table is None and ids.min() == self._n - m and ids.max() == self._n - 1:
            self._n -= m
            return
        table = self._with_room(self._n)
        self._n -= hashing.remove(table, ids)
        if not self._n:
            self._table = None
        elif len(table) >= max(_SPARSE * self._n, 2 * _LEAST):
            self._table = _resized(table, _capacity(self._n))

    def assign(self, ids: Ints, rows: Ints) -> None:
        """Change the rows of ids (m,), all different, to rows (m,); missing ids are ignored."""
        if self._table is None and np.array_equal(ids, rows):
            return
        hashing.assign(self._with_room(self._n), ids, rows)

    @classmethod
    def rebuild(cls, ids: Ints, next_id: int) -> "IdMap":
        """The map of rows 0..n-1 whose ids (n,) were read from a file, with its `next_id`.

        Raises CorruptFileError where an id is negative or repeated, or next_id is too low.
        """
        if len(ids) and ids.min() < 0:
            raise CorruptFileError(f"ids in a file must be >= 0, got {ids.min()}: {_RESTORE}")
        rebuilt = cls()
        try:
            rebuilt.insert(ids, 0)
        except IdError as error:
            raise CorruptFileError(f"{error} in a file: {_RESTORE}") from error
        if not rebuilt.next_id <= next_id <= _END:
            raise CorruptFileError(
                f"the next id must be in [{rebuilt.next_id}, 2**63], got {next_id}: {_RESTORE}"
            )
        rebuilt._next_id = next_id
        return rebuilt

    def _with_room(self, n: int) -> Ints:
        """The table, large enough for n ids."""
        if self._table is None:
            table = _empty(_capacity(n))
            hashing.insert(table, np.arange(self._n), 0)
            self._table = table
        elif len(self._table) < _capacity(n):
            self._table = _resized(self._table, _capacity(n))
        return self._table


def _consecutive(ids: Ints, first: int) -> bool:
    """Whether ids (m,), m >= 1, are first, first + 1, and so on."""
    ends = ids[0] == first and ids[-1] == first + len(ids) - 1
    return bool(ends and (ids[1:] > ids[:-1]).all())


def _capacity(n: int) -> int:
    """Slots of a table of n ids that is at most two thirds full: look-ups stay short."""
    return max(_LEAST, 1 << (n + n // 2).bit_length())


def _empty(capacity: int) -> Ints:
    return np.full((capacity, 2), -1, np.int64)


def _resized(table: Ints, capacity: int) -> Ints:
    resized = _empty(capacity)
    hashing.copy(table, resized)
    return resized
