import numpy as np

from vqindex.datasets import ground_truth, load, sample_texts
from vqindex.datasets.paths import shipped


def test_shapes_and_types():
    sample = load("sample")
    assert (sample.n, sample.d, sample.nq, sample.k) == (10_000, 384, 500, 100)
    assert (sample.metric, sample.base.dtype, sample.queries.dtype) == ("cosine", "f2", "f2")


def test_truth_is_exact():
    sample = load("sample")
    distances, ids = ground_truth(sample.base, sample.queries[:100], 100, "cosine")
    assert (ids == sample.neighbors[:100]).all()
    assert (np.abs(distances - sample.distances[:100]) <= 2.0**-24 * distances).all()


def test_texts_belong_to_rows():
    sample, (base, queries) = load("sample"), sample_texts()
    assert (len(base), len(queries)) == (sample.n, sample.nq)
    query = queries.index("a provisional government")
    assert "form of government" in base[sample.neighbors[query, 0]]


def test_stays_small():
    assert sum(path.stat().st_size for path in shipped("sample").iterdir()) < 9_000_000
