"""turbovec's flat index."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

from benchmarks.peers.base import Floats, Ids, Peer


@final
class Turbovec(Peer):
    """turbovec's flat index of 4- or 2-bit codes, named by the bits.

    Raises ValueError for l2, which it does not measure.
    """

    library = package = module = "turbovec"

    def __init__(self, spec: str, metric: str) -> None:
        if metric == "l2":
            raise ValueError("turbovec measures inner products and cosine, not l2.")
        super().__init__(spec, metric)
        self._empty_bytes = 0

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """Its pool is as large as the environment said when it started."""
        if os.environ.get("RAYON_NUM_THREADS") != str(count):
            raise ValueError(f"turbovec needs RAYON_NUM_THREADS={count} set before it starts.")
        yield

    def fit(self, x: Floats) -> None:
        """Nothing but the dimension is learned."""
        self._index = self._library.TurboQuantIndex(x.shape[1], int(self.name))
        self._empty_bytes = len(self._index.to_bytes())

    def add(self, x: Floats) -> None:
        """More rows may follow."""
        if self._index is None:
            self.fit(x)
        self._index.add(self._rows(x))
        self._index.prepare()

    def search(self, q: Floats, k: int) -> Ids:
        """Ids (nq, k)."""
        ids: Ids = self._index.search(q, k)[1]
        return ids

    @property
    def bytes_per_row(self) -> float:
        """By how much its file grew."""
        return round((len(self._index.to_bytes()) - self._empty_bytes) / len(self._index))

    def save(self, path: Path) -> bool:
        """One file."""
        return path.write_bytes(self._index.to_bytes()) > 0
