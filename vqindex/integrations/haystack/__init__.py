"""VQDocumentStore and VQEmbeddingRetriever: a document store for Haystack, and its retriever."""

try:
    import haystack as _haystack  # noqa: F401
except ImportError as error:
    raise ImportError('Haystack is missing: pip install "vqindex[haystack]"') from error

from vqindex.integrations.haystack.retriever import VQEmbeddingRetriever
from vqindex.integrations.haystack.store import VQDocumentStore

__all__ = ["VQDocumentStore", "VQEmbeddingRetriever"]
