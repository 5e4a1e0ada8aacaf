"""Closing the store of an adapter, by hand or where a `with` block ends."""

from types import TracebackType
from typing import Self

from vqindex.store import VectorStore


class Closing:
    """An adapter; `_kept` is its store."""

    @property
    def _kept(self) -> VectorStore:
        raise NotImplementedError

    def close(self) -> None:
        """Let others write to the store; what has been written is on the disk already."""
        self._kept.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
