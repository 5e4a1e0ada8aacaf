"""What quantizers find on the sample, in the order of theory."""

import functools
from itertools import pairwise

import numpy as np
import pytest

import vqindex as vq
from vqindex.datasets import load


@functools.cache
def hits(spec):
    """The share of each query's ten nearest rows that are found, on the sample."""
    sample = load("sample")
    index = vq.index_factory(spec, metric=sample.metric)
    index.fit(sample.base).add(sample.base)
    found = index.search(sample.queries, 10).ids.tolist()
    truth = sample.neighbors[:, :10].tolist()
    return np.array([len(set(a) & set(b)) / 10 for a, b in zip(found, truth, strict=True)])


@pytest.mark.parametrize(
    "order",
    [
        ["EDEN1", "EDEN1.5", "EDEN2", "EDEN2.5", "EDEN3", "EDEN3.5", "EDEN4", "SQ8", "F16"],
        ["TQprod2", "TQ2", "EDEN2"],
        ["TQprod4", "TQ4", "EDEN4"],
        ["EDEN1", "VQ4(words=256)", "TCQ2", "Levels11", "TCQ4"],
        ["Ternary", "Levels5", "OCT3", "OCT4"],
        ["EDEN2", "PVQ2", "EDEN3"],
        ["PVQ2", "Polar", "EDEN4"],
        ["LVQ1", "LVQ2", "LVQ4", "LVQ4x4"],
        ["SAQ0.5", "SAQ1", "SAQ2", "SAQ3", "SAQ4", "SAQ6"],
        ["EDEN1", "SAQ1"],
        ["EDEN2", "SAQ2"],
        ["EDEN4", "SAQ4"],
        ["RaBitQ1", "RaBitQ2", "RaBitQ3", "RaBitQ4", "RaBitQ6"],
        ["VQ2(words=4)", "VQ2", "VQ2(words=64)", "VQ2(words=256)"],
        ["NUQ1", "NUQ2", "NUQ4", "NUQ8"],
        ["PQ16x4", "PQ32x4", "OPQ32x4", "PQ64x4", "PQ128x4"],
        ["PQ8x8", "PQ16x8", "PQ32x8", "PQ64x8"],
        ["PQ32x4", "PQ16x8"],
        ["RQ4x4", "RQ8x4"],
        ["PQ8x4", "RQ8x4"],
        ["EDEN2", "Coarse256,EDEN2"],
    ],
    ids="-".join,
)
def test_recall_is_in_the_order_of_theory(order):
    """Better by three standard errors of the difference between the same queries."""
    for worse, better in pairwise(order):
        gain = hits(better) - hits(worse)
        assert gain.mean() > 3 * gain.std() / len(gain) ** 0.5, (worse, better)


def test_float32_is_exact():
    assert hits("F32").mean() == 1
