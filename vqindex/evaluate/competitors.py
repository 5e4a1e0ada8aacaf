"""Adapters: an index, of this library or another, as `measure` sees it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from vqindex.factory import index_factory

_ID_BYTES = 8

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]


class Competitor(Protocol):
    """What can be measured: an adapter of an index, of this library or another."""

    @property
    def library(self) -> str:
        """Whose index it is."""
        ...

    @property
    def name(self) -> str:
        """The factory string."""
        ...

    def threads(self, count: int) -> AbstractContextManager[None]:
        """Use so many threads inside a `with`."""
        ...

    def fit(self, x: Floats) -> None:
        """Train on rows (n, d), as the first `add` does where nothing was trained before."""
        ...

    def add(self, x: Floats) -> None:
        """Add rows (n, d) under the next ids, the first of which is 0."""
        ...

    def search(self, q: Floats, k: int) -> Ids:
        """Ids (nq, k) of the nearest rows of queries (nq, d)."""
        ...

    @property
    def bytes_per_row(self) -> int:
        """What each row costs in memory."""
        ...


class Tunable(Competitor, Protocol):
    """A competitor that trades speed for recall."""

    def configure(self, *, nprobe: int, oversample: float | None = None) -> None:
        """Look into `nprobe` lists, and score anew `oversample` rows for each that is wanted."""
        ...


@final
class Ours:
    """An index of this library."""

    library = "vqindex"

    def __init__(self, spec: str, metric: str, seed: int = 0) -> None:
        self.name = spec
        self._index = index_factory(spec, metric=metric, seed=seed)
        self._threads = 1

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """See Competitor."""
        before, self._threads = self._threads, count
        try:
            yield
        finally:
            self._threads = before

    def fit(self, x: Floats) -> None:
        """See Competitor; a codec takes of the rows what it has use for."""
        self._index.fit(x)

    def add(self, x: Floats) -> None:
        """See Competitor; without `fit` a codec learns from the first rows that it asks for."""
        self._index.add(x, threads=self._threads)

    def search(self, q: Floats, k: int) -> Ids:
        """See Competitor."""
        return self._index.search(q, k, threads=self._threads).ids

    def configure(self, *, nprobe: int, oversample: float | None = None) -> None:
        """See Tunable."""
        finer = {} if oversample is None else {"oversample": oversample}
        self._index.configure(nprobe=nprobe, **finer)

    @property
    def bytes_per_row(self) -> int:
        """Codes, factors and an 8-byte id."""
        return self._index.bytes_per_row


@final
class Faiss:
    """An index of FAISS, from its own factory string; cosine is inner product of unit vectors.

    Raises ImportError without faiss.
    """

    library = "FAISS"

    def __init__(self, spec: str, metric: str) -> None:
        try:
            import faiss
        except ImportError as error:
            raise ImportError('FAISS is missing: pip install "vqindex[faiss]"') from error
        self.name, self._faiss, self._metric = spec, faiss, metric
        self._index: Any = None

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """See Competitor; FAISS has one setting for the whole process."""
        before = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(count)
        try:
            yield
        finally:
            self._faiss.omp_set_num_threads(before)

    def fit(self, x: Floats) -> None:
        """See Competitor."""
        self._train(self._measured(x))

    def add(self, x: Floats) -> None:
        """See Competitor."""
        x = self._measured(x)
        if self._index is None:
            self._train(x)
        self._index.add(x)

    def _train(self, x: Floats) -> None:
        l2, ip = self._faiss.METRIC_L2, self._faiss.METRIC_INNER_PRODUCT
        kind = l2 if self._metric == "l2" else ip
        self._index = self._faiss.index_factory(x.shape[1], self.name, kind)
        self._index.train(x)

    def _measured(self, x: Floats) -> Floats:
        """Rows as the metric sees them: divided by their norms under cosine."""
        if self._metric != "cosine":
            return x
        norms = np.linalg.norm(x, axis=1, keepdims=True)
        unit: Floats = np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)
        return unit

    def search(self, q: Floats, k: int) -> Ids:
        """See Competitor."""
        ids: Ids = self._index.search(q, k)[1]
        return ids

    def configure(self, *, nprobe: int, oversample: float | None = None) -> None:
        """See Tunable; of an index with lists."""
        space = self._faiss.ParameterSpace()
        space.set_index_parameter(self._index, "nprobe", nprobe)
        if oversample is not None:
            space.set_index_parameter(self._index, "k_factor_rf", oversample)

    @property
    def bytes_per_row(self) -> int:
        """Codes, factors, and ids of 8 bytes in lists; the flat indexes of FAISS keep none."""
        index, finer = self._faiss.downcast_index(self._index), 0
        if isinstance(index, self._faiss.IndexRefine):
            finer = int(index.refine_index.sa_code_size())
            index = self._faiss.downcast_index(index.base_index)
        lists = self._faiss.try_extract_index_ivf(index)
        own = int(index.sa_code_size()) if lists is None else int(lists.code_size) + _ID_BYTES
        return own + finer
