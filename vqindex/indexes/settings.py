"""How a search trades time for certainty."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vqindex.arrays import positive_int
from vqindex.lazy import lazy

OVERSAMPLE = 4.0  # where nothing else says when to stop


@dataclass(frozen=True)
class Settings:
    """Search settings; an index has those that mean something to it.

    eps0        widths of the sign bound's error that it allows for: of the 1, 10 and 100 nearest of
                1,000 queries, by five codes on each of two real sets, searches missed 4 of
                1,110,000 at 3.5, 54 at 3 and none at 4 (`benchmarks bounds`)
    stages      "on", or "off" to score every row in full
    bits        score rows by so many of the first bits of their codes, or None for all
    nprobe      lists that a query looks into
    oversample  rows that are scored again by finer codes, for each that is wanted; None for those
                whose bounds, of `eps0` widths too, leave them a chance, or for OVERSAMPLE where
                codes give no such bounds, or rows lie in several lists. Without finer codes, rows
                found by `bits` that are scored again by all bits; None for none
    """

    eps0: float = 3.5
    stages: str = "on"
    bits: int | None = None
    nprobe: int = 32
    oversample: float | None = None

    @lazy
    def changed(self) -> dict[Any, "Settings"]:
        """These with some changed, by what was asked for: checking takes as long as a search."""
        return {}

    def __post_init__(self) -> None:
        if self.bits is not None:
            object.__setattr__(self, "bits", positive_int(self.bits, "bits"))
        if self.stages not in ("on", "off"):
            raise ValueError(f'stages must be "on" or "off", got {self.stages!r}.')
        for name in ("eps0", "oversample"):
            value = getattr(self, name)
            if name == "oversample" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float | np.number):
                raise TypeError(f"{name} must be a number, got {value!r}.")
            object.__setattr__(self, name, float(value))  # NumPy's floats are not JSON's
        if not 0 <= self.eps0 < np.inf:
            raise ValueError(
                f'eps0 must be finite and not negative, got {self.eps0}; stages="off" is without.'
            )
        if self.oversample is not None and not 1 <= self.oversample < np.inf:
            raise ValueError(f"oversample must be finite and at least 1, got {self.oversample}.")
        object.__setattr__(self, "nprobe", positive_int(self.nprobe, "nprobe"))
