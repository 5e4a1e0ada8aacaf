"""VQVectorStore: a vector store for LangChain."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, final

import numpy as np

from vqindex.errors import ShapeError
from vqindex.integrations.closing import Adapter
from vqindex.integrations.mongo import parse
from vqindex.store import Document, Hit, VectorStore

try:
    from langchain_core.documents import Document as Text
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import VectorStore as Base
except ImportError as error:
    raise ImportError('LangChain is missing: pip install "vqindex[langchain]"') from error

Filter = Callable[[Text], bool] | Mapping[str, Any] | None
Scored = list[tuple[Text, float]]


@final
class VQVectorStore(Adapter, Base):
    """Texts, their metadata and their embeddings in a store of vqindex.

    embedding  what makes vectors of texts
    path       the store's folder; in memory if there is none
    store      a store that is open already, instead of a path
    options    of VectorStore: metric, spec, originals, read_only

    `filter` of a search is a function from a Document to a bool, or a dict in the language of
    MongoDB: {"year": {"$gte": 1999}, "genre": "drama"}, with $eq $ne $gt $gte $lt $lte $in $nin
    $contains $exists, $and, $or and $not. Scores are similarities: larger is nearer. Metadata are
    JSON values. `store` is the store itself, which `close`, or the end of a `with`, closes.
    """

    def __init__(
        self,
        embedding: Embeddings,
        path: Any = None,
        *,
        store: VectorStore | None = None,
        **options: Any,
    ) -> None:
        if store is None:
            store = VectorStore(":memory:" if path is None else path, **options)
        elif path is not None or options:
            raise ValueError("a store that is open has its path and options; give it alone.")
        self.embedding, self.store = embedding, store

    @property
    def embeddings(self) -> Embeddings:
        """What makes vectors of texts."""
        return self.embedding

    @property
    def _kept(self) -> VectorStore:
        return self.store

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A store with these texts in it; further arguments are those of the class."""
        new = cls(embedding, **kwargs)
        new.add_texts(texts, metadatas, ids=ids)
        return new

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """As `from_texts`."""
        new = cls(embedding, **kwargs)
        await new.aadd_texts(texts, metadatas, ids=ids)
        return new

    # Changing it

    def add_documents(
        self, documents: list[Text], ids: Sequence[str | None] | None = None, **kwargs: Any
    ) -> list[str]:
        """Add documents, in place of those that have their ids; the ids, made where missing."""
        names = _names(documents, ids)
        if names:
            vectors = self.embedding.embed_documents([one.page_content for one in documents])
            self.store.upsert(**_columns(names, documents, vectors))
        return names

    async def aadd_documents(
        self, documents: list[Text], ids: Sequence[str | None] | None = None, **kwargs: Any
    ) -> list[str]:
        """As `add_documents`."""
        names = _names(documents, ids)
        if names:
            vectors = await self.embedding.aembed_documents([one.page_content for one in documents])
            await self.store.aupsert(**_columns(names, documents, vectors))
        return names

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, in place of those that have their ids; the ids, made where missing."""
        return self.add_documents(_documents(texts, metadatas), ids)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """As `add_texts`."""
        return await self.aadd_documents(_documents(texts, metadatas), ids)

    def delete(
        self, ids: Sequence[str] | None = None, *, filter: Filter = None, **kwargs: Any
    ) -> bool:
        """Remove documents by their ids, by a filter, or by both; all, by neither."""
        if ids is None and filter is None:
            self.store.clear()
        else:
            self.store.remove(ids, _where(filter))
        return True

    async def adelete(
        self, ids: Sequence[str] | None = None, *, filter: Filter = None, **kwargs: Any
    ) -> bool:
        """As `delete`."""
        if ids is None and filter is None:
            await self.store.aclear()
        else:
            await self.store.aremove(ids, _where(filter))
        return True

    # Asking it

    def get_by_ids(self, ids: Sequence[str], /) -> list[Text]:
        """Documents by their ids, without those that are not there."""
        return [_text(one) for one in self.store.get(ids)]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Text]:
        """As `get_by_ids`."""
        return [_text(one) for one in await self.store.aget(ids)]

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: Filter = None
    ) -> Scored:
        """The k nearest documents to a vector, with their scores, nearest first."""
        return _scored(self.store.search(np.asarray(embedding), k, where=_where(filter)))

    async def asimilarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: Filter = None
    ) -> Scored:
        """As `similarity_search_with_score_by_vector`."""
        return _scored(await self.store.asearch(np.asarray(embedding), k, where=_where(filter)))

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        """The k nearest documents to a text, with their scores, nearest first."""
        vector = self.embedding.embed_query(query)
        return self.similarity_search_with_score_by_vector(vector, k, **kwargs)

    async def asimilarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        """As `similarity_search_with_score`."""
        vector = await self.embedding.aembed_query(query)
        return await self.asimilarity_search_with_score_by_vector(vector, k, **kwargs)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[Text]:
        """The k nearest documents to a vector."""
        return _texts(self.similarity_search_with_score_by_vector(embedding, k, **kwargs))

    async def asimilarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[Text]:
        """As `similarity_search_by_vector`."""
        return _texts(await self.asimilarity_search_with_score_by_vector(embedding, k, **kwargs))

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Text]:
        """The k nearest documents to a text."""
        return _texts(self.similarity_search_with_score(query, k, **kwargs))

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Text]:
        """As `similarity_search`."""
        return _texts(await self.asimilarity_search_with_score(query, k, **kwargs))

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter = None,
    ) -> list[Text]:
        """k of the fetch_k nearest documents to a vector, near it and unlike each other."""
        named = {"fetch_k": fetch_k, "lambda_mult": lambda_mult, "where": _where(filter)}
        return _texts(_scored(self.store.search_mmr(np.asarray(embedding), k, **named)))

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter = None,
    ) -> list[Text]:
        """As `max_marginal_relevance_search_by_vector`."""
        named = {"fetch_k": fetch_k, "lambda_mult": lambda_mult, "where": _where(filter)}
        return _texts(_scored(await self.store.asearch_mmr(np.asarray(embedding), k, **named)))

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Text]:
        """k of the fetch_k nearest documents to a text, near it and unlike each other."""
        vector = self.embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(
            vector, k, fetch_k, lambda_mult, **kwargs
        )

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Text]:
        """As `max_marginal_relevance_search`."""
        vector = await self.embedding.aembed_query(query)
        return await self.amax_marginal_relevance_search_by_vector(
            vector, k, fetch_k, lambda_mult, **kwargs
        )

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """From scores to [0, 1]: the similarity, or 1 - distance / sqrt(2), and 0 below that."""
        if self.store.metric == "l2":
            return lambda score: max(0.0, 1 - float(np.sqrt(max(0.0, -score) / 2)))
        return lambda score: min(max(0.0, score), 1.0)


def _documents(texts: Iterable[str], metadatas: Sequence[Mapping[str, Any]] | None) -> list[Text]:
    several = list(texts)
    about = [{}] * len(several) if metadatas is None else metadatas
    if len(about) != len(several):
        raise ShapeError(f"metadatas must be as many as texts, {len(several)}, got {len(about)}.")
    return [Text(text, metadata=dict(one)) for text, one in zip(several, about, strict=True)]


def _names(documents: Sequence[Text], ids: Sequence[str | None] | None) -> list[str]:
    """Of each its id: as given, its own, or a new one."""
    if ids is None:
        ids = [one.id for one in documents]
    if len(ids) != len(documents):
        raise ShapeError(f"ids must be as many as documents, {len(documents)}, got {len(ids)}.")
    return [str(uuid.uuid4()) if name is None else name for name in ids]


def _columns(names: list[str], documents: Sequence[Text], vectors: Any) -> dict[str, Any]:
    """What the store is given."""
    return {
        "ids": names,
        "vectors": np.asarray(vectors, np.float32),
        "texts": [one.page_content for one in documents],
        "metadata": [one.metadata for one in documents],
    }


def _text(document: Document) -> Text:
    return Text(id=document.id, page_content=document.text or "", metadata=dict(document.metadata))


def _scored(hits: Sequence[Hit]) -> Scored:
    return [(_text(hit.document), hit.score) for hit in hits]


def _texts(scored: Scored) -> list[Text]:
    return [text for text, _ in scored]


def _where(filter: Filter) -> Any:
    """The store's filter for one of LangChain's."""
    if filter is None:
        return None
    if callable(filter):
        return lambda document: filter(_text(document))
    return parse(filter)
