"""VQTransformer: graphs of nearest neighbours for scikit-learn.

Takes the place of sklearn.neighbors.KNeighborsTransformer in front of estimators that accept
metric="precomputed", and wherever else one is expected.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self, final

import numpy as np
from numpy.typing import NDArray

from vqindex.arrays import positive_int
from vqindex.factory import index_factory

try:
    from joblib import effective_n_jobs
    from scipy.sparse import csr_matrix
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError('scikit-learn is missing: pip install "vqindex[sklearn]"') from error

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

METRICS = {"euclidean": "l2", "l2": "l2", "sqeuclidean": "l2", "cosine": "cosine"}
_NUMBERS = 1 << 22  # float64 numbers held at once while distances are computed: 32 MiB


@final
class VQTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Nearest neighbours of an approximate index, in the form of KNeighborsTransformer.

    mode          "distance" or "connectivity", what `transform` writes
    n_neighbors   neighbours of a sample; one more in mode "distance", where it is its own
    metric        "euclidean" (or "l2"), "sqeuclidean" or "cosine"
    spec          the index, as a factory string. Distances are to the rows that it keeps, in
                  float64: the very rows where it has originals, as Rerank(f32), else their codes
    settings      of a search, such as {"nprobe": 64}
    n_jobs        threads, by scikit-learn's rules
    random_state  an int, a RandomState or None
    Rows are kept in float32. `index_` is the fitted index, its ids the numbers of rows.
    """

    def __init__(
        self,
        *,
        mode: Literal["distance", "connectivity"] = "distance",
        n_neighbors: int = 5,
        metric: str = "euclidean",
        spec: str = "EDEN4,Rerank(f32)",
        settings: Mapping[str, Any] | None = None,
        n_jobs: int | None = None,
        random_state: Any = 0,
    ) -> None:
        self.mode = mode
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.spec = spec
        self.settings = settings
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Index the rows of X (n_samples, n_features); y is not used."""
        if self.mode not in ("distance", "connectivity"):
            raise ValueError(f"mode must be 'distance' or 'connectivity', got {self.mode!r}.")
        if self.metric not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {self.metric!r}.")
        positive_int(self.n_neighbors, "n_neighbors")
        rows = validate_data(self, X, dtype=np.float32)
        seed = int(check_random_state(self.random_state).randint(2**31))
        index = index_factory(self.spec, metric=METRICS[self.metric], seed=seed)
        index.configure(**(self.settings or {}))
        index.add(rows, threads=effective_n_jobs(self.n_jobs))
        self.index_ = index
        self.n_samples_fit_ = self._n_features_out = len(rows)
        self.effective_metric_ = "euclidean" if self.metric == "l2" else self.metric
        return self

    def transform(self, X: Any) -> csr_matrix:
        """Graph (n_queries, n_samples_fit) in CSR from each row of X to its neighbours."""
        check_is_fitted(self)
        neighbors = self.n_neighbors + (self.mode == "distance")
        return self.kneighbors_graph(X, neighbors, self.mode)

    def kneighbors(
        self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> tuple[Floats, Ids] | Ids:
        """Distances (n_queries, n_neighbors) and row numbers of neighbours, nearest first.

        X   (n_queries, n_features), or None for the rows of the index, none its own neighbour
        """
        check_is_fitted(self)
        k = positive_int(self.n_neighbors if n_neighbors is None else n_neighbors, "n_neighbors")
        own = X is None
        if not own:
            X = validate_data(self, X, dtype=np.float32, reset=False)
        n = self.n_samples_fit_ if own else len(X)
        if k + own > self.n_samples_fit_:
            sign = "<" if own else "<="
            raise ValueError(
                f"Expected n_neighbors {sign} n_samples_fit, but n_neighbors = {k}, "
                f"n_samples_fit = {self.n_samples_fit_}, n_samples = {n}"
            )
        distances, ids = np.empty((n, k), np.float64), np.empty((n, k), np.int64)
        for part in self._parts(n, k + own):
            here = np.arange(part.start, part.stop)
            queries = self.index_.reconstruct(here) if own else X[part]
            found = self._search(queries, k + own)
            distances[part], ids[part] = _without(here, *found) if own else found
        return (distances, ids) if return_distance else ids

    def kneighbors_graph(
        self, X: Any = None, n_neighbors: int | None = None, mode: str = "connectivity"
    ) -> csr_matrix:
        """Graph (n_queries, n_samples_fit) in CSR; see `kneighbors` and `transform`."""
        if mode not in ("distance", "connectivity"):
            raise ValueError(f"mode must be 'distance' or 'connectivity', got {mode!r}.")
        distances, ids = self.kneighbors(X, n_neighbors)
        n, k = ids.shape
        weights = distances.ravel() if mode == "distance" else np.ones(n * k)
        starts = np.arange(0, n * k + 1, k)
        return csr_matrix((weights, ids.ravel(), starts), shape=(n, self.n_samples_fit_))

    def _parts(self, n: int, k: int) -> Iterator[slice]:
        step = max(1, _NUMBERS // (k * self.n_features_in_))
        return (slice(i, min(i + step, n)) for i in range(0, n, step))

    def _search(self, queries: NDArray[np.float32], k: int) -> tuple[Floats, Ids]:
        """By distance computed anew: a float32 one of a row to itself need not be zero."""
        threads = effective_n_jobs(self.n_jobs)
        ids = np.sort(self.index_.search(queries, k, threads=threads).ids)
        rows = self.index_.reconstruct(ids.ravel()).reshape(*ids.shape, -1).astype(np.float64)
        distances = self._distances(rows, queries[:, None].astype(np.float64))
        order = np.argsort(distances, axis=1, kind="stable")
        return np.take_along_axis(distances, order, 1), np.take_along_axis(ids, order, 1)

    def _distances(self, rows: Floats, queries: Floats) -> Floats:
        """From queries (n, 1, d) to rows (n, k, d), which it may change."""
        if self.metric == "cosine":
            lengths = np.linalg.norm(rows, axis=2) * np.linalg.norm(queries, axis=2)
            rows *= queries
            cosines: Floats = rows.sum(axis=2) / np.where(lengths == 0, 1, lengths)
            return np.clip(1 - cosines, 0, 2)
        rows -= queries
        rows *= rows
        squares: Floats = rows.sum(axis=2)
        return squares if self.metric == "sqeuclidean" else np.sqrt(squares)


def _without(own: Ids, distances: Floats, ids: Ids) -> tuple[Floats, Ids]:
    """Each row without its own id, or without its last where equal rows have pushed that out."""
    n, width = ids.shape
    drop = ids == own[:, None]
    drop[~drop.any(axis=1), -1] = True
    return distances[~drop].reshape(n, width - 1), ids[~drop].reshape(n, width - 1)
