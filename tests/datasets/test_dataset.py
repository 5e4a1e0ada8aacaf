import dataclasses

import numpy as np
import pytest

from vqindex.datasets import Dataset
from vqindex.errors import DtypeError, ShapeError, SpecError

GOOD = {
    "name": "tiny",
    "metric": "l2",
    "base": np.zeros((6, 4), np.uint8),
    "queries": np.zeros((2, 4), np.float16),
    "neighbors": np.array([[0, 5, 1], [2, 1, -1]]),
    "distances": np.zeros((2, 3), np.float32),
}


def test_sizes_and_repr():
    tiny = Dataset(**GOOD)
    assert (tiny.n, tiny.d, tiny.nq, tiny.k) == (6, 4, 2, 3)
    assert repr(tiny) == "Dataset('tiny', l2, n=6, d=4, nq=2, k=3, dtype=uint8)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny.metric = "ip"


def test_nothing_is_a_dataset_too():
    none = np.zeros((0, 0))
    empty = GOOD | {"base": np.zeros((0, 4)), "queries": np.zeros((0, 4))}
    empty |= {"neighbors": none.astype(np.int64), "distances": none.astype(np.float32)}
    assert Dataset(**empty).nq == 0


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("metric", "euclidean", SpecError),
        ("base", np.zeros(6), ShapeError),
        ("base", np.zeros((6, 4), complex), DtypeError),
        ("base", np.zeros((5, 4)), ShapeError),
        ("queries", np.zeros((2, 3)), ShapeError),
        ("queries", np.zeros((3, 4)), ShapeError),
        ("neighbors", GOOD["neighbors"].astype(np.int32), DtypeError),
        ("neighbors", GOOD["neighbors"] - 1, ShapeError),
        ("neighbors", np.array(0), ShapeError),
        ("distances", np.zeros((2, 3)), DtypeError),
        ("distances", np.zeros((2, 2), np.float32), ShapeError),
    ],
)
def test_what_does_not_fit_is_refused(field, value, error):
    with pytest.raises(error):
        Dataset(**GOOD | {field: value})
