from dataclasses import replace

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
