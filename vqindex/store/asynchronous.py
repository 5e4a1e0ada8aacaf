"""The methods of a store as coroutines: each runs in a thread, and the event loop goes on."""

from asyncio import to_thread
from collections.abc import Callable
from typing import Any

from vqindex.store.documents import Document, Hit


class Asynchronous:
    """Twins of a store's methods, with the same arguments."""

    search: Callable[..., list[Hit]]
    search_batch: Callable[..., list[list[Hit]]]
    search_mmr: Callable[..., list[Hit]]
    get: Callable[..., list[Document]]
    count: Callable[..., int]
    add: Callable[..., int]
    upsert: Callable[..., int]
    update: Callable[..., int]
    remove: Callable[..., int]
    clear: Callable[..., int]

    async def asearch(self, *args: Any, **named: Any) -> list[Hit]:
        """See `search`."""
        return await to_thread(self.search, *args, **named)

    async def asearch_batch(self, *args: Any, **named: Any) -> list[list[Hit]]:
        """See `search_batch`."""
        return await to_thread(self.search_batch, *args, **named)

    async def asearch_mmr(self, *args: Any, **named: Any) -> list[Hit]:
        """See `search_mmr`."""
        return await to_thread(self.search_mmr, *args, **named)

    async def aget(self, *args: Any, **named: Any) -> list[Document]:
        """See `get`."""
        return await to_thread(self.get, *args, **named)

    async def acount(self, *args: Any, **named: Any) -> int:
        """See `count`."""
        return await to_thread(self.count, *args, **named)

    async def aadd(self, *args: Any, **named: Any) -> int:
        """See `add`."""
        return await to_thread(self.add, *args, **named)

    async def aupsert(self, *args: Any, **named: Any) -> int:
        """See `upsert`."""
        return await to_thread(self.upsert, *args, **named)

    async def aupdate(self, *args: Any, **named: Any) -> int:
        """See `update`."""
        return await to_thread(self.update, *args, **named)

    async def aremove(self, *args: Any, **named: Any) -> int:
        """See `remove`."""
        return await to_thread(self.remove, *args, **named)

    async def aclear(self) -> int:
        """See `clear`."""
        return await to_thread(self.clear)
