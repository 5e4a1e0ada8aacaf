"""Progress of long work: a bar on standard error, or the caller's own function."""

import sys
import time
from collections.abc import Callable
from typing import final

ProgressLike = bool | Callable[[int, int], object]


@final
class Progress:
    """Counts `done` of `total`; tells a callable each step, or draws a line a few times a second.

    A callable gets (done, total). Raising from it stops the work, which then leaves no trace.
    """

    def __init__(self, wanted: ProgressLike, total: int, label: str) -> None:
        self._tell = wanted if callable(wanted) else None
        self._draws = bool(wanted) and self._tell is None
        self._total, self._label = total, label
        self._start = self._shown = time.monotonic()

    def __call__(self, done: int) -> None:
        if self._tell is not None:
            self._tell(done, self._total)
        elif self._draws:
            now = time.monotonic()
            if done >= self._total or now - self._shown > 0.2:
                self._shown = now
                self._draw(done, now - self._start)

    def _draw(self, done: int, elapsed: float) -> None:
        share = done / max(self._total, 1)
        left = elapsed / share - elapsed if share else 0.0
        bar = ("#" * round(24 * share)).ljust(24, ".")
        end = "\n" if done >= self._total else ""
        counts = f"{done:,}/{self._total:,}"
        times = f"{elapsed:.1f} s, {left:.1f} s left"
        sys.stderr.write(f"\r{self._label} [{bar}] {counts} {times} {end}")
        sys.stderr.flush()
