"""Graphs of rows: hnswlib, usearch, and Intel's SVS."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, final

import numpy as np

from benchmarks.peers.base import Floats, Ids, Peer, options


@final
class Hnswlib(Peer):
    """HNSW(M=16,ef_construction=200): the settings of its own examples."""

    library = package = module = "hnswlib"
    parameters = ("ef",)

    def __init__(self, spec: str, metric: str) -> None:
        super().__init__(spec, metric)
        self._options = options(spec, "HNSW", {"M": 16, "ef_construction": 200})

    def add(self, x: Floats) -> None:
        """All rows at once."""
        self._index = self._library.Index(space=self._metric, dim=x.shape[1])
        self._index.init_index(max_elements=len(x), **self._options)
        self._index.add_items(x, np.arange(len(x)), num_threads=self._threads)

    def configure(self, **parameters: Any) -> None:
        """ef is the length of the list of candidates."""
        super().configure(**parameters)
        self._index.set_ef(parameters["ef"])

    def search(self, q: Floats, k: int) -> Ids:
        """Ids (nq, k); with an ef of at least k."""
        if self._index.ef < k:
            self._index.set_ef(k)
        ids: Ids = self._index.knn_query(q, k, num_threads=self._threads)[0].astype(np.int64)
        return ids

    def save(self, path: Path) -> bool:
        """One file."""
        self._index.save_index(str(path))
        return True


@final
class Usearch(Peer):
    """HNSW(dtype=bf16,connectivity=16,expansion_add=128): its defaults on CPUs with bf16."""

    library = package = "usearch"
    module = "usearch.index"
    parameters = ("ef",)

    def __init__(self, spec: str, metric: str) -> None:
        super().__init__(spec, metric)
        defaults = {"dtype": "bf16", "connectivity": 16, "expansion_add": 128}
        self._options = options(spec, "HNSW", defaults)

    def add(self, x: Floats) -> None:
        """All rows at once."""
        # Its "cos" would compute both norms for each pair of rows, which are one here.
        metric = "l2sq" if self._metric == "l2" else "ip"
        self._index = self._library.Index(ndim=x.shape[1], metric=metric, **self._options)
        self._index.add(np.arange(len(x)), self._rows(x), threads=self._threads)

    def search(self, q: Floats, k: int) -> Ids:
        """Ids (nq, k)."""
        self._index.expansion_search = max(k, self._asked.get("ef", 64))
        keys = self._index.search(q, k, threads=self._threads).keys
        return np.asarray(keys).astype(np.int64).reshape(len(q), -1)

    @property
    def bytes_per_row(self) -> float:
        """All memory of the index, shared out."""
        return float(self._index.memory_usage / len(self._index))

    def save(self, path: Path) -> bool:
        """One file."""
        self._index.save(str(path))
        return True


@final
class Svs(Peer):
    """Vamana(degree=32,window=128,dtype=float16): SVS's graph, with the alpha that it advises.

    dtype   float32, float16, or LVQ4x8, which its wheels have for Intel's CPUs only
    """

    library, package, module = "SVS", "scalable-vs", "svs"
    parameters = ("ef",)

    def __init__(self, spec: str, metric: str) -> None:
        super().__init__(spec, metric)
        defaults = {"degree": 32, "window": 128, "dtype": "float16"}
        self._options = options(spec, "Vamana", defaults)

    def add(self, x: Floats) -> None:
        """All rows at once."""
        svs, l2 = self._library, self._metric == "l2"
        parameters = svs.VamanaBuildParameters(
            alpha=1.2 if l2 else 0.95,
            graph_max_degree=self._options["degree"],
            window_size=self._options["window"],
        )
        distance = svs.DistanceType.L2 if l2 else svs.DistanceType.MIP
        data = self._stored(self._rows(x))
        self._index = svs.Vamana.build(parameters, data, distance, self._threads)

    def _stored(self, x: Floats) -> Any:
        """Rows as the graph is to keep them; what compresses them reads a file."""
        if self._options["dtype"] != "LVQ4x8":
            return x.astype(self._options["dtype"])
        svs, self._folder = self._library, TemporaryDirectory()
        path = str(Path(self._folder.name, "rows.fvecs"))
        svs.write_vecs(x, path)
        loader = svs.VectorDataLoader(path, svs.DataType.float32, dims=x.shape[1])
        return svs.LVQLoader(loader, primary=4, residual=8)

    def search(self, q: Floats, k: int) -> Ids:
        """Ids (nq, k)."""
        self._index.search_window_size = max(k, self._asked.get("ef", k))
        if self._index.num_threads != self._threads:
            self._index.num_threads = self._threads
        ids: Ids = self._index.search(q, k)[0].astype(np.int64)
        return ids

    def save(self, path: Path) -> bool:
        """Three folders."""
        path.mkdir()
        self._index.save(*(str(path / part) for part in ("config", "graph", "data")))
        return True
