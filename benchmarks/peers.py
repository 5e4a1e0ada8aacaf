"""Peers that `vqindex.evaluate` has no adapter for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, final

import numpy as np
import numpy.typing as npt


@final
class Turbovec:
    """turbovec's flat index of 4- or 2-bit codes; cosine is inner product of unit vectors.

    Raises ImportError without turbovec, ValueError for l2, which it does not measure.
    """

    library = "turbovec"

    def __init__(self, bits: str, metric: str) -> None:
        if metric == "l2":
            raise ValueError("turbovec measures inner products and cosine, not l2.")
        self.name, self._metric = bits, metric
        self._kind = import_module("turbovec").TurboQuantIndex
        self._index: Any = None
        self._empty_bytes = 0

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """See Competitor; its pool is as large as the environment said when it started."""
        if os.environ.get("RAYON_NUM_THREADS") != str(count):
            raise ValueError(f"turbovec needs RAYON_NUM_THREADS={count} set before it starts.")
        yield

    def fit(self, x: npt.NDArray[np.float32]) -> None:
        """See Competitor; nothing but the dimension is learned."""
        self._index = self._kind(x.shape[1], int(self.name))
        self._empty_bytes = len(self._index.to_bytes())

    def add(self, x: npt.NDArray[np.float32]) -> None:
        """See Competitor."""
        if self._index is None:
            self.fit(x)
        if self._metric == "cosine":
            norms = np.linalg.norm(x, axis=1, keepdims=True)
            x = np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)
        self._index.add(x)
        self._index.prepare()

    def search(self, q: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
        """See Competitor."""
        ids: npt.NDArray[np.int64] = self._index.search(q, k)[1]
        return ids

    @property
    def bytes_per_row(self) -> int:
        """By how much its file grew."""
        return round((len(self._index.to_bytes()) - self._empty_bytes) / len(self._index))
