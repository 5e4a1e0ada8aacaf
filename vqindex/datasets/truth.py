"""Exact neighbours, kept on disk once computed."""

import hashlib
import logging
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqindex import arrays
from vqindex.datasets.dataset import check_vectors
from vqindex.datasets.exact import exact_search
from vqindex.datasets.paths import data_folder
from vqindex.errors import CorruptFileError, ShapeError

Truth = tuple[NDArray[np.float32], NDArray[np.int64]]

_WORTH_KEEPING = 2e9  # multiply-adds: below, computing again takes less than a second
_HASHED = 1 << 22  # numbers hashed together


def ground_truth(base: NDArray[Any], queries: NDArray[Any], k: int, metric: str) -> Truth:
    """The k nearest base rows of every query, exactly.

    base     (n, d) any real dtype; may be memory-mapped
    queries  (nq, d) any real dtype
    returns  distances (nq, k) float32 ascending and ids (nq, k) int64; equal float64 distances
             are ordered by id; past n rows, +inf and -1

    A zero vector has cosine 0 with everything. Results that took over 2e9 multiply-adds are kept
    in `truth/` of the data folder under a hash of all inputs. Raises ShapeError, DtypeError,
    NonFiniteError, or SpecError for the metric.
    """
    arrays.metric(metric)
    base, queries = np.asanyarray(base), np.asanyarray(queries)
    check_vectors(base, queries)
    if k < 1:
        raise ShapeError(f"k must be at least 1, got {k}")
    if float(base.size) * len(queries) < _WORTH_KEEPING:
        return exact_search(base, queries, k, metric)
    path = data_folder() / "truth" / f"{_content_hash(base, queries, k, metric)}.npz"
    if path.exists():
        return _recall(path, (len(queries), k))
    found = exact_search(base, queries, k, metric)
    try:
        _keep(path, found)
    except OSError as error:
        logging.getLogger(__name__).warning("truth was computed but not kept: %s", error)
    return found


def _content_hash(base: NDArray[Any], queries: NDArray[Any], k: int, metric: str) -> str:
    digest = hashlib.sha256(f"1 {k} {metric}".encode())
    for array in (base, queries):
        digest.update(f" {array.dtype.str} {array.shape} ".encode())
        step = max(1, _HASHED // array.shape[1])
        for start in range(0, len(array), step):
            digest.update(np.ascontiguousarray(array[start : start + step]).data)
    return digest.hexdigest()


def _keep(path: Path, found: Truth) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, distances=found[0], ids=found[1])
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def _recall(path: Path, shape: tuple[int, int]) -> Truth:
    try:
        with np.load(path, allow_pickle=False) as kept:
            distances, ids = kept["distances"], kept["ids"]
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CorruptFileError(f"{path} is damaged ({error}); delete it") from error
    if distances.shape != shape or ids.shape != shape:
        raise CorruptFileError(f"{path} must hold arrays of shape {shape}; delete it")
    return distances, ids
