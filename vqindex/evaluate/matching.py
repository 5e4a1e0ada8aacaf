"""Which of the ids found for each query are wanted: the same for all queries at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


def row_keys(rows: NDArray[Any], ids: Ids, universe: Ids) -> Ids:
    """A number for each pair of a row and an id, -1 where the id is not of the universe.

    rows, ids   of shapes that broadcast
    universe    (m,) int64, ascending, m >= 1
    Keys of two calls with one universe are equal where row and id are.
    """
    places = np.minimum(np.searchsorted(universe, ids), len(universe) - 1)
    return np.where(universe[places] == ids, rows * len(universe) + places, -1)


def repeats(ids: Ids) -> NDArray[np.bool_]:
    """Where an id of ids (nq, k) stands further left in its row as well."""
    order = np.argsort(ids, axis=1, kind="stable")
    ordered = np.take_along_axis(ids, order, 1)
    again = np.zeros(ids.shape, bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], 1)
    return again
