"""VQDocumentStore: Haystack's documents in a store of vqindex."""

import asyncio
import functools
import math
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, ParamSpec, Self, TypeVar, final

import numpy as np
from haystack import default_from_dict, default_to_dict
from haystack.dataclasses import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError

from vqindex.errors import IdError
from vqindex.integrations import values
from vqindex.integrations.closing import Adapter
from vqindex.integrations.haystack.documents import Filters, columns, document, meta, where
from vqindex.store import VectorStore

P = ParamSpec("P")
R = TypeVar("R")

SCALES: dict[str, Callable[[float], float]] = {
    "cosine": lambda score: (score + 1) / 2,
    "ip": lambda score: 1 / (1 + math.exp(-score / 100)),
    "l2": lambda score: 1 / (1 - score),
}


def twin(method: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """A method as a coroutine, which runs in a thread while the event loop goes on."""

    @functools.wraps(method)
    async def run(*args: P.args, **named: P.kwargs) -> R:
        return await asyncio.to_thread(method, *args, **named)

    return run


@final
class VQDocumentStore(Adapter):
    """Documents of Haystack in a store of vqindex, with embeddings or without.

    path              the store's folder; in memory if there is none
    metric            "cosine", "ip" or "l2", which a store that is there keeps
    return_embedding  whether documents come back with their embeddings, which are those given
    options           of VectorStore: spec, originals, read_only

    Filters mean what Haystack's own `document_matches_filter` says; where that raises for a
    document whose value has no order with a filter's number, the document is not found. Metadata
    are JSON values. `store` is the store itself, which `close`, or the end of a `with`, closes.
    """

    def __init__(
        self,
        path: Any = None,
        *,
        metric: str | None = None,
        return_embedding: bool = True,
        **options: Any,
    ) -> None:
        self._init = {"path": None if path is None else str(path), "metric": metric, **options}
        self.return_embedding = return_embedding
        self.store = VectorStore(self._init["path"] or ":memory:", metric=metric, **options)

    @property
    def _kept(self) -> VectorStore:
        return self.store

    def to_dict(self) -> dict[str, Any]:
        """How to make such a store; its documents are in its folder."""
        made: dict[str, Any] = default_to_dict(
            self, **self._init, return_embedding=self.return_embedding
        )
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The store that `to_dict` tells of."""
        made: Self = default_from_dict(cls, data)
        return made

    # Documents

    def count_documents(self) -> int:
        """How many documents there are."""
        return len(self.store)

    def filter_documents(self, filters: Filters = None) -> list[Document]:
        """Documents that pass filters, in the order in which they were first written."""
        found = self.store.documents(where(filters))
        return [document(one, self.return_embedding) for one in found]

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Write documents, all or none, and return how many; NONE is FAIL."""
        if not isinstance(documents, Iterable) or isinstance(documents, str | bytes):
            raise ValueError(f"documents must be a list of Documents, got {documents!r}.")
        several = list(documents)
        for one in several:
            if not isinstance(one, Document):
                raise ValueError(f"documents must be a list of Documents, got {one!r} in it.")
        ready = columns(several)
        if policy == DuplicatePolicy.OVERWRITE:
            self.store.upsert(**ready)
            return len(several)
        try:
            return self.store.add(**ready, skip_existing=policy == DuplicatePolicy.SKIP)
        except IdError as error:
            raise DuplicateDocumentError(str(error)) from error

    def delete_documents(self, document_ids: list[str]) -> None:
        """Remove documents by their ids; missing ones are ignored."""
        self.store.remove(document_ids)

    def delete_all_documents(self, recreate_index: bool = False) -> None:
        """Remove all documents; there is no index to keep or to make anew."""
        self.store.clear()

    def delete_by_filter(self, filters: Mapping[str, Any]) -> int:
        """Remove documents that pass filters and return how many."""
        return self.store.remove(where=_needed(filters))

    def update_by_filter(self, filters: Mapping[str, Any], meta: Mapping[str, Any]) -> int:
        """Merge metadata into that of documents that pass filters, and return how many."""
        return self.store.update(meta, where=_needed(filters))

    def embedding_retrieval(
        self,
        query_embedding: list[float],
        filters: Filters = None,
        top_k: int = 10,
        scale_score: bool = False,
        return_embedding: bool | None = False,
    ) -> list[Document]:
        """The documents nearest to an embedding, with their scores, nearest first.

        scale_score       scores in [0, 1] as Haystack's in-memory store has them, and 1 / (1 + the
                          square distance) for l2; else the similarity
        return_embedding  None for that of the store
        """
        if top_k == 0:
            return []
        kept = self.return_embedding if return_embedding is None else return_embedding
        hits = self.store.search(np.asarray(query_embedding), top_k, where(filters))
        scale = SCALES[self.store.metric] if scale_score else float
        return [document(hit.document, kept, scale(hit.score)) for hit in hits]

    # Metadata

    def count_documents_by_filter(self, filters: Filters) -> int:
        """How many documents pass filters."""
        return self.store.count(where(filters))

    def count_unique_metadata_by_filter(
        self, filters: Filters, metadata_fields: list[str]
    ) -> dict[str, int]:
        """Of each field how many different values documents that pass filters have."""
        names = [name.removeprefix("meta.") for name in metadata_fields]
        found = self._metadata(filters)
        return {name: len(values.different(values.of(found, name))) for name in names}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Of each field its type: boolean, int, float or keyword."""
        return {name: {"type": kind} for name, kind in values.kinds(self._metadata()).items()}

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """The "min" and "max" of a field, None where its values have no order."""
        found = values.of(self._metadata(), metadata_field.removeprefix("meta."))
        least, most = values.extremes(found)
        return {"min": least, "max": most}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: Filters = None,
    ) -> tuple[list[Any], int]:
        """A page of a field's different values, in order of their text, and how many there are.

        search_term  only values whose text has it within, in any case of letters
        """
        found = values.of(self._metadata(filters), metadata_field.removeprefix("meta."))
        term = (search_term or "").lower()
        several = [one for one in values.different(found) if term in str(one).lower()]
        several.sort(key=lambda one: (str(one), type(one).__name__))
        return several[from_ : from_ + size], len(several)

    def _metadata(self, filters: Filters = None) -> list[dict[str, Any]]:
        return [meta(one) for one in self.store.documents(where(filters))]

    # Without holding up the event loop

    count_documents_async = twin(count_documents)
    filter_documents_async = twin(filter_documents)
    write_documents_async = twin(write_documents)
    delete_documents_async = twin(delete_documents)
    delete_all_documents_async = twin(delete_all_documents)
    delete_by_filter_async = twin(delete_by_filter)
    update_by_filter_async = twin(update_by_filter)
    embedding_retrieval_async = twin(embedding_retrieval)
    count_documents_by_filter_async = twin(count_documents_by_filter)
    count_unique_metadata_by_filter_async = twin(count_unique_metadata_by_filter)
    get_metadata_fields_info_async = twin(get_metadata_fields_info)
    get_metadata_field_min_max_async = twin(get_metadata_field_min_max)
    get_metadata_field_unique_values_async = twin(get_metadata_field_unique_values)


def _needed(filters: Filters) -> Any:
    asked = where(filters)
    if asked is None:
        raise FilterError("filters are needed; delete_all_documents removes every document.")
    return asked
