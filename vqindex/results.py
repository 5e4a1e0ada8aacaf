"""What a search returns."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

_BEST = {"l2": 0.0, "ip": np.inf, "cosine": 1.0}  # the score of a vector with itself
_ORIGIN = {"l2": 0.0, "ip": 0.0, "cosine": 1.0}  # the score at distance 0


def shown(
    scores: NDArray[np.float32], metric: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(distances, scores) as users see them, of any shape, from the scores an index ranks by.

        l2      score = -squared Euclidean distance   distance = -score
        ip      score = inner product                 distance = -score
        cosine  score = cosine similarity             distance = 1 - score

    An unbiased estimate can be better than a perfect match (l2 above 0, cosine above 1): it is
    shown as perfect. Rows keep the rank their estimate gave them, and as the clip is monotone,
    distances still never decrease with rank.
    """
    clipped = np.minimum(scores, np.float32(_BEST[metric]))
    return np.float32(_ORIGIN[metric]) - clipped, clipped


def bounds(metric: str) -> tuple[float, float]:
    """The score of a perfect match, and the score at distance 0; see `shown`."""
    return _BEST[metric], _ORIGIN[metric]


@final
@dataclass(frozen=True, eq=False, repr=False, slots=True)
class SearchResult:
    """The k nearest rows of each query, nearest first; unpacks as `distances, ids = result`.

    distances  (nq, k) float32, smaller is nearer; +inf where fewer than k rows were found
    ids        (nq, k) int64; -1 there
    scores     (nq, k) float32, larger is nearer; -inf there
    stats      what the search did, such as rows scanned at each stage

    A single query of shape (d,) gives arrays of shape (k,). The meaning of distances and scores
    for each metric is that of `shown`. As a container it is the pair it unpacks to: its length
    is 2. Where queries were torch tensors on a GPU, so are the arrays.
    """

    distances: NDArray[np.float32]
    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    stats: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_scores(
        cls,
        scores: NDArray[np.float32],
        ids: NDArray[np.int64],
        metric: str,
        single: bool = False,
        stats: dict[str, Any] | None = None,
    ) -> "SearchResult":
        """From scores (nq, k) float32, descending, -inf where ids (nq, k) int64 are -1.

        single  the one query had shape (d,), so nq is 1 and results have shape (k,)
        """
        if single:
            scores, ids = scores[0], ids[0]
        distances, clipped = shown(scores, metric)
        return cls(distances, ids, clipped, {} if stats is None else stats)

    @property
    def counts(self) -> NDArray[np.int64] | int:
        """How many rows were found: (nq,) int64, each at most k; an int for a single query."""
        found = (self.ids >= 0).sum(-1)  # of a tensor as of an array
        return int(found) if self.ids.ndim == 1 else found

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter((self.distances, self.ids))

    def __len__(self) -> int:
        return 2

    def __repr__(self) -> str:
        if self.ids.ndim > 1:
            return "SearchResult(nq={}, k={})".format(*self.ids.shape)
        more = ", ..." if len(self.ids) > 5 else ""
        nearest = ", ".join(map(str, self.ids[:5].tolist())) + more
        distances = ", ".join(f"{x:.4g}" for x in self.distances[:5].tolist()) + more
        return f"SearchResult(k={len(self.ids)}, ids=[{nearest}], distances=[{distances}])"
