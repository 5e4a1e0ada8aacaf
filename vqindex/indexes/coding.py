"""Coding rows: which lists they go to, and writing the columns of all their copies."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vqindex.codec import ID, Codec
from vqindex.codes import Codes
from vqindex.indexes.lists import Lists
from vqindex.indexes.model import Model
from vqindex.kernels.cpu.program import BLOCK
from vqindex.layouts.base import Array, FloatArray

Ids = npt.NDArray[np.int64]


def nearest(model: Model, x: FloatArray) -> tuple[Ids, int]:
    """The lists of each row (m, copies), and the strain of all."""
    assert model.centroids is not None
    centred = model.codec.centred(x)
    numbers = model.centroids.assign_all(centred, model.copies - 1)
    return numbers, model.centroids.strain(centred, numbers[:, 0])


def put(
    codes: Codes, once: Codes | None, encoded: list[dict[str, Array]], slots: Ids, rows: Ids
) -> None:
    """Write rows as Model.encode has them: their copies into slots (m, copies)."""
    for copy, places in zip(encoded, slots.T, strict=True):
        codes.put(places, copy | {ID: encoded[0][ID]})
    if once is not None:
        once.put(rows, encoded[0])


class Coded(NamedTuple):
    """Rows in lists or not, what they have but once, and what their ids stand for (n,)."""

    codes: Codes
    once: Codes | None
    lists: Lists | None
    places: Ids


def anew(model: Model, codec: Codec, old: Codes, edges: list[tuple[int, int]]) -> Coded:
    """All rows that a codec keeps exactly, as a model codes them, in chunks with these edges."""
    codes, once = Codes(model.columns), Codes(model.once) if model.once else None
    rows, ids = np.arange(old.n), old.column(ID)

    def waiting(a: int, b: int) -> FloatArray:
        return codec.decode(old.take(rows[a:b]))

    numbers, lists, slots = None, None, rows[:, None]
    if model.centroids is not None:
        parts = [nearest(model, waiting(a, b))[0] for a, b in edges]
        numbers = np.concatenate([np.empty((0, model.copies), np.int64), *parts])
        lists, slots = Lists.empty(model.centroids.lists).grown(numbers)
    codes.extend(old.n if lists is None else BLOCK * lists.blocks)
    if once is not None:
        once.extend(old.n)
    for a, b in edges:
        encoded = model.encode(waiting(a, b), None if numbers is None else numbers[a:b])
        encoded[0].update(codec.kept(old.take(rows[a:b])) | {ID: ids[a:b]})
        put(codes, once, encoded, slots[a:b], rows[a:b])
    return Coded(codes, once, lists, slots[:, 0] if once is None else rows)
