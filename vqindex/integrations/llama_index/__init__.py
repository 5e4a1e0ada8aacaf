"""VQVectorStore: a vector store for LlamaIndex."""

try:
    import llama_index.core as _core  # noqa: F401
except ImportError as error:
    raise ImportError('LlamaIndex is missing: pip install "vqindex[llama-index]"') from error

from vqindex.integrations.llama_index.store import VQVectorStore

__all__ = ["VQVectorStore"]
