"""VQSearchIndex: the index that MTEB's retrieval tasks search.

    SearchEncoderWrapper(model, index_backend=VQSearchIndex(model, spec="EDEN2"))

An IndexEncoderSearchProtocol of MTEB 2, by its methods alone: MTEB itself is not imported.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np

from vqindex.errors import ShapeError, SpecError
from vqindex.factory import index_factory
from vqindex.indexes.base import Index
from vqindex.results import SearchResult

METRICS = {"cosine": "cosine", "dot": "ip", "euclidean": "l2"}


@final
class VQSearchIndex:
    """Documents of one task in an index; scores are those of the model's similarity function.

    model  what MTEB evaluates: `mteb_model_meta.similarity_fn_name` is cosine, dot or euclidean
    spec   the index, as a factory string
    """

    def __init__(self, model: Any, spec: str = "EDEN4,Rerank(f16)") -> None:
        similarity = model.mteb_model_meta.similarity_fn_name
        name = str(getattr(similarity, "value", similarity))
        if name not in METRICS:
            known = ", ".join(METRICS)
            raise SpecError(f"the model's similarity must be one of {known}, got {name!r}.")
        self._metric, self._spec = METRICS[name], spec
        self.clear()

    def clear(self) -> None:
        """Forget all documents."""
        self._index: Index = index_factory(self._spec, metric=self._metric)
        self._rows: dict[str, int] = {}

    def add_documents(self, embeddings: Any, idxs: Sequence[str]) -> None:
        """Add documents by their embeddings (n, d), array or tensor, and their ids."""
        vectors = _array(embeddings)
        if len(vectors) != len(idxs):
            raise ShapeError(f"idxs must have one id for each of {len(vectors)}, got {len(idxs)}.")
        self._rows |= zip(idxs, self._index.add(vectors).tolist(), strict=True)

    def search(
        self,
        embeddings: Any,
        top_k: int,
        similarity_fn: Callable[[Any, Any], Any],
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        query_idx_to_id: Mapping[int, str] | None = None,
    ) -> tuple[list[list[float]], list[list[int]]]:
        """Scores and positions of the best documents of each query, at most top_k each.

        similarity_fn    not used: the index has its own
        top_ranked       of each query's id the documents to choose from; positions are then those
                         in its list, else those in which documents were added
        query_idx_to_id  the id of each query, needed with top_ranked
        """
        queries = _array(embeddings)
        if top_ranked is None:
            k = max(1, min(top_k, len(self._index)))
            return self._lists(self._index.search(queries, k))
        if query_idx_to_id is None:
            raise ValueError("query_idx_to_id must be given with top_ranked.")
        scores, positions = [], []
        for i, query in enumerate(queries):
            ranked = top_ranked.get(query_idx_to_id[i], ())
            if not ranked:
                message = f"no top-ranked documents for query {query_idx_to_id[i]}"
                warnings.warn(message, stacklevel=2)
            place = {self._rows[document]: at for at, document in enumerate(ranked)}
            k = max(1, min(top_k, len(place)))
            ((best,), (rows,)) = self._lists(self._index.search(query[None], k, filter=list(place)))
            scores.append(best)
            positions.append([place[row] for row in rows])
        return scores, positions

    def _lists(self, result: SearchResult) -> tuple[list[list[float]], list[list[int]]]:
        """Without the padding, which stands last."""
        scores = result.scores
        if self._metric == "l2":
            scores = -np.sqrt(np.maximum(result.distances, 0))
        counts = (result.ids >= 0).sum(axis=1).tolist()
        both = scores.tolist(), result.ids.tolist()
        best, rows = ([row[:n] for row, n in zip(of, counts, strict=True)] for of in both)
        return best, rows


def _array(x: Any) -> Any:
    """Tensors as arrays, those of types that NumPy does not have too."""
    return x.detach().cpu().float().numpy() if hasattr(x, "detach") else x
