"""What kernels are told, as it lies in a GPU's memory or stands in their arguments.

Addresses are of device memory, 0 for none; cuda/README.md says what each holds.
"""

from typing import NamedTuple

import numpy as np

from vqindex.errors import BackendError

SEGMENT = np.dtype(
    {
        "names": ["codes", "scale", "ratio", "codebook", "kind", "chunks", "entries", "dims",
                  "table", "window", "stride", "count", "group"],
        "formats": ["<u8", "<u8", "<u8", "<u8", "<i4", "<i4", "<i4", "<i4",
                    ("u1", 16), "<i4", "<i4", "<i4", "<i4"],
        "offsets": [0, 8, 16, 24, 32, 36, 40, 44, 48, 64, 68, 72, 76],
        "itemsize": 80,
    }
)  # fmt: skip
STORED = np.dtype(
    {
        "names": ["segments", "bias", "ranks", "owners", "rows", "count"],
        "formats": ["<u8", "<u8", "<u8", "<u8", "<i8", "<i4"],
        "offsets": [0, 8, 16, 24, 32, 40],
        "itemsize": 48,
    }
)
KEEPS = (16, 64, 256, 1024)  # candidates that kernels keep of a query
MOST_K = KEEPS[-1]
KEY_BYTES = 8


class Asked(NamedTuple):
    """Prepared queries.

    entries       (padded, row_bytes)
    half, gamma   (segments, padded) float32
    alpha         (nq,) float32
    shares        (nq, lists) float32, or 0
    """

    nq: int
    padded: int
    row_bytes: int
    entries: int
    half: int
    gamma: int
    alpha: int
    shares: int = 0
    lists: int = 0

    def some(self, start: int, stop: int) -> "Asked":
        """Queries start..stop-1, `padded` apart in half and gamma as before."""
        return self._replace(
            nq=stop - start,
            entries=self.entries + start * self.row_bytes,
            half=self.half + 4 * start,
            gamma=self.gamma + 4 * start,
            alpha=self.alpha + 4 * start,
            shares=self.shares + 4 * start * self.lists if self.shares else 0,
        )

    def moved(self, base: int) -> "Asked":
        """What offsets become where all is at `base`."""
        return self._replace(
            entries=base + self.entries,
            half=base + self.half,
            gamma=base + self.gamma,
            alpha=base + self.alpha,
            shares=base + self.shares if self.lists else 0,
        )


class Where(NamedTuple):
    """Blocks to look at: `n` of them by number, or the first ones; which rows of each.

    starts   (nq + 1,) int64 where queries have blocks of their own, one after another: where those
             of each begin; `n` is the most that one has. Else 0
    """

    n: int
    blocks: int = 0
    masks: int = 0
    starts: int = 0

    def some(self, start: int, stop: int) -> "Where":
        """Blocks start..stop-1; only those that are given by number can begin later than 0."""
        return Where(
            stop - start,
            self.blocks + 8 * start if self.blocks else 0,
            self.masks + 4 * start if self.masks else 0,
        )


class Counted(NamedTuple):
    """Candidates of each query, `counts` (nq,) uint32; how many a buffer has room for."""

    counts: int = 0
    capacity: int = 0


ANY = Counted()  # where nothing was counted


def keep(k: int) -> int:
    """VQ_KEEP for k; BackendError beyond MOST_K."""
    for size in KEEPS:
        if k <= size:
            return size
    raise BackendError(f"on a GPU k is at most {MOST_K:,}, got {k:,}: search on the CPU for more.")
