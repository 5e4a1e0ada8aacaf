"""ScaNN."""

from pathlib import Path
from typing import final

import numpy as np

from benchmarks.peers.base import Floats, Ids, Peer, options


@final
class Scann(Peer):
    """Tree(leaves=600,dims=2,threshold=0.2): anisotropic 4-bit codes, then the rows themselves.

    leaves   0 for no tree: every code is scored
    dims     of a block that has one code
    """

    library, package, module = "ScaNN", "scann", "scann"
    parameters = ("leaves", "reorder")

    def __init__(self, spec: str, metric: str) -> None:
        super().__init__(spec, metric)
        self._options = options(spec, "Tree", {"leaves": 600, "dims": 2, "threshold": 0.2})

    def add(self, x: Floats) -> None:
        """All rows at once; its wheels train with as many threads as they are given."""
        leaves, dims, threshold = self._options.values()
        distance = "squared_l2" if self._metric == "l2" else "dot_product"
        builder = self._library.scann_ops_pybind.builder(self._rows(x), 10, distance)
        builder = builder.set_n_training_threads(self._threads)
        if leaves:
            builder = builder.tree(
                num_leaves=leaves, num_leaves_to_search=10, training_sample_size=len(x),
                spherical=self._metric == "cosine",
            )  # fmt: skip
        builder = builder.score_ah(dims, anisotropic_quantization_threshold=threshold)
        self._index = builder.reorder(100).build()
        self._index.set_num_threads(self._threads)

    def search(self, q: Floats, k: int) -> Ids:
        """Ids (nq, k)."""
        leaves = min(self._asked.get("leaves", 10), self._options["leaves"]) or -1
        asked = {
            "final_num_neighbors": k,
            "pre_reorder_num_neighbors": max(k, self._asked.get("reorder", 100)),
            "leaves_to_search": leaves,
        }
        if len(q) == 1:
            ids = self._index.search(q[0], **asked)[0]
        elif self._threads == 1:
            ids = self._index.search_batched(q, **asked)[0]
        else:
            ids = self._index.search_batched_parallel(q, **asked)[0]
        return np.asarray(ids).astype(np.int64).reshape(len(q), -1)

    def save(self, path: Path) -> bool:
        """A folder."""
        path.mkdir()
        self._index.serialize(str(path))
        return True
