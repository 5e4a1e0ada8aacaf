"""Closing the store of an adapter, by hand or where a `with` block ends."""

from vqindex.store import VectorStore
from vqindex.store.closing import Closing


class Adapter(Closing):
    """An adapter; `_kept` is its store."""

    @property
    def _kept(self) -> VectorStore:
        raise NotImplementedError

    def close(self) -> None:
        """Let others write to the store; what has been written is on the disk already."""
        self._kept.close()
