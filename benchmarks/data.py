"""The sets that figures are measured on."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vqindex import datasets
from vqindex.datasets import Dataset

NOISE = 0.01  # of a row that is there before, over the row's norm
_ROWS = 1 << 14  # made together
Vectors = npt.NDArray[Any]


def default_names() -> list[str]:
    """The .hdf5 files in the data folder, or else the sample."""
    return sorted(path.stem for path in datasets.data_folder().glob("*.hdf5")) or ["sample"]


def load(name: str, queries: int, rows: int | None = None, wide: int = 1) -> Dataset:
    """A set by name or path, with its first `queries` queries.

    rows   as many of its rows, see `repeated`
    wide   rows and queries laid side by side, see `side_by_side`; before rows are counted
    The name says what was done, and exact neighbours are then computed anew.
    """
    whole = datasets.load(name, progress=True)
    base, asked, name = whole.base, whole.queries[: queries * wide], whole.name
    if wide > 1:
        base, asked = (side_by_side(x, wide, whole.metric) for x in (base, asked))
        name += f"-wide{wide}"
    if rows is not None and rows != len(base):
        base = repeated(base, rows)
        name += f"-rows{rows}"
    if name == whole.name:
        near = whole.distances[:queries], whole.neighbors[:queries]
    else:
        near = datasets.ground_truth(base, asked, whole.k, whole.metric)
    return replace(whole, name=name, base=base, queries=asked, distances=near[0], neighbors=near[1])


def named(name: str, queries: int) -> Dataset:
    """A set by name or path; what follows it, as -wide4-rows1000000, is done to it."""
    found = re.fullmatch(r"(.+?)(?:-wide(\d+))?(?:-rows(\d+))?", name)
    plain, wide, rows = found.groups() if found else (name, None, None)
    return load(plain, queries, int(rows) if rows else None, int(wide or 1))


def side_by_side(x: Vectors, wide: int, metric: str) -> npt.NDArray[np.float32]:
    """Each `wide` consecutive rows of x (n, d) as one, (n // wide, wide * d) float32.

    Rows that are left over are dropped. Unless distances are l2, each part has norm one first.
    """
    n = len(x) // wide
    if not n:
        raise ValueError(f"laying {wide} rows side by side needs as many, got {len(x)}.")
    out = np.array(x[: n * wide], np.float32)
    if metric != "l2":
        norms = np.linalg.norm(out, axis=1, keepdims=True)
        np.divide(out, norms, out=out, where=norms > 0)
    return out.reshape(n, wide * x.shape[1])


def repeated(x: Vectors, n: int, seed: int = 0) -> Vectors:
    """The first n rows of x (rows, d), or (n, d) float32: all of them, and again with noise.

    A repeated row has Gaussian noise of about NOISE of its norm, other noise each time. Beyond the
    result this takes memory for some rows only.
    """
    if n <= len(x):
        return x[:n]
    rng = np.random.default_rng(seed)
    out = np.empty((n, x.shape[1]), np.float32)
    for start in range(0, n, _ROWS):
        part = out[start : start + _ROWS]
        which = np.arange(start, start + len(part))
        part[:] = x[which % len(x)]
        again = part[which >= len(x)]
        size = NOISE / again.shape[1] ** 0.5 * np.linalg.norm(again, axis=1, keepdims=True)
        again += size * rng.standard_normal(again.shape, np.float32)
        part[which >= len(x)] = again
    return out


def describe(dataset: Dataset) -> dict[str, Any]:
    """Name, metric, sizes, and the SHA-256 of rows, queries and neighbours as they are stored."""
    return {
        "name": dataset.name,
        "metric": dataset.metric,
        "n": dataset.n,
        "d": dataset.d,
        "nq": dataset.nq,
        "sha256": dataset.content_hash(),
    }
