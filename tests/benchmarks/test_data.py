from dataclasses import replace

import numpy as np
import pytest

from benchmarks import data


def test_the_first_queries_with_their_truth():
    sample = data.load("sample", 7)
    whole = data.load("sample", 10**6)
    assert (sample.nq, whole.nq) == (7, 500)
    assert (sample.neighbors == whole.neighbors[:7]).all()
    assert (sample.queries == whole.queries[:7]).all()


def test_the_hash_is_of_the_contents():
    sample = data.load("sample", 7)
    told = data.describe(sample)
    assert told == data.describe(data.load("sample", 7))
    assert (told["name"], told["metric"], told["n"], told["d"]) == ("sample", "cosine", 10_000, 384)
    assert told["sha256"] != data.describe(data.load("sample", 8))["sha256"]
    base = sample.base.copy()
    base[5, 3] += 1
    assert told["sha256"] != data.describe(replace(sample, base=base))["sha256"]


def test_default_names(tmp_path, monkeypatch):
    monkeypatch.setenv("VQINDEX_DATA", str(tmp_path))
    assert data.default_names() == ["sample"]
    (tmp_path / "b.hdf5").touch()
    (tmp_path / "a.hdf5").touch()
    assert data.default_names() == ["a", "b"]


def nearest(dataset, q, count=10):
    """Rows of a set nearest to its query q, by sorting."""
    base, query = (np.asarray(x, np.float64) for x in (dataset.base, dataset.queries[q]))
    if dataset.metric == "cosine":
        base /= np.linalg.norm(base, axis=1, keepdims=True)
    return np.argsort(-(base @ query), kind="stable")[:count]


def test_rows_side_by_side():
    sample, wide = data.load("sample", 9), data.load("sample", 3, wide=3)
    assert wide.name == "sample-wide3"
    assert (wide.n, wide.d, wide.nq, wide.k) == (3333, 3 * 384, 3, sample.k)
    parts = np.asarray(sample.base[6:9], np.float32)
    parts /= np.linalg.norm(parts, axis=1, keepdims=True)
    assert np.array_equal(wide.base[2], parts.ravel())
    assert wide.queries.shape == (3, 3 * 384)
    assert all((wide.neighbors[q, :10] == nearest(wide, q)).all() for q in range(3))


def test_parts_keep_their_norms_under_l2_and_zeros_stay():
    x = np.array([[3, 4], [0, 0], [0, 2], [1, 0], [5, 5]], np.uint8)
    assert data.side_by_side(x, 2, "l2").tolist() == [[3, 4, 0, 0], [0, 2, 1, 0]]
    ip = np.array([[0.6, 0.8, 0, 0], [0, 1, 1, 0]], np.float32)
    assert np.array_equal(data.side_by_side(x, 2, "ip"), ip)
    with pytest.raises(ValueError, match="laying 6 rows side by side needs as many, got 5"):
        data.side_by_side(x, 6, "ip")


def test_fewer_rows():
    few = data.load("sample", 5, rows=700)
    assert (few.name, few.n, few.nq) == ("sample-rows700", 700, 5)
    assert (few.base == data.load("sample", 5).base[:700]).all()
    assert all((few.neighbors[q, :10] == nearest(few, q)).all() for q in range(5))
    assert data.load("sample", 5, rows=10_000).name == "sample"


def test_more_rows_are_the_same_with_noise():
    x = np.random.default_rng(1).integers(0, 256, (5000, 40), np.uint8)
    many = data.repeated(x, 38_000)
    assert (many.shape, many.dtype) == ((38_000, 40), np.float32)
    assert np.array_equal(many[:5000], x)
    again = x[np.arange(5000, 38_000) % 5000].astype(np.float32)
    noise = many[5000:] - again
    norms = np.linalg.norm(again, axis=1, keepdims=True)
    scaled = noise / norms * 40**0.5 / data.NOISE
    # 1.32 million standard normal numbers: five standard errors of their mean and square.
    assert abs(scaled.mean()) < 5 / scaled.size**0.5
    assert abs((scaled**2).mean() - 1) < 5 * (2 / scaled.size) ** 0.5
    assert len(np.unique(noise[:, 0])) > 30_000
    assert np.array_equal(data.repeated(x, 20_000), many[:20_000])


def test_more_rows_of_a_wide_set():
    both = data.load("sample", 2, rows=1100, wide=10)
    assert (both.name, both.n, both.d) == ("sample-wide10-rows1100", 1100, 3840)
    assert all((both.neighbors[q, :10] == nearest(both, q)).all() for q in range(2))
