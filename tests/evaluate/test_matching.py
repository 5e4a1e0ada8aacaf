"""Keys and repeats, against loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vqindex.evaluate.matching import repeats, row_keys

SMALL = st.integers(-1, 6)
IDS = arrays.arrays(
    np.int64, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=SMALL
)


@given(IDS, st.lists(SMALL, min_size=1, unique=True).map(sorted))
def test_keys_are_equal_where_row_and_id_are(ids, universe):
    rows = np.arange(len(ids))[:, None]
    keys = row_keys(rows, ids, np.array(universe))
    pairs = np.broadcast_to(rows, ids.shape).ravel().tolist(), ids.ravel().tolist()
    names: dict[int, tuple[int, int]] = {}
    for key, row, own in zip(keys.ravel().tolist(), *pairs, strict=True):
        assert (key == -1) == (own not in universe)
        if key != -1:
            assert names.setdefault(key, (row, own)) == (row, own)
    assert len(set(names.values())) == len(names)


@given(IDS)
def test_repeats_stand_right_of_the_first(ids):
    expected = [[own in row[:place] for place, own in enumerate(row)] for row in ids.tolist()]
    assert repeats(ids).tolist() == expected
