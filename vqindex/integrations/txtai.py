"""VQANN: a backend of txtai's embeddings databases.

    Embeddings(path=..., backend="vqindex.integrations.txtai.VQANN")

Its settings stand in the configuration under the same name, {"spec": "EDEN4,Rerank(f16)"} if
there are none.
"""

from collections.abc import Iterable
from typing import Any, final

import numpy as np

from vqindex.factory import index_factory
from vqindex.io import load

try:
    from txtai.ann import ANN
except ImportError as error:
    raise ImportError('txtai is missing: pip install "vqindex[txtai]"') from error


@final
class VQANN(ANN):
    """Vectors of a txtai index, each under the number of its row; scores are inner products."""

    def index(self, embeddings: Any) -> None:
        """Begin anew with embeddings (n, d), normalized as txtai makes them."""
        if type(self.config.get("quantize")) is int:
            raise ValueError("txtai's quantize packs bits; leave it out and choose a spec instead.")
        spec = self.setting("spec", "EDEN4,Rerank(f16)")
        self.backend = index_factory(spec, metric="ip")
        self.config["offset"] = 0
        self._add(embeddings)
        self.metadata({"spec": self.backend.spec})

    def append(self, embeddings: Any) -> None:
        """Add embeddings (n, d) under the numbers that follow."""
        self._add(embeddings)
        self.metadata()

    def _add(self, embeddings: Any) -> None:
        start = self.config["offset"]
        self.backend.add(embeddings, ids=np.arange(start, start + len(embeddings)))
        self.config["offset"] += len(embeddings)

    def delete(self, ids: Iterable[int]) -> None:
        """Remove rows by number; unknown ones are ignored."""
        self.backend.remove(list(ids))

    def search(self, queries: Any, limit: int) -> list[list[tuple[int, float]]]:
        """The (number, score) of the best rows of each query (nq, d), at most `limit` each."""
        result = self.backend.search(queries, max(1, min(limit, len(self.backend))))
        pairs = zip(result.ids.tolist(), result.scores.tolist(), strict=True)
        return [[(i, s) for i, s in zip(*pair, strict=True) if i >= 0] for pair in pairs]

    def count(self) -> int:
        """How many rows there are."""
        return len(self.backend)

    def save(self, path: str) -> None:
        """Write the index to a file."""
        self.backend.save(path)

    def load(self, path: str) -> None:
        """Read the index from a file."""
        self.backend = load(path)
