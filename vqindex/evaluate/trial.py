"""One system on one dataset: built once, then asked at many settings and timed."""

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np

from vqindex.datasets import Dataset
from vqindex.evaluate import memory
from vqindex.evaluate.competitors import Competitor, Ids, unit_rows
from vqindex.evaluate.figures import distance_recall, recall

_LOG = logging.getLogger(__name__)
RECALL_AT = (1, 10, 100)
Parameters = Mapping[str, Any]


@final
@dataclass(frozen=True, kw_only=True)
class Build:
    """What building cost; the fields are those of OperatingPoint."""

    version: str | None
    train_s: float
    build_s: float
    bytes_per_row: float | None
    file_bytes: int | None
    peak_bytes: int | None


@final
@dataclass(frozen=True, kw_only=True)
class Quality:
    """What is found at some settings; the fields are those of OperatingPoint."""

    recall: dict[str, float]
    recall_by_distance: dict[str, float]
    stages: dict[str, float]


class Trial(Protocol):
    """A system to be measured, in this process or in one of its own."""

    def build(self) -> Build:
        """Train and add all rows: to be called first. Once it is built, what that cost."""
        ...

    def quality(self, parameters: Parameters, batch: int) -> Quality:
        """Ask all queries, `batch` in a call, and look at what is found.

        For more neighbours than are timed they are asked in one call.
        """
        ...

    def round(self, parameters: Parameters, batch: int) -> tuple[int, list[float]]:
        """Ask again: how many queries, and the seconds of each call."""
        ...


@final
class LocalTrial:
    """A trial in this process.

    k        neighbours asked for
    singles  queries asked in a round where each is a call of its own, at most
    Rows and queries have norm one under cosine before anything is timed, whoever is measured.
    """

    def __init__(
        self, system: Competitor, dataset: Dataset, *, k: int, threads: int = 1, singles: int = 300
    ) -> None:
        prepared = unit_rows if dataset.metric == "cosine" else np.asarray
        self._base = prepared(np.ascontiguousarray(dataset.base, np.float32))
        self._queries = prepared(np.ascontiguousarray(dataset.queries, np.float32))
        self._system, self._dataset = system, dataset
        self._k, self._threads, self._singles = k, threads, singles
        self._built: Build | None = None

    def build(self) -> Build:
        """See Trial."""
        self._built = self._built or self._build()
        return self._built

    def _build(self) -> Build:
        system, seconds = self._system, []
        self._base.max(initial=0)  # pages of a mapped file are there before memory is counted
        with system.threads(self._threads):

            def work() -> None:
                seconds.append(_seconds(partial(system.fit, self._base)))
                seconds.append(_seconds(partial(system.add, self._base)))

            peak = memory.growth(work) if memory.is_told() else None
            if peak is None:
                work()
        return Build(
            version=system.version, train_s=seconds[0], build_s=sum(seconds),
            bytes_per_row=system.bytes_per_row, file_bytes=_file_bytes(system), peak_bytes=peak,
        )  # fmt: skip

    def quality(self, parameters: Parameters, batch: int) -> Quality:
        """See Trial."""
        truth = self._dataset.neighbors
        by_set, by_distance = {}, {}
        with self._system.threads(self._threads):
            self._system.configure(**parameters)
            found, stages = self._ask(self._k, batch)
            for k in (k for k in sorted({*RECALL_AT, self._k}) if k <= self._dataset.k):
                ids = found if k <= self._k else self._ask(k, len(self._queries))[0]
                by_set[str(k)] = recall(ids, truth, k)
                by_distance[str(k)] = distance_recall(self._dataset, ids, k)
        return Quality(recall=by_set, recall_by_distance=by_distance, stages=stages)

    def _ask(self, k: int, batch: int) -> tuple[Ids, dict[str, float]]:
        """Ids (nq, k), and what each stage looked at for a query."""
        found, total = [], Counter[str]()
        for start in range(0, len(self._queries), batch):
            part = self._queries[start : start + batch]
            found.append(self._system.search(part, k))
            total.update({name: rows * len(part) for name, rows in self._system.stages.items()})
        nq = max(len(self._queries), 1)
        return np.concatenate(found), {name: rows / nq for name, rows in total.items()}

    def round(self, parameters: Parameters, batch: int) -> tuple[int, list[float]]:
        """See Trial; the first call is made twice, and not timed before it is known."""
        asked = self._queries[: self._singles] if batch == 1 else self._queries
        search = partial(self._system.search, k=self._k)
        with self._system.threads(self._threads):
            self._system.configure(**parameters)
            search(asked[:1])  # pays for what other systems pushed out of cache
            calls = [
                _seconds(partial(search, asked[start : start + batch]))
                for start in range(0, len(asked), batch)
            ]
        return len(asked), calls


def _seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _file_bytes(system: Competitor) -> int | None:
    """The size of what a system saves, all files of it; None where it saves nothing.

    None also where saving raises, with a warning to the log: it was built, and can be measured.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            if not system.save(Path(folder, "index")):
                return None
        except Exception as error:  # a peer's are its own
            _LOG.warning("%s could not be saved: %r", system.name, error)
            return None
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
