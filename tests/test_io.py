"""Files of indexes: saving, loading, mapping."""

import os
import pickle

import numpy as np
import pytest
import safetensors.numpy

import vqindex as vq

METRICS = ("l2", "ip", "cosine")
CODECS = [
    "F32", "F16", "SQ8", "EDEN1", "EDEN4", "EDEN8", "EDEN3(center=no)", "EDEN2(scale=biased)",
    "TQ4", "TQprod3", "QJL", "QJL50(projection=gaussian)", "EDEN2+QJL", "Haar,EDEN4",
    "None,TQ2", "Hadamard(rounds=3),SQ8", "EDEN4,Keep(f32)", "QJL,Keep(f16)",
]  # fmt: skip
D = 13


def state(index):
    """The bytes of the file that `save` would write."""
    return index.__reduce__()[1][1]


def vectors(n, d=D, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def filled(spec="EDEN4", metric="cosine", n=1100, **options):
    index = vq.index_factory(spec, metric=metric, **options)
    index.add(vectors(n), ids=np.random.default_rng(1).permutation(n) * 3)
    return index


def same(index, other):
    for name in ("spec", "metric", "seed", "settings", "dim", "is_fitted", "bytes_per_row"):
        assert getattr(index, name) == getattr(other, name)
    np.testing.assert_array_equal(index.ids, other.ids)
    q = vectors(9, seed=2)
    for queries in (q, q[0]):
        got, want = index.search(queries, k=20), other.search(queries, k=20)
        np.testing.assert_array_equal(got.ids, want.ids)
        np.testing.assert_array_equal(got.scores, want.scores)
        for a, b in zip(index.range_search(q, 1.0), other.range_search(q, 1.0), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(index.reconstruct(index.ids), other.reconstruct(index.ids))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spec", CODECS)
def test_an_index_comes_back_as_it_was(tmp_path, spec, metric):
    path = tmp_path / "x.vqi"
    for n in (40, 1100):
        index = filled(spec, metric, n, seed=3)
        index.configure(eps0=2.5, stages="off")
        index.save(path)
        assert path.read_bytes() == state(index)
        for mmap in (False, True):
            for level in ("full", "header", "none"):
                same(vq.load(path, mmap=mmap, verify=level), index)
        vq.verify(path)
        same(pickle.loads(pickle.dumps(index)), index)


@pytest.mark.parametrize("spec", ["F32", "EDEN4", "TQprod3"])
def test_indexes_without_rows_come_back(tmp_path, spec):
    path = tmp_path / "x.vqi"
    new, fitted, emptied = (vq.index_factory(spec, metric="l2") for _ in range(3))
    fitted.fit(vectors(50))
    emptied.add(vectors(1100))
    emptied.remove(emptied.ids)
    for index, dim, first in ((new, None, 0), (fitted, D, 0), (emptied, D, 1100)):
        index.save(path)
        for mmap in (True, False):
            loaded = vq.load(path, mmap=mmap)
            assert (loaded.dim, len(loaded)) == (dim, 0)
            assert loaded.is_fitted == index.is_fitted
            assert (loaded.search(vectors(3)).ids == -1).all()
        assert loaded.add(vectors(2)).tolist() == [first, first + 1]


def test_a_loaded_index_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "x.vqi"
    index = filled("EDEN4", "ip", 1000)
    index.remove(index.ids[-200:])
    index.save(path)
    loaded = vq.load(path)
    for each in (index, loaded):
        assert each.add(vectors(300, seed=4)).tolist() == list(range(2998, 3298))
        each.upsert(vectors(2, seed=5), [0, 5000])
        each.remove([3, 2999])
    assert loaded.is_fitted
    assert state(loaded) == state(index)


def test_a_mapped_index_cannot_change(tmp_path):
    path = tmp_path / "x.vqi"
    for n in (1100, 30, 0):
        index = filled("EDEN4", n=n)
        if n == 0:
            index.fit(vectors(30))
        index.save(path)
        mapped = vq.load(path, mmap=True)
        for change in (
            lambda mapped=mapped: mapped.add(vectors(1)),
            lambda mapped=mapped: mapped.add(vectors(0)),
            lambda mapped=mapped: mapped.upsert(vectors(1), [0]),
            lambda mapped=mapped: mapped.remove([0]),
            lambda mapped=mapped: mapped.fit(vectors(30)),
        ):
            with pytest.raises(vq.ReadOnlyError, match=r"mapped from a file .* with mmap=False"):
                change()
        assert path.read_bytes() == state(index) == state(mapped)
        copy = pickle.loads(pickle.dumps(mapped))  # in memory, so it may
        assert len(copy.add(vectors(1))) == 1
        mapped.save(tmp_path / "copy.vqi")
        assert (tmp_path / "copy.vqi").read_bytes() == path.read_bytes()


def test_a_mapped_index_outlives_its_file(tmp_path):
    path = tmp_path / "x.vqi"
    index = filled()
    index.save(path)
    mapped = vq.load(path, mmap=True)
    filled("F32").save(path)  # a new file takes the name
    same(mapped, index)
    os.unlink(path)
    same(mapped, index)


@pytest.mark.parametrize("spec", ["F32", "EDEN4,Keep(f16)", "TQprod3"])
def test_the_official_reader_opens_the_file(tmp_path, spec):
    index = filled(spec, "l2")
    index.save(tmp_path / "x.vqi")
    arrays = safetensors.numpy.load_file(tmp_path / "x.vqi")
    np.testing.assert_array_equal(arrays["codes.id"].ravel()[: len(index)], index.ids)
    assert {name for name in arrays if not name.startswith("_")} == set(
        vq.inspect(tmp_path / "x.vqi")["tensors"]
    )


def test_what_inspect_says(tmp_path):
    path = tmp_path / "x.vqi"
    filled("F32", "l2", 33, seed=9).save(path)
    about = vq.inspect(path)
    size = path.stat().st_size
    assert about == {
        "path": str(path), "version": 1, "created_by": f"vqindex {vq.__version__}",
        "spec": "F32", "metric": "l2", "seed": 9, "settings": vq.index_factory("F32").settings,
        "n": 33, "dim": D, "fitted": True, "next_id": 97, "file_bytes": size,
        "tensors": {
            "codes.rows": {"dtype": "float32", "shape": (64, 16, 1), "nbytes": 4096},
            "codes.bias": {"dtype": "float32", "shape": (64, 1, 1), "nbytes": 256},
            "codes.id": {"dtype": "int64", "shape": (64, 1, 1), "nbytes": 512},
        },
    }  # fmt: skip


def test_paths_of_any_kind(tmp_path):
    index = filled("F32", n=10)
    for path in (tmp_path / "a", str(tmp_path / "b"), tmp_path / "ünï ☃.vqi"):
        index.save(path)
        same(vq.load(path), index)
        assert vq.inspect(path)["n"] == 10
        vq.verify(path)
