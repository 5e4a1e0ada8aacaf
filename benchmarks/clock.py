"""Progress of a run, and the time that is left, from what steps like those to come have taken."""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TextIO

_UNKNOWN_S = {"build": 5.0, "ask": 0.5, "round": 0.2}  # until one was seen
_QUIET_S = 10.0  # between lines where there is no terminal


class Clock:
    """Counts the steps of contests: build, ask, round.

    planned   how many of each kind and label are to come
    known     seconds that builds took before, by label
    """

    def __init__(
        self,
        planned: Mapping[tuple[str, str], int],
        known: Mapping[str, float],
        stream: TextIO = sys.stderr,
    ) -> None:
        self._left, self._known, self._stream = Counter(planned), known, stream
        self._total, self._start = sum(planned.values()), time.monotonic()
        self._taken: dict[str, list[float]] = defaultdict(list)
        self._step: tuple[str, str] | None = None
        self._since = self._shown = self._start

    def __call__(self, kind: str, label: str) -> None:
        """A step begins, and the one before has ended."""
        self._end()
        self._step, self._since = (kind, label), time.monotonic()
        if self._stream.isatty() or self._since - self._shown > _QUIET_S or kind == "build":
            self._shown = self._since
            self._show()

    def finish(self) -> None:
        """The last step has ended."""
        self._end()
        self._step = None
        if self._stream.isatty():
            self._stream.write("\n")

    def left(self) -> float:
        """Seconds of all that has not ended."""
        return sum(count * self._expected(*step) for step, count in self._left.items())

    def _end(self) -> None:
        if self._step is not None:
            self._taken[self._step[0]].append(time.monotonic() - self._since)
            self._left[self._step] -= 1

    def _expected(self, kind: str, label: str) -> float:
        if kind == "build" and label in self._known:
            return self._known[label]
        seen = self._taken[kind]
        return sum(seen) / len(seen) if seen else _UNKNOWN_S[kind]

    def _show(self) -> None:
        done = self._total - sum(self._left.values())
        kind, label = self._step or ("", "")
        text = (
            f"{done:,}/{self._total:,}, {_minutes(time.monotonic() - self._start)} gone, "
            f"about {_minutes(self.left())} left: {kind} {label}"
        )
        tty = self._stream.isatty()
        self._stream.write(f"\r\x1b[K{text[:110]}" if tty else f"{text}\n")
        self._stream.flush()


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
