"""Copies: rows that several lists have, each coded from its own origin there, under one id.

What a row has but once lies in a pool of its own, `once`: its id and its lists, and originals and
finer codes where there are any. Copies move about in their lists, and are found by their ids.
"""

from typing import final

import numpy as np
import numpy.typing as npt

from vqindex.codec import ID
from vqindex.codes import Codes
from vqindex.errors import CorruptFileError
from vqindex.indexes.id_map import IdMap
from vqindex.indexes.lists import Lists
from vqindex.indexes.model import LISTS
from vqindex.kernels.cpu.program import BLOCK

Ints = npt.NDArray[np.int64]


def slots_of(rows: Ints, once: Codes, codes: Codes, lists: Lists) -> Ints:
    """Where the copies of some rows are, (m, copies), in the order of their lists."""
    held = once.take(rows, [ID, LISTS])
    numbers = held[LISTS].ravel()
    ids = np.broadcast_to(held[ID], held[LISTS].shape).ravel()
    slots = np.empty(len(numbers), np.int64)
    order = np.argsort(numbers, kind="stable")
    found, starts = np.unique(numbers[order], return_index=True)
    for number, here in zip(found.tolist(), np.split(order, starts[1:]), strict=False):
        places = lists.places(number)
        there = codes.take(places, [ID])[ID].ravel()
        by_id = np.argsort(there)
        slots[here] = places[by_id[np.searchsorted(there, ids[here], sorter=by_id)]]
    return slots.reshape(held[LISTS].shape)


def check(once: Codes, codes: Codes, lists: Lists, ids: IdMap) -> None:
    """CorruptFileError unless each row has one copy in each of its lists, and no other."""
    numbers = once.take(np.arange(once.n), [LISTS])[LISTS]
    rows = ids.find(codes.column(ID)[lists.slots])
    if lists.n != numbers.size or (rows < 0).any():
        raise CorruptFileError("the file's lists have other rows than its ids.")
    its = numbers[rows] == lists.owners[lists.slots // BLOCK][:, None]
    count = np.bincount(rows * numbers.shape[1] + its.argmax(axis=1), minlength=numbers.size)
    if (its.sum(axis=1) != 1).any() or (count != 1).any():
        raise CorruptFileError("the file's rows are not in the lists that they name.")


@final
class Owners:
    """Which row each copy is of: looked up once, until lists change."""

    def __init__(self) -> None:
        self._known: tuple[Lists, Ints] | None = None

    def of(self, codes: Codes, lists: Lists, ids: IdMap) -> Ints:
        """The row of each slot that lists use, in the order of slots."""
        known = self._known
        if known is None or known[0] is not lists:
            known = self._known = lists, ids.find(codes.column(ID)[lists.slots])
        return known[1]
