"""rabitqlib: lists, and two graphs, of RaBitQ's codes."""

import re
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, final

import numpy as np

from benchmarks.peers.base import Floats, Ids, Peer, options


class _Rabitqlib(Peer):
    """An index of rabitqlib, which measures l2 and ip."""

    library = package = module = "rabitqlib"

    @property
    def _kind(self) -> str:
        return "l2" if self._metric == "l2" else "ip"

    def _ids(self, found: tuple[Any, Any]) -> Ids:
        """As int64; where there is no row it has the largest uint32, -1 in as many bits.

        This is timed with the search, so no more is done: a mask takes 7 us, and a query 50.
        """
        ids: Ids = found[0].view(np.int32).astype(np.int64)
        return ids

    def save(self, path: Path) -> bool:
        """One file."""
        self._index.save(str(path))
        return True


class _Clustered(_Rabitqlib):
    """Codes around the centroids of FAISS's k-means, with the 10 rounds of its own IVF.

    Raises ImportError without FAISS.
    """

    def __init__(self, spec: str, metric: str, clusters: int) -> None:
        super().__init__(spec, metric)
        self._faiss: Any = import_module("faiss")
        self._clusters = clusters
        self._kmeans: Any = None

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """FAISS, which trains, has one setting for the whole process."""
        before = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(count)
        try:
            with super().threads(count):
                yield
        finally:
            self._faiss.omp_set_num_threads(before)

    def fit(self, x: Floats) -> None:
        """The centroids."""
        spherical = self._metric != "l2"
        self._kmeans = self._faiss.Kmeans(x.shape[1], self._clusters, niter=10, spherical=spherical)
        self._kmeans.train(self._rows(x))

    def add(self, x: Floats) -> None:
        """All rows at once."""
        if self._kmeans is None:
            self.fit(x)
        x = self._rows(x)
        nearest = self._kmeans.index.search(x, 1)[1].ravel().astype(np.uint32)
        self._index = self._empty(x)
        self._index.build(x, self._kmeans.centroids, nearest, self._threads, True)

    @abstractmethod
    def _empty(self, x: Floats) -> Any:
        """An index of no rows yet, for rows like these."""


@final
class RabitqlibLists(_Clustered):
    """Lists of codes, IVF<lists>,RaBitQ<bits>.

    RaBitQ32 is a bit a dimension, and the rows themselves to score the best again; how many is its
    own choice. Raises ValueError for a name that is not one.
    """

    parameters = ("nprobe",)

    def __init__(self, spec: str, metric: str) -> None:
        found = re.fullmatch(r"IVF(\d+),RaBitQ([1-9]|32)", spec)
        if found is None:
            raise ValueError(f"rabitqlib has IVF<lists>,RaBitQ<1 to 9 or 32>, got {spec!r}.")
        super().__init__(spec, metric, int(found[1]))
        self._bits = int(found[2])

    def _empty(self, x: Floats) -> Any:
        make = self._library.IvfIndex
        return make(x.shape[1], len(x), self._clusters, self._bits, self._kind)

    def search(self, q: Floats, k: int) -> Ids:
        """Ids (nq, k)."""
        nprobe = min(self._asked.get("nprobe", 1), self._clusters)
        return self._ids(self._index.search(q, k, nprobe, num_threads=self._threads))


@final
class RabitqlibHnsw(_Clustered):
    """A graph whose rows are codes, HNSW(M=16,ef_construction=200,bits=5), around 16 centroids."""

    parameters = ("ef",)

    def __init__(self, spec: str, metric: str) -> None:
        super().__init__(spec, metric, 16)
        self._options = options(spec, "HNSW", {"M": 16, "ef_construction": 200, "bits": 5})

    def _empty(self, x: Floats) -> Any:
        wide, thorough, bits = self._options.values()
        make = self._library.HnswIndex
        return make(x.shape[1], len(x), wide, thorough, bits, self._kind)

    def search(self, q: Floats, k: int) -> Ids:
        """Ids (nq, k)."""
        ef = max(k, self._asked.get("ef", 0))
        return self._ids(self._index.search(q, k, ef, num_threads=self._threads))


@final
class SymphonyQG(_Rabitqlib):
    """A graph that keeps its neighbours' codes, SymphonyQG(degree=32,ef_construction=200,bits=0).

    bits   of the rows' own codes, 0 for the rows themselves
    """

    parameters = ("ef",)

    def __init__(self, spec: str, metric: str) -> None:
        defaults = {"degree": 32, "ef_construction": 200, "bits": 0}
        self._options = options(spec, "SymphonyQG", defaults)
        super().__init__(spec, metric)

    def add(self, x: Floats) -> None:
        """All rows at once."""
        degree, thorough, bits = self._options.values()
        self._index = self._library.SymqgIndex(x.shape[1], degree, self._kind, bits)
        self._index.build(self._rows(x), thorough, self._threads)

    def search(self, q: Floats, k: int) -> Ids:
        """Ids (nq, k)."""
        ef = max(k, self._asked.get("ef", 0))
        return self._ids(self._index.search_batch(q, k, ef, num_threads=self._threads))
