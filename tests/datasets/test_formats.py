import struct

import h5py
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from vqindex.datasets import read_vectors
from vqindex.errors import CorruptFileError

VECS = {".fvecs": np.float32, ".ivecs": np.int32, ".bvecs": np.uint8}
BINS = {
    ".fbin": np.float32,
    ".f16bin": np.float16,
    ".ibin": np.int32,
    ".u8bin": np.uint8,
    ".i8bin": np.int8,
}


def vecs(x):
    return b"".join(struct.pack("<i", x.shape[1]) + row.tobytes() for row in x)


def bins(x):
    return struct.pack("<II", *x.shape) + x.tobytes()


@given(
    suffix=st.sampled_from([*VECS, *BINS]),
    n=st.sampled_from([1, 2, 33]),
    d=st.sampled_from([1, 3, 4, 65]),
)
def test_round_trip(tmp_path_factory, suffix, n, d):
    dtype = (VECS | BINS)[suffix]
    x = np.random.default_rng(n * d).integers(0, 100, (n, d)).astype(dtype)
    path = tmp_path_factory.mktemp("vectors") / f"x{suffix}"
    path.write_bytes((vecs if suffix in VECS else bins)(x))
    found = read_vectors(path)
    assert isinstance(found, np.memmap)
    assert found.dtype == dtype
    assert np.array_equal(found, x)


def test_npy_is_mapped(tmp_path):
    x = np.arange(12, dtype=np.float16).reshape(3, 4)
    np.save(tmp_path / "x.npy", x)
    found = read_vectors(tmp_path / "x.npy")
    assert isinstance(found, np.memmap)
    assert np.array_equal(found, x)
    np.save(tmp_path / "none.npy", x[:0])
    assert read_vectors(str(tmp_path / "none.npy")).shape == (0, 4)


def test_hdf5_array_by_name(tmp_path):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["train"], file["group/other"] = np.zeros((2, 3)), np.ones((4, 3))
    assert read_vectors(tmp_path / "x.hdf5").shape == (2, 3)
    assert (read_vectors(f"{tmp_path}/x.hdf5:group/other") == 1).all()
    with pytest.raises(CorruptFileError, match="'none', found group, train"):
        read_vectors(f"{tmp_path}/x.hdf5:none")


def test_no_rows(tmp_path):
    (tmp_path / "x.fbin").write_bytes(struct.pack("<II", 0, 7))
    assert read_vectors(tmp_path / "x.fbin").shape == (0, 7)


@pytest.mark.parametrize("suffix", [*VECS, *BINS])
@pytest.mark.parametrize("change", [slice(-1), slice(-4), slice(7), slice(0), "longer"])
def test_wrong_length(tmp_path, suffix, change):
    whole = (vecs if suffix in VECS else bins)(np.ones((6, 5), (VECS | BINS)[suffix]))
    path = tmp_path / f"x{suffix}"
    path.write_bytes(whole + b"\0" if change == "longer" else whole[change])
    with pytest.raises(CorruptFileError, match=r"x\.\w+"):
        read_vectors(path)


def test_one_row_of_another_dimension(tmp_path):
    rows = [np.ones((1, d), np.float32) for d in (3, 3, 2, 4, 3)]
    (tmp_path / "x.fvecs").write_bytes(b"".join(map(vecs, rows)))
    with pytest.raises(CorruptFileError, match="row 2 has d = 2, the first has d = 3"):
        read_vectors(tmp_path / "x.fvecs")


@pytest.mark.parametrize("d", [0, -1])
def test_dimension_below_one(tmp_path, d):
    (tmp_path / "x.bvecs").write_bytes(struct.pack("<i", d) * 4)
    with pytest.raises(CorruptFileError, match=f"d = {d}"):
        read_vectors(tmp_path / "x.bvecs")


def test_npy_that_is_not_vectors(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(3))
    with pytest.raises(CorruptFileError, match=r"shape \(n, d\)"):
        read_vectors(path)
    np.save(path, np.array([[None]]), allow_pickle=True)
    with pytest.raises(CorruptFileError):
        read_vectors(path)
    np.save(path, np.zeros((30, 4)))
    for cut in (0, 5, 60, 300):
        path.write_bytes(path.read_bytes()[: -cut or None] if cut == 5 else path.read_bytes()[:cut])
        with pytest.raises(CorruptFileError, match="not a whole"):
            read_vectors(path)
        np.save(path, np.zeros((30, 4)))


def test_unknown_suffix_and_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"\.npy \.fvecs.*got '\.txt'"):
        read_vectors(tmp_path / "x.txt")
    for suffix in (".npy", ".fvecs", ".fbin", ".hdf5"):
        with pytest.raises(FileNotFoundError):
            read_vectors(tmp_path / f"x{suffix}")
