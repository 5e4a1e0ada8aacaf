"""Scales of product codes, whatever their words are."""

import numpy as np
import pytest

from vqindex import index_factory


@pytest.mark.parametrize("spec", ["PQ1x4(scale=unbiased)", "RQ1x4(scale=unbiased)"])
def test_words_that_point_away_from_a_row_have_no_weight(spec):
    """A negative scale would turn a bound from above into one from below."""
    rng = np.random.default_rng(0)
    index = index_factory(spec, metric="ip")
    index.fit(rng.standard_normal((4000, 20)).astype(np.float32) + np.float32(0.3))
    near = rng.standard_normal((60, 20)).astype(np.float32) * np.float32(0.02)  # the mean
    index.add(near + np.float32(0.3))
    queries = rng.standard_normal((40, 20)).astype(np.float32)
    on, off = index.search(queries, 60), index.search(queries, 60, stages="off")
    assert (on.ids == off.ids).all()
    assert on.scores.tobytes() == off.scores.tobytes()
