"""Datasets by name."""

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import final

from vqindex.datasets.dataset import Dataset
from vqindex.datasets.download import fetch
from vqindex.datasets.formats import HDF5
from vqindex.datasets.hdf5 import read_ann_benchmarks
from vqindex.datasets.paths import data_folder, shipped
from vqindex.datasets.sample import load_sample
from vqindex.datasets.synthetic import synthetic
from vqindex.errors import CorruptFileError

_SYNTHETIC = re.compile(r"synthetic-(\d+)-(\d+)-(l2|ip|cosine)(?:-seed(\d+))?")
_QUERIES = 1000


@final
@dataclass(frozen=True, kw_only=True)
class Entry:
    """One dataset that can be downloaded."""

    name: str
    url: str
    n: int
    nq: int
    d: int
    metric: str
    sha256: str | None = None


@functools.cache
def entries() -> Mapping[str, Entry]:
    """The catalog by name: the dense sets of ann-benchmarks."""
    with shipped("catalog.toml").open("rb") as file:
        return {entry["name"]: Entry(**entry) for entry in tomllib.load(file)["dataset"]}


def names() -> tuple[str, ...]:
    """Names `load` knows: "sample", the catalog, and .hdf5 files in the data folder.

    Those of synthetic sets, as "synthetic-100000-128-l2-seed0", are not among them.
    """
    found = (path.stem for path in sorted(data_folder().glob("*.hdf5")))
    return tuple(dict.fromkeys(["sample", *entries(), *found]))


def load(
    name_or_path: str | PathLike[str], *, download: bool = True, progress: bool = False
) -> Dataset:
    """A dataset by name or by the path of an ann-benchmarks HDF5 file.

    "sample" travels with the library, and "synthetic-<n>-<d>-<metric>-seed<seed>" is made by
    `synthetic`, with 1,000 queries. Any other name is `<name>.hdf5` in the data folder, which
    `VQINDEX_DATA` moves; if it is missing and in the catalog, it is downloaded (`progress` counts
    the bytes on stderr; `download=False` forbids it). Vectors stay in the file's dtype and are
    memory-mapped where they lie contiguous. Raises ValueError for an unknown name, OSError where a
    file cannot be had, CorruptFileError where it is damaged or not what the catalog says,
    ImportError without h5py.
    """
    if name_or_path == "sample":
        return load_sample()
    if made := _SYNTHETIC.fullmatch(str(name_or_path)):
        n, d, metric, seed = made.groups()
        return synthetic(int(n), int(d), _QUERIES, metric, int(seed or 0))
    if Path(name_or_path).suffix in HDF5:
        return read_ann_benchmarks(Path(name_or_path), Path(name_or_path).stem)
    name = str(name_or_path)
    entry, path = entries().get(name), data_folder() / f"{name}.hdf5"
    if entry is None and not path.exists():
        raise ValueError(
            f"dataset must be one of {', '.join(names())}, or the path of an .hdf5 file; "
            f"got {name!r}, and there is no {path}"
        )
    if entry is not None and not path.exists():
        if not download:
            raise FileNotFoundError(f"{path} must exist when download=False; get it at {entry.url}")
        fetch(entry.url, path, sha256=entry.sha256, progress=progress)
    dataset = read_ann_benchmarks(path, name)
    if entry is not None:
        _check(dataset, entry, path)
    return dataset


def _check(dataset: Dataset, entry: Entry, path: Path) -> None:
    found = (dataset.metric, dataset.n, dataset.nq, dataset.d)
    needed = (entry.metric, entry.n, entry.nq, entry.d)
    if found != needed:
        raise CorruptFileError(
            f"{path} must have (metric, n, nq, d) = {needed} as {entry.name}, got {found}; "
            "rename it or delete it"
        )
