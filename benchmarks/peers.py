"""Peers that `vqindex.evaluate` has no adapter for."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt


@final
class Turbovec:
    """turbovec's flat index of 4- or 2-bit codes; cosine is inner product of unit vectors.

    Raises ImportError without turbovec, ValueError for l2, which it does not measure.
    """

    library = "turbovec"

    def __init__(self, bits: str, metric: str) -> None:
        if metric == "l2":
            raise ValueError("turbovec measures inner products and cosine, not l2.")
        self.name, self._metric = bits, metric
        self._kind = import_module("turbovec").TurboQuantIndex
        self._index: Any = None
        self._empty_bytes = 0

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """See Competitor; its pool is as large as the environment said when it started."""
        if os.environ.get("RAYON_NUM_THREADS") != str(count):
            raise ValueError(f"turbovec needs RAYON_NUM_THREADS={count} set before it starts.")
        yield

    def fit(self, x: npt.NDArray[np.float32]) -> None:
        """See Competitor; nothing but the dimension is learned."""
        self._index = self._kind(x.shape[1], int(self.name))
        self._empty_bytes = len(self._index.to_bytes())

    def add(self, x: npt.NDArray[np.float32]) -> None:
        """See Competitor."""
        if self._index is None:
            self.fit(x)
        self._index.add(_unit(x) if self._metric == "cosine" else x)
        self._index.prepare()

    def search(self, q: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
        """See Competitor."""
        ids: npt.NDArray[np.int64] = self._index.search(q, k)[1]
        return ids

    @property
    def bytes_per_row(self) -> int:
        """By how much its file grew."""
        return round((len(self._index.to_bytes()) - self._empty_bytes) / len(self._index))


@final
class Rabitqlib:
    """rabitqlib's index with lists, IVF<lists>,RaBitQ<bits>, around the centroids of FAISS.

    RaBitQ32 is a bit a dimension, and the rows themselves to score the best again. Cosine is inner
    product of unit vectors. Raises ImportError without rabitqlib or FAISS, ValueError for a name
    that is not one.
    """

    library = "rabitqlib"

    def __init__(self, name: str, metric: str) -> None:
        found = re.fullmatch(r"IVF(\d+),RaBitQ([1-9]|32)", name)
        if found is None:
            raise ValueError(f"rabitqlib has IVF<lists>,RaBitQ<1 to 9 or 32>, got {name!r}.")
        self.name, self._metric = name, metric
        self._lists, self._bits = int(found[1]), int(found[2])
        self._kind, self._faiss = import_module("rabitqlib").IvfIndex, import_module("faiss")
        self._kmeans: Any = None
        self._index: Any = None
        self._threads = self._nprobe = 1

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """See Competitor; FAISS, which trains, has one setting for the whole process."""
        before, self._threads = (self._threads, self._faiss.omp_get_max_threads()), count
        self._faiss.omp_set_num_threads(count)
        try:
            yield
        finally:
            self._threads = before[0]
            self._faiss.omp_set_num_threads(before[1])

    def fit(self, x: npt.NDArray[np.float32]) -> None:
        """See Competitor; centroids as FAISS's own IVF trains them."""
        x = _unit(x) if self._metric == "cosine" else x
        spherical = self._metric != "l2"
        self._kmeans = self._faiss.Kmeans(x.shape[1], self._lists, niter=10, spherical=spherical)
        self._kmeans.train(x)

    def add(self, x: npt.NDArray[np.float32]) -> None:
        """See Competitor; all rows at once."""
        if self._kmeans is None:
            self.fit(x)
        x = _unit(x) if self._metric == "cosine" else x
        metric = "l2" if self._metric == "l2" else "ip"
        self._index = self._kind(x.shape[1], len(x), self._lists, self._bits, metric)
        nearest = self._kmeans.index.search(x, 1)[1].ravel().astype(np.uint32)
        self._index.build(x, self._kmeans.centroids, nearest, self._threads, True)

    def configure(self, *, nprobe: int, oversample: float | None = None) -> None:
        """See Tunable; how many rows are scored again is its own choice."""
        if oversample is not None:
            raise ValueError("rabitqlib has no oversample.")
        self._nprobe = nprobe

    def search(self, q: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
        """See Competitor."""
        nprobe = min(self._nprobe, self._lists)
        ids = self._index.search(q, k, nprobe, num_threads=self._threads)[0].astype(np.int64)
        return np.where(ids < self._index.num_points, ids, -1)

    @property
    def bytes_per_row(self) -> int:
        """A row's share of its file but for the centroids that it was given."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "index")
            self._index.save(str(path))
            size = path.stat().st_size - self._kmeans.centroids.nbytes
        return round(size / self._index.num_points)


def _unit(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Rows divided by their norms."""
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)
