"""VQVectorStore: nodes of LlamaIndex in a store of vqindex."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, final

import numpy as np
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.indices.query.embedding_utils import (
    get_top_k_embeddings_learner,
    get_top_k_mmr_embeddings,
)
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores.types import (
    DEFAULT_PERSIST_DIR,
    DEFAULT_PERSIST_FNAME,
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from vqindex.integrations.closing import Adapter
from vqindex.integrations.comparisons import compared
from vqindex.integrations.llama_index.filters import Where, where
from vqindex.store import Document, VectorStore

FOLDER = DEFAULT_PERSIST_FNAME
PREFETCH = 4.0  # candidates of MMR for each node wanted, as in other stores of LlamaIndex
MODES = (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR)
LEARNERS = (
    VectorStoreQueryMode.SVM,
    VectorStoreQueryMode.LINEAR_REGRESSION,
    VectorStoreQueryMode.LOGISTIC_REGRESSION,
)
Found = list[tuple[Document, float]]


@final
class VQVectorStore(Adapter, BasePydanticVectorStore):
    """Nodes and their embeddings in a store of vqindex.

    path     the store's folder; in memory if there is none
    metric   "cosine", "l2" or "ip", which a store that is there keeps; similarities are larger for
             nearer nodes
    options  of VectorStore: spec, originals, read_only

    Filters mean what LlamaIndex's own `build_metadata_filter_fn` says, and may be nested; where
    that raises for a node whose value has no order with a filter's, the node is not found.
    `client` is the store itself, which `close`, or the end of a `with`, closes. Pickled, it is its
    folder, which is opened to read only: one may write. One in memory is not pickled.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    path: str | None = None
    metric: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    _store: VectorStore = PrivateAttr()

    def __init__(self, path: Any = None, metric: str | None = None, **options: Any) -> None:
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

    @property
    def _kept(self) -> VectorStore:
        return self._store

    def __reduce__(self) -> tuple[Any, ...]:
        if self._store.path is None:
            raise TypeError("a store in memory cannot be pickled: give it a path, or persist() it.")
        options = self.options | {"read_only": True}
        return _opened, (str(self._store.path.resolve()), self.metric, options)

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
        asked = where(filters)
        if node_ids is None and asked is None:
            self._store.clear()
        else:
            self._store.remove(node_ids, asked)

    def clear(self) -> None:
        """Remove all nodes."""
        self._store.clear()

    # Asking it

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Nodes by their ids, by filters, or by both; all, by neither."""
        return [_node(one) for one in self._store.documents(where(filters, node_ids))]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The nodes nearest to an embedding, in the modes default, mmr and those of learners.

        Its node_ids and doc_ids may be empty, as LlamaIndex's own retriever sends them: for all.
        mmr_threshold        of mode mmr, 1 for the nearest, 0 for the least alike
        mmr_prefetch_factor  candidates of mode mmr for each node wanted; or mmr_prefetch_k of them
        """
        if query.query_embedding is None:
            raise ValueError("a query needs its query_embedding; this store embeds no texts.")
        asked = where(query.filters, query.node_ids or None, query.doc_ids or None)
        if query.mode == VectorStoreQueryMode.DEFAULT:
            found = self._nearest(query, query.similarity_top_k, asked)
        elif query.mode == VectorStoreQueryMode.MMR:
            found = self._mmr(query, asked, **kwargs)
        elif query.mode in LEARNERS:
            there = [one for one in self._store.documents(asked) if one.vector is not None]
            found = _chosen(get_top_k_embeddings_learner, query, there)
        else:
            modes = ", ".join(mode.value for mode in (*MODES, *LEARNERS))
            raise ValueError(f"the mode must be one of {modes}, got {query.mode.value!r}.")
        return VectorStoreQueryResult(
            nodes=[_node(one) for one, _ in found],
            similarities=[score for _, score in found],
            ids=[one.id for one, _ in found],
        )

    def _nearest(self, query: VectorStoreQuery, k: int, asked: Where) -> Found:
        hits = self._store.search(np.asarray(query.query_embedding), k, asked)
        return [(hit.document, hit.score) for hit in hits]

    def _mmr(
        self,
        query: VectorStoreQuery,
        asked: Where,
        mmr_threshold: float | None = None,
        mmr_prefetch_factor: float = PREFETCH,
        mmr_prefetch_k: int | None = None,
        **kwargs: Any,
    ) -> Found:
        threshold = query.mmr_threshold if mmr_threshold is None else mmr_threshold
        k = mmr_prefetch_k or int(np.ceil(mmr_prefetch_factor * query.similarity_top_k))
        near = [one for one, _ in self._nearest(query, k, asked)]
        return _chosen(get_top_k_mmr_embeddings, query, near, mmr_threshold=threshold)

    # Keeping it

    def persist(
        self, persist_path: str = os.path.join(DEFAULT_PERSIST_DIR, FOLDER), fs: Any = None
    ) -> None:
        """Make a folder, new or of an earlier copy, a copy of this store, at once or not at all.

        What is in the store's own folder needs none: it is on the disk when a call returns.
        """
        folder = _local(persist_path, fs)
        if self._store.path is not None and self._store.path.resolve() == folder.resolve():
            return
        self._store.backup(folder)

    @classmethod
    def from_persist_path(cls, persist_path: str, fs: Any = None) -> Self:
        """The store in a folder that `persist` made, and further changes there."""
        folder = _local(persist_path, fs)
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder of a store; persist makes one.")
        return cls(folder)

    @classmethod
    def from_persist_dir(
        cls, persist_dir: str = DEFAULT_PERSIST_DIR, namespace: str = "default", fs: Any = None
    ) -> Self:
        """The store that a StorageContext keeps in its folder, under a name."""
        return cls.from_persist_path(os.path.join(persist_dir, f"{namespace}__{FOLDER}"), fs)

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


def _opened(path: str, metric: str | None, options: dict[str, Any]) -> VQVectorStore:
    return VQVectorStore(path, metric, options=options)


def _local(path: str, fs: Any) -> Path:
    if fs is not None and "file" not in np.atleast_1d(fs.protocol):
        raise ValueError(f"a store is kept in a local folder, not in {fs.protocol}: copy it there.")
    return Path(path)


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
