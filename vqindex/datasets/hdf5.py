"""HDF5 files, above all those of ann-benchmarks. Needs h5py, the extra `vqindex[hdf5]`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqindex.datasets.dataset import Dataset
from vqindex.datasets.exact import pair_distances
from vqindex.errors import CorruptFileError, DtypeError, ShapeError, SpecError

_METRIC = {"euclidean": "l2", "angular": "cosine", "ip": "ip", "dot": "ip"}


def read_hdf5_vectors(path: Path, key: str = "train") -> NDArray[Any]:
    """The array under `key`, mapped where it lies contiguous in the file, else read."""
    with _open(path) as file:
        return _array(file, path, key)


def read_ann_benchmarks(path: Path, name: str) -> Dataset:
    """A file as ann-benchmarks writes it: train, test, neighbors, distances; attribute distance.

    "euclidean" distances are squared; "angular" ones are already 1 - cosine; inner products, whose
    sign is nobody's convention, are computed again. Raises CorruptFileError where the file is
    damaged or lacks a part, SpecError where its distance is not one the library measures.
    """
    with _open(path) as file:
        distance = file.attrs.get("distance")
        if distance is None:
            raise CorruptFileError(f"{path} must have an attribute 'distance', found none")
        if isinstance(distance, bytes):
            distance = distance.decode()
        if distance not in _METRIC:
            known = ", ".join(_METRIC)
            raise SpecError(f"{path}: distance must be one of {known}, got {distance!r}")
        base, queries = _array(file, path, "train"), _array(file, path, "test")
        neighbors = _array(file, path, "neighbors").astype(np.int64)
        distances = _array(file, path, "distances").astype(np.float64)
    metric = _METRIC[distance]
    if metric == "l2":
        distances **= 2
    try:
        found = Dataset(name, metric, base, queries, neighbors, distances.astype(np.float32))
    except (ShapeError, DtypeError) as error:
        raise CorruptFileError(f"{path}: {error}") from error
    if metric == "ip":
        found.distances[:] = pair_distances(base, queries, neighbors, metric)
    return found


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as error:
        raise ImportError('reading HDF5 needs h5py: pip install "vqindex[hdf5]"') from error
    path.open("rb").close()  # a missing or forbidden file keeps its own error
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        raise CorruptFileError(f"{path} is not a whole HDF5 file: {error}") from error


def _array(file: Any, path: Path, key: str) -> NDArray[Any]:
    dataset = file.get(key)
    if not hasattr(dataset, "shape"):
        found = ", ".join(file) or "nothing"
        raise CorruptFileError(f"{path} must hold the array {key!r}, found {found}")
    offset = dataset.id.get_offset()  # None unless contiguous in this file
    dtype = dataset.dtype
    if (
        offset is not None
        and dtype.kind in "fiu"
        and dtype.isnative
        and offset % dtype.itemsize == 0
    ):
        return np.memmap(path, dtype, "r", offset, dataset.shape)
    return np.asarray(dataset)
