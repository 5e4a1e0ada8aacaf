"""Documents beside their vectors, in one folder: see VectorStore."""

from vqindex.store.documents import Document, Hit
from vqindex.store.store import VectorStore
from vqindex.store.where import matches

__all__ = ["Document", "Hit", "VectorStore", "matches"]
