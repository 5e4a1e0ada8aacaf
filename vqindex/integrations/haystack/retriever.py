"""VQEmbeddingRetriever: a component that searches a VQDocumentStore."""

import asyncio
from typing import Any, final

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from vqindex.integrations.haystack.store import VQDocumentStore


@final
@component
class VQEmbeddingRetriever:
    """The documents of a VQDocumentStore that are nearest to an embedding.

    filter_policy  REPLACE the filters given here by those of a run, or MERGE them
    The rest are defaults of `run`.
    """

    def __init__(
        self,
        document_store: VQDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        return_embedding: bool = False,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        if not isinstance(document_store, VQDocumentStore):
            raise TypeError(f"document_store must be a VQDocumentStore, got {document_store!r}.")
        if top_k <= 0:
            raise ValueError(f"top_k must be above 0, got {top_k}.")
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k
        self.scale_score = scale_score
        self.return_embedding = return_embedding
        policy = filter_policy
        self.filter_policy = FilterPolicy.from_str(policy) if isinstance(policy, str) else policy

    def to_dict(self) -> dict[str, Any]:
        """How to make such a component."""
        made: dict[str, Any] = default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            filters=self.filters,
            top_k=self.top_k,
            scale_score=self.scale_score,
            return_embedding=self.return_embedding,
            filter_policy=self.filter_policy.value,
        )
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "VQEmbeddingRetriever":
        """The component that `to_dict` tells of."""
        init = data["init_parameters"]
        document_store = VQDocumentStore.from_dict(init["document_store"])
        made: VQEmbeddingRetriever = default_from_dict(
            cls, data | {"init_parameters": init | {"document_store": document_store}}
        )
        return made

    @component.output_types(documents=list[Document])
    def run(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        scale_score: bool | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, list[Document]]:
        """The documents nearest to an embedding, see `VQDocumentStore.embedding_retrieval`."""
        documents = self.document_store.embedding_retrieval(
            query_embedding,
            apply_filter_policy(self.filter_policy, self.filters, filters),
            self.top_k if top_k is None else top_k,
            self.scale_score if scale_score is None else scale_score,
            self.return_embedding if return_embedding is None else return_embedding,
        )
        return {"documents": documents}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        scale_score: bool | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, list[Document]]:
        """As `run`."""
        return await asyncio.to_thread(
            self.run, query_embedding, filters, top_k, scale_score, return_embedding
        )
