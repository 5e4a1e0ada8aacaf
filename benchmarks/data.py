"""The sets that figures are measured on."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from vqindex import datasets
from vqindex.datasets import Dataset


def default_names() -> list[str]:
    """The .hdf5 files in the data folder, or else the sample."""
    return sorted(path.stem for path in datasets.data_folder().glob("*.hdf5")) or ["sample"]


def load(name: str, queries: int) -> Dataset:
    """A set by name or path, with its first `queries` queries."""
    whole = datasets.load(name, progress=True)
    return replace(
        whole,
        queries=whole.queries[:queries],
        neighbors=whole.neighbors[:queries],
        distances=whole.distances[:queries],
    )


def describe(dataset: Dataset) -> dict[str, Any]:
    """Name, metric, sizes, and the SHA-256 of rows, queries and neighbours as they are stored."""
    digest = hashlib.sha256()
    for array in (dataset.base, dataset.queries, dataset.neighbors):
        digest.update(np.ascontiguousarray(array).data)
    return {
        "name": dataset.name,
        "metric": dataset.metric,
        "n": dataset.n,
        "d": dataset.d,
        "nq": dataset.nq,
        "sha256": digest.hexdigest(),
    }
