"""Compiling what one index needs, ahead of measuring it."""

import numpy as np

from vqindex.evaluate.front import family
from vqindex.factory import index_factory

_ROWS = 4096  # more than one thread has
_BATCH = 100


def warm(spec: str, metric: str, d: int, k: int = 10) -> None:
    """Compile every kernel that an index of ours goes through, or load it from the cache.

    Neither a build nor a search is to pay for it. Lists are few here, whatever the spec says.
    """
    some = np.random.default_rng(0).standard_normal((_ROWS, d), np.float32)
    index = index_factory(family(spec).replace("IVF", "IVF8"), metric=metric)
    index.fit(some)
    index.add(some)
    for q in (some[0], some[:1], some[:_BATCH]):
        index.search(q, k, threads=1)
