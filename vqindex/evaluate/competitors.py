"""Adapters: an index, of this library or another, as a `LocalTrial` sees it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from vqindex import threads as pool
from vqindex.factory import index_factory
from vqindex.indexes.base import Index

_ID_BYTES = 8
_LINK_BYTES = 4  # in FAISS's graphs
_NORM_ONE = 1e-5  # that squared norms may be off
_FAISS_BUILT = re.compile(r"(.+)\((\w+=\d+(?:,\w+=\d+)*)\)")
_FAISS_NAMES = {"oversample": "k_factor_rf", "ef": "efSearch"}

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

    def configure(self, **parameters: Any) -> None:
        """Search so from now on: `nprobe`, `oversample`, `ef` and what else the library has.

        Raises TypeError or ValueError for a parameter that it has not.
        """
        ...

    def search(self, q: Floats, k: int) -> Ids:
        """Ids (nq, k) of the nearest rows of queries (nq, d)."""
        ...

    @property
    def stages(self) -> Mapping[str, float]:
        """Rows that each stage of the last search looked at for a query; empty if unknown."""
        ...

    @property
    def version(self) -> str | None:
        """The library's."""
        ...

    @property
    def bytes_per_row(self) -> float | None:
        """What each row costs in memory; None where the library does not tell."""
        ...

    def save(self, path: Path) -> bool:
        """Write the index to a file, or to a folder where it takes several; False if it cannot."""
        ...


def unit_rows(x: Floats) -> Floats:
    """Rows (n, d) divided by their norms; x itself where they have norm one."""
    squares = np.einsum("ij,ij->i", x, x)
    if (np.abs(squares - 1) < _NORM_ONE).all():
        return x
    norms = np.sqrt(squares)[:, None]
    unit: Floats = np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)
    return unit


class OwnThreads:
    """For adapters of libraries that are told with each call how many threads it has."""

    _threads = 1

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """See Competitor."""
        before, self._threads = self._threads, count
        try:
            yield
        finally:
            self._threads = before


@final
class Ours(OwnThreads):
    """An index of this library."""

    library = "vqindex"

    def __init__(self, spec: str, metric: str, seed: int = 0) -> None:
        self.name = spec
        self._index = index_factory(spec, metric=metric, seed=seed)
        self._defaults = dict(self._index.settings)
        self._stats: dict[str, Any] = {}
        self._asked = 1

    @property
    def index(self) -> Index:
        """The index itself."""
        return self._index

    def fit(self, x: Floats) -> None:
        """See Competitor; a codec takes of the rows what it has use for.

        NumPy's BLAS has the threads of its environment.
        """
        with pool.held(self._threads):
            self._index.fit(x)

    def add(self, x: Floats) -> None:
        """See Competitor; without `fit` a codec learns from the first rows that it asks for."""
        self._index.add(x, threads=self._threads)

    def search(self, q: Floats, k: int) -> Ids:
        """See Competitor."""
        found = self._index.search(q, k, threads=self._threads)
        self._stats, self._asked = found.stats, len(q)
        return found.ids

    def configure(self, **parameters: Any) -> None:
        """See Competitor; what is not named is as it is by default."""
        self._index.configure(**(self._defaults | parameters))

    @property
    def stages(self) -> Mapping[str, float]:
        """See Competitor; lists are counted too."""
        sums = {name: rows for name, rows in self._stats.items() if name != "rows"}
        return {name: rows / self._asked for name, rows in sums.items()}

    @property
    def version(self) -> str | None:
        """See Competitor."""
        found: str = import_module("vqindex").__version__
        return found

    @property
    def bytes_per_row(self) -> int:
        """Codes, factors and an 8-byte id."""
        return self._index.bytes_per_row

    def save(self, path: Path) -> bool:
        """See Competitor."""
        self._index.save(path)
        return True


@final
class Faiss:
    """An index of FAISS, from its own factory string; cosine is inner product of unit vectors.

    Parameters of the build may follow in brackets, as in HNSW32(efConstruction=200), by their names
    in FAISS's ParameterSpace or in its LocalSearchQuantizer. Raises ImportError without faiss.
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
        found = _FAISS_BUILT.fullmatch(self.name)
        self._index = self._faiss.index_factory(x.shape[1], found[1] if found else self.name, kind)
        codes = getattr(self._index, "lsq", None)
        for name, value in (text.split("=") for text in found[2].split(",")) if found else ():
            if hasattr(codes, name):
                setattr(codes, name, int(value))
            else:
                self.configure(**{name: int(value)})
        self._index.train(x)

    def _measured(self, x: Floats) -> Floats:
        return unit_rows(x) if self._metric == "cosine" else x

    def search(self, q: Floats, k: int) -> Ids:
        """See Competitor."""
        ids: Ids = self._index.search(q, k)[1]
        return ids

    def configure(self, **parameters: Any) -> None:
        """See Competitor; other names than ours are those of FAISS's ParameterSpace."""
        space = self._faiss.ParameterSpace()
        for name, value in parameters.items():
            try:
                space.set_index_parameter(self._index, _FAISS_NAMES.get(name, name), value)
            except RuntimeError as error:  # FAISS's only one
                raise ValueError(f"{name}={value} is none of {self.name} in FAISS.") from error

    @property
    def stages(self) -> Mapping[str, float]:
        """See Competitor; FAISS does not tell."""
        return {}

    @property
    def version(self) -> str | None:
        """See Competitor."""
        found: str = self._faiss.__version__
        return found

    @property
    def bytes_per_row(self) -> float:
        """Codes, factors, links, and ids of 8 bytes in lists; flat indexes and graphs keep none."""
        index: Any = self._faiss.downcast_index(self._index)
        finer = 0
        if isinstance(index, self._faiss.IndexRefine):
            finer = int(index.refine_index.sa_code_size())
            index = self._faiss.downcast_index(index.base_index)
        lists = self._faiss.try_extract_index_ivf(index)
        if lists is not None:
            return int(lists.code_size) + _ID_BYTES + finer
        graph = getattr(index, "hnsw", None)
        if graph is None:
            return int(index.sa_code_size()) + finer
        links = _LINK_BYTES * graph.neighbors.size() / index.ntotal
        return float(index.storage.sa_code_size() + finer + links)

    def save(self, path: Path) -> bool:
        """See Competitor."""
        self._faiss.write_index(self._index, str(path))
        return True
