"""VQVectorStore: a vector store for LlamaIndex."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from vqindex.integrations.comparisons import Filter, compared
from vqindex.store import Document, VectorStore

try:
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.indices.query.embedding_utils import (
        get_top_k_embeddings_learner,
        get_top_k_mmr_embeddings,
    )
    from llama_index.core.schema import BaseNode, MetadataMode
    from llama_index.core.vector_stores.types import (
        BasePydanticVectorStore,
        FilterCondition,
        MetadataFilter,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from llama_index.core.vector_stores.utils import (
        build_metadata_filter_fn,
        metadata_dict_to_node,
        node_to_metadata_dict,
    )
except ImportError as error:
    raise ImportError('LlamaIndex is missing: pip install "vqindex[llama-index]"') from error

PREFETCH = 4.0  # candidates of MMR for each node wanted, as in other stores of LlamaIndex
MODES = (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR)
LEARNERS = (
    VectorStoreQueryMode.SVM,
    VectorStoreQueryMode.LINEAR_REGRESSION,
    VectorStoreQueryMode.LOGISTIC_REGRESSION,
)
_OPS = {"==": "==", "!=": "!=", ">": ">", "<": "<", ">=": ">=", "<=": "<=", "in": "in"}
_OPS["nin"] = "not in"
Where = Filter | Callable[[Document], bool] | None
Found = list[tuple[Document, float]]


@final
class VQVectorStore(BasePydanticVectorStore):
    """Nodes and their embeddings in a store of vqindex.

    path     the store's folder; in memory if there is none
    metric   "cosine", "l2" or "ip"; similarities are larger for nearer nodes
    options  of VectorStore: spec, originals, read_only

    Filters mean what LlamaIndex's own `build_metadata_filter_fn` says, and may be nested; where
    that raises for a node whose value has no order with a filter's, the node is not found.
    `client` is the store itself.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    path: str | None = None
    metric: str = "cosine"
    options: dict[str, Any] = Field(default_factory=dict)
    _store: VectorStore = PrivateAttr()

    def __init__(self, path: Any = None, metric: str = "cosine", **options: Any) -> None:
        options = options.pop("options", {}) | {
            name: value for name, value in options.items() if name not in type(self).model_fields
        }
        path = None if path is None else str(path)
        super().__init__(path=path, metric=metric, options=options)
        self._store = VectorStore(path or ":memory:", metric=metric, **options)

    @classmethod
    def class_name(cls) -> str:
        """By which LlamaIndex knows it."""
        return "VQVectorStore"

    @property
    def client(self) -> VectorStore:
        """The store itself."""
        return self._store

    # Changing it

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes that have embeddings, in place of those that have their ids; the ids."""
        if nodes:
            self._store.upsert(
                ids=[node.node_id for node in nodes],
                vectors=np.asarray([node.get_embedding() for node in nodes], np.float32),
                texts=[node.get_content(MetadataMode.NONE) or None for node in nodes],
                metadata=[node_to_metadata_dict(node, remove_text=True) for node in nodes],
            )
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Remove the nodes of a document."""
        self._store.remove(where=compared(["meta", "ref_doc_id"], "==", ref_doc_id))

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Remove nodes by their ids, by filters, or by both; all, by neither."""
        where = _where(filters)
        if node_ids is None and where is None:
            self._store.clear()
        else:
            self._store.remove(node_ids, where)

    def clear(self) -> None:
        """Remove all nodes."""
        self._store.clear()

    # Asking it

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Nodes by their ids, by filters, or by both; all, by neither."""
        return [_node(one) for one in self._store.documents(_where(filters, node_ids))]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The nodes nearest to an embedding, in the modes default, mmr and those of learners.

        Its node_ids and doc_ids may be empty, as LlamaIndex's own retriever sends them: for all.
        mmr_threshold        of mode mmr, 1 for the nearest, 0 for the least alike
        mmr_prefetch_factor  candidates of mode mmr for each node wanted; or mmr_prefetch_k of them
        """
        if query.query_embedding is None:
            raise ValueError("a query needs its query_embedding; this store embeds no texts.")
        where = _where(query.filters, query.node_ids or None, query.doc_ids or None)
        if query.mode == VectorStoreQueryMode.DEFAULT:
            found = self._nearest(query, query.similarity_top_k, where)
        elif query.mode == VectorStoreQueryMode.MMR:
            found = self._mmr(query, where, **kwargs)
        elif query.mode in LEARNERS:
            there = [one for one in self._store.documents(where) if one.vector is not None]
            found = _chosen(get_top_k_embeddings_learner, query, there)
        else:
            modes = ", ".join(mode.value for mode in (*MODES, *LEARNERS))
            raise ValueError(f"the mode must be one of {modes}, got {query.mode.value!r}.")
        return VectorStoreQueryResult(
            nodes=[_node(one) for one, _ in found],
            similarities=[score for _, score in found],
            ids=[one.id for one, _ in found],
        )

    def _nearest(self, query: VectorStoreQuery, k: int, where: Where) -> Found:
        hits = self._store.search(np.asarray(query.query_embedding), k, where)
        return [(hit.document, hit.score) for hit in hits]

    def _mmr(
        self,
        query: VectorStoreQuery,
        where: Where,
        mmr_threshold: float | None = None,
        mmr_prefetch_factor: float = PREFETCH,
        mmr_prefetch_k: int | None = None,
        **kwargs: Any,
    ) -> Found:
        threshold = query.mmr_threshold if mmr_threshold is None else mmr_threshold
        k = mmr_prefetch_k or int(np.ceil(mmr_prefetch_factor * query.similarity_top_k))
        near = [one for one, _ in self._nearest(query, k, where)]
        return _chosen(get_top_k_mmr_embeddings, query, near, mmr_threshold=threshold)

    # Without holding up the event loop

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """As `add`."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """As `delete`."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """As `delete_nodes`."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aclear(self) -> None:
        """As `clear`."""
        await asyncio.to_thread(self.clear)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """As `get_nodes`."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """As `query`."""
        return await asyncio.to_thread(self.query, query, **kwargs)


def _node(document: Document) -> BaseNode:
    return metadata_dict_to_node(document.metadata, text=document.text)


def _chosen(
    choose: Any, query: VectorStoreQuery, documents: Sequence[Document], **named: Any
) -> Found:
    """Some of the documents by one of LlamaIndex's functions, with the scores it gives."""
    if not documents:
        return []
    scores, places = choose(
        query.query_embedding,
        [one.vector.tolist() for one in documents if one.vector is not None],
        similarity_top_k=query.similarity_top_k,
        embedding_ids=list(range(len(documents))),
        **named,
    )
    return [(documents[i], score) for i, score in zip(places, scores, strict=True)]


