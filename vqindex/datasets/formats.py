"""Vectors from files: NumPy's, HDF5, and the plain formats of the field's public sets."""

import re
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqindex.datasets.hdf5 import read_hdf5_vectors
from vqindex.errors import CorruptFileError

HDF5 = (".hdf5", ".h5")
# int32 d, then d numbers, row after row: http://corpus-texmex.irisa.fr
_VECS = {".fvecs": "<f4", ".ivecs": "<i4", ".bvecs": "u1"}
# uint32 n, uint32 d, then n * d numbers: https://big-ann-benchmarks.com
_BINS = {".fbin": "<f4", ".f16bin": "<f2", ".ibin": "<i4", ".u8bin": "u1", ".i8bin": "i1"}


def read_vectors(path: str | PathLike[str]) -> NDArray[Any]:
    """The array (n, d) in a file, in the file's dtype, memory-mapped where the format allows it.

    The suffix tells the format: .npy, .fvecs .ivecs .bvecs, .fbin .f16bin .ibin .u8bin .i8bin, and
    .hdf5 or .h5, whose array "train" is read unless the path ends in ":" and another's name.
    Raises CorruptFileError for a file that is cut short or at odds with itself, ValueError for an
    unknown suffix, OSError where the file cannot be read.
    """
    named = re.fullmatch(r"(.+\.(?:hdf5|h5)):(.+)", str(path))
    if named:
        return read_hdf5_vectors(Path(named[1]), named[2])
    path = Path(path)
    if path.suffix in HDF5:
        return read_hdf5_vectors(path)
    if path.suffix == ".npy":
        return _read_npy(path)
    if path.suffix in _VECS:
        return _read_vecs(path, np.dtype(_VECS[path.suffix]))
    if path.suffix in _BINS:
        return _read_bin(path, np.dtype(_BINS[path.suffix]))
    known = " ".join([".npy", *_VECS, *_BINS, *HDF5])
    raise ValueError(f"{path}: the suffix must be one of {known}, got {path.suffix!r}")


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise CorruptFileError(f"{path} is not a whole .npy file: {error}") from error
    if array.ndim != 2:
        raise CorruptFileError(f"{path} must hold an array of shape (n, d), got {array.shape}")
    return array


def _read_vecs(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    size = path.stat().st_size
    d = int(np.fromfile(path, "<i4", 1)[0]) if size >= 4 else 0
    row = 4 + d * dtype.itemsize
    if d < 1 or size % row:
        raise CorruptFileError(
            f"{path} must be rows of one dimension; its first row has d = {d}, "
            f"and {size} bytes are not a whole number of such rows"
        )
    rows = np.memmap(path, np.uint8, "r").reshape(-1, row)
    dims = np.ascontiguousarray(rows[:, :4]).view("<i4")[:, 0]
    if (dims != d).any():
        at = int(np.argmax(dims != d))
        raise CorruptFileError(f"{path}: row {at} has d = {dims[at]}, the first has d = {d}")
    return rows[:, 4:].view(dtype)


def _read_bin(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    size = path.stat().st_size
    n, d = map(int, np.fromfile(path, "<u4", 2)) if size >= 8 else (0, 0)
    needed = 8 + n * d * dtype.itemsize
    if d < 1 or size != needed:
        raise CorruptFileError(
            f"{path} must have {needed} bytes for its n = {n} and d = {d} >= 1, got {size}"
        )
    if n == 0:
        return np.empty((0, d), dtype)
    return np.memmap(path, dtype, "r", 8, (n, d))
