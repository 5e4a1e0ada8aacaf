import sys

import h5py
import numpy as np
import pytest

from vqindex.datasets.hdf5 import read_ann_benchmarks, read_hdf5_vectors
from vqindex.errors import CorruptFileError, SpecError

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 255, (40, 5), np.uint8)
TEST = RNG.standard_normal((3, 5)).astype(np.float16)
PARTS = {
    "train": TRAIN,
    "test": TEST,
    "neighbors": np.tile(np.arange(4, dtype=np.int32), (3, 1)),
    "distances": np.tile(np.array([1.5, 2, 3, 3e-3]), (3, 1)),
}


def write(path, distance="euclidean", *, drop=(), **changes):
    with h5py.File(path, "w") as file:
        for key, value in (PARTS | changes).items():
            if key not in drop:
                file.create_dataset(key, data=value)
        if distance is not None:
            file.attrs["distance"] = distance
    return path


@pytest.mark.parametrize("spelled", ["euclidean", np.bytes_("euclidean")])
def test_euclidean_is_squared(tmp_path, spelled):
    found = read_ann_benchmarks(write(tmp_path / "a.hdf5", spelled), "mine")
    assert (found.name, found.metric, found.neighbors.dtype) == ("mine", "l2", np.int64)
    assert (found.distances == (PARTS["distances"] ** 2).astype(np.float32)).all()
    assert (found.base == TRAIN).all()
    assert (found.queries == TEST).all()
    assert (found.base.dtype, found.queries.dtype) == (np.uint8, np.float16)
    assert (found.neighbors == PARTS["neighbors"]).all()


def test_angular_is_kept(tmp_path):
    found = read_ann_benchmarks(write(tmp_path / "a.hdf5", "angular"), "mine")
    assert found.metric == "cosine"
    assert (found.distances == PARTS["distances"].astype(np.float32)).all()


@pytest.mark.parametrize("name", ["ip", "dot"])
def test_inner_products_are_computed_again(tmp_path, name):
    found = read_ann_benchmarks(write(tmp_path / "a.hdf5", name), "mine")
    want = -(TEST.astype(np.float64) @ TRAIN[:4].T.astype(np.float64))
    assert found.metric == "ip"
    assert np.abs(found.distances - want).max() <= 2.0**-24 * np.abs(want).max()


def test_contiguous_arrays_are_mapped_and_others_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["plain"] = TEST
        file["swapped"] = TEST.astype(">f2")
        file["filler"] = np.zeros(3, np.uint8)
        file["shifted"] = TEST  # at an odd byte
        file.create_dataset("packed", data=TEST, chunks=True, compression="gzip")
        file.create_dataset("empty", data=TEST[:0])
    for key in ("plain", "shifted", "swapped", "packed", "empty"):
        found = read_hdf5_vectors(tmp_path / "a.h5", key)
        assert isinstance(found, np.memmap) is (key == "plain")
        assert found.flags.aligned
        assert np.array_equal(found, TEST[:0] if key == "empty" else TEST)


def test_user_block_is_minded(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        file["train"] = TEST
    found = read_hdf5_vectors(tmp_path / "a.h5")
    assert isinstance(found, np.memmap)
    assert (found == TEST).all()


@pytest.mark.parametrize("key", list(PARTS))
def test_missing_array_is_named(tmp_path, key):
    with pytest.raises(CorruptFileError, match=f"a.hdf5.*'{key}'.*found"):
        read_ann_benchmarks(write(tmp_path / "a.hdf5", drop=[key]), "mine")


def test_group_in_place_of_an_array(tmp_path):
    path = write(tmp_path / "a.hdf5", drop=["train"])
    with h5py.File(path, "a") as file:
        file.create_group("train")
    with pytest.raises(CorruptFileError, match="'train'"):
        read_ann_benchmarks(path, "mine")


def test_distance_must_be_there_and_known(tmp_path):
    with pytest.raises(CorruptFileError, match="attribute 'distance'"):
        read_ann_benchmarks(write(tmp_path / "a.hdf5", None), "mine")
    with pytest.raises(SpecError, match=r"euclidean, angular.*got 'jaccard'"):
        read_ann_benchmarks(write(tmp_path / "b.hdf5", "jaccard"), "mine")


@pytest.mark.parametrize(
    "change",
    [
        {"test": TEST[:, :4]},
        {"neighbors": PARTS["neighbors"] + 37},
        {"distances": PARTS["distances"][:, :3]},
        {"train": np.zeros(40)},
        {"train": [["text"] * 5] * 40},
    ],
)
def test_parts_that_do_not_fit(tmp_path, change):
    with pytest.raises(CorruptFileError, match=r"a\.hdf5"):
        read_ann_benchmarks(write(tmp_path / "a.hdf5", **change), "mine")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_cut_file(tmp_path, share):
    path = write(tmp_path / "a.hdf5")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CorruptFileError, match="not a whole HDF5 file"):
        read_ann_benchmarks(path, "mine")


def test_missing_file_keeps_its_own_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_hdf5_vectors(tmp_path / "none.hdf5")


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r'pip install "vqindex\[hdf5\]"'):
        read_hdf5_vectors(tmp_path / "a.hdf5")