def _where(
    filters: MetadataFilters | None,
    ids: Sequence[str] | None = None,
    ref_doc_ids: Sequence[str] | None = None,
) -> Where:
    """The store's filter for LlamaIndex's and for ids; a function where it has none."""
    tests = [
        compared(field, "in", list(some))
        for field, some in (("id", ids), (["meta", "ref_doc_id"], ref_doc_ids))
        if some is not None
    ]
    if filters is None or not filters.filters:
        return {"and": tests} if tests else None
    asked = _asked(filters)
    if asked is not None:
        return {"and": [asked, *tests]}
    own = _function(filters)
    few = None if ids is None else set(ids)
    of = None if ref_doc_ids is None else set(ref_doc_ids)
    return lambda one: (
        (few is None or one.id in few)
        and (of is None or one.metadata["ref_doc_id"] in of)
        and own(one)
    )


def _asked(filters: MetadataFilters | MetadataFilter) -> Filter | None:
    """What a store can be asked, None for what it cannot."""
    if isinstance(filters, MetadataFilter):
        op = _OPS.get(filters.operator.value)
        if op is None or filters.value is None:
            return None
        return compared(["meta", filters.key], op, filters.value)
    parts = [_asked(part) for part in filters.filters]
    if None in parts:
        return None
    word = "and" if filters.condition in (None, FilterCondition.AND) else "or"
    return {"not": {"or": parts}} if filters.condition == FilterCondition.NOT else {word: parts}


def _function(filters: MetadataFilters | MetadataFilter) -> Callable[[Document], bool]:
    """By LlamaIndex's own function for each filter, of which it takes no nested ones."""
    if isinstance(filters, MetadataFilter):
        alone = MetadataFilters(filters=[filters])
        own: Callable[[Any], bool] = build_metadata_filter_fn(lambda one: one.metadata, alone)
        return own
    parts = [_function(part) for part in filters.filters]
    if filters.condition == FilterCondition.NOT:
        return lambda one: not any(part(one) for part in parts)
    together = any if filters.condition == FilterCondition.OR else all
    return lambda one: together(part(one) for part in parts)
