"""The interface of ann-benchmarks' algorithms, which is met without importing it."""

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from vqindex.errors import SpecError
from vqindex.evaluate import warm
from vqindex.factory import index_factory
from vqindex.indexes.base import Index

METRICS = {"euclidean": "l2", "angular": "cosine"}
ARGUMENTS = ("nprobe", "oversample")  # of a search, in the order of config.yml

Ids = NDArray[np.int64]


@final
class VQIndex:
    """An index by its factory string.

    metric     "euclidean" or "angular", as ann-benchmarks calls them
    dimension  of the rows to come
    Kernels are compiled, or loaded, here: neither the build nor a query is to pay for it. Raises
    SpecError for other metrics and for what is no factory string.
    """

    def __init__(self, metric: str, dimension: int, spec: str) -> None:
        if metric not in METRICS:
            raise SpecError(f"metric must be one of {', '.join(METRICS)}; got {metric!r}")
        self._metric, self._spec = METRICS[metric], spec
        self._index: Index | None = None
        self._chosen: dict[str, Any] = {}
        self._found: list[Ids] = []
        self._scored = 0
        warm(spec, self._metric, dimension)

    @property
    def name(self) -> str:
        """Spec and settings, as results are told apart."""
        chosen = "".join(f", {name}={value}" for name, value in self._chosen.items())
        return f"VQIndex({self._spec}{chosen})"

    def __str__(self) -> str:
        return self.name

    def fit(self, X: NDArray[Any]) -> None:
        """Build the index of rows (n, d), on all CPUs that the process may use."""
        index = index_factory(self._spec, metric=self._metric)
        index.fit(X)
        index.add(X)
        self._index = index

    def set_query_arguments(self, *values: float | None) -> None:
        """Search with so many lists, and candidates for each row wanted, from now on.

        values  one for each of ARGUMENTS that the index has
        """
        index = self._built()
        names = [name for name in ARGUMENTS if name in index.settings]
        if len(values) != len(names):
            raise SpecError(f"{self._spec} takes {' '.join(names) or 'nothing'}; got {values}")
        self._chosen, self._scored = dict(zip(names, values, strict=True)), 0
        index.configure(**self._chosen)

    def query(self, v: NDArray[Any], n: int) -> Ids:
        """The ids of the n nearest rows of one query (d,), fewer where there are fewer."""
        found = self._built().search(v, n, threads=1)
        self._scored += found.stats.get("scored", 0)
        return found.ids[: found.counts]

    def batch_query(self, X: NDArray[Any], n: int) -> None:
        """Find the n nearest rows of all queries (nq, d), on all CPUs."""
        found = self._built().search(X, n)
        self._scored += found.stats.get("scored", 0)
        counts = np.atleast_1d(np.asarray(found.counts))
        self._found = [ids[:count] for ids, count in zip(found.ids, counts, strict=True)]

    def get_batch_results(self) -> list[Ids]:
        """What the last `batch_query` found."""
        return self._found

    def get_additional(self) -> dict[str, Any]:
        """Rows scored in full by all queries since settings were chosen."""
        return {"dist_comps": self._scored}

    def get_memory_usage(self) -> float:
        """Kilobytes of the index, nothing else of the process."""
        return 0.0 if self._index is None else self._index.nbytes["total"] / 1024

    def done(self) -> None:
        """Give memory back."""
        self._index = None

    def _built(self) -> Index:
        if self._index is None:
            raise ValueError("an index is searched once it is built: call fit first")
        return self._index
