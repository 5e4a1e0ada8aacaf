"""Systems measured in alternation: a slow spell of the machine slows all alike.

All are built, one after the other; every setting of each is asked once for what it finds; then
rounds go over all settings of all, each round over the systems in another order, so that none
always follows the same. What fails is recorded with its reason and holds up no other.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, final

from vqindex.datasets import Dataset
from vqindex.evaluate.record import Latency, OperatingPoint, Speed
from vqindex.evaluate.trial import Build, Parameters, Quality, Trial

Tell = Callable[[str, str], object]


@final
@dataclass(frozen=True)
class Setting:
    """What a built system is asked with: parameters of the search, and queries in a call."""

    parameters: Parameters
    batch: int


@final
@dataclass(frozen=True)
class Entry:
    """A system in a contest; `command` is what measures it again."""

    system: str
    spec: str
    trial: Trial
    settings: Sequence[Setting]
    command: str

    @property
    def label(self) -> str:
        """Library and index."""
        return f"{self.system} {self.spec}"


@final
@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is the same of all systems of a contest; the fields are those of OperatingPoint."""

    dataset: str
    dataset_hash: str
    n: int
    dim: int
    metric: str
    threads: int
    k: int
    seed: int
    machine: Mapping[str, Any]
    protocol: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        *,
        threads: int,
        k: int,
        seed: int,
        machine: Mapping[str, Any],
        protocol: Mapping[str, Any],
    ) -> "Terms":
        """Of a dataset."""
        return cls(
            dataset=dataset.name, dataset_hash=dataset.content_hash(), n=dataset.n,
            dim=dataset.d, metric=dataset.metric, threads=threads, k=k, seed=seed, machine=machine,
            protocol=protocol,
        )  # fmt: skip


@dataclass
class _Try:
    """One setting of a system while it is measured."""

    entry: Entry
    setting: Setting
    build: Build | None = None
    quality: Quality | None = None
    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failed: str | None = None

    def attempt(self, step: Callable[[], None]) -> None:
        """Do a step unless an earlier one failed, and keep the reason if it does.

        Whatever a peer raises is a reason: its exceptions are its own.
        """
        if self.failed is None:
            try:
                step()
            except Exception as error:
                self.failed = reason(error)

    def ask(self) -> None:
        self.quality = self.entry.trial.quality(self.setting.parameters, self.setting.batch)

    def round(self) -> None:
        queries, calls = self.entry.trial.round(self.setting.parameters, self.setting.batch)
        self.rates.append(queries / sum(calls))
        self.seconds += calls if self.setting.batch == 1 else []

    def point(self, terms: Terms) -> OperatingPoint:
        whole = self.failed is None
        nothing: dict[str, Any] = {"recall": {}, "recall_by_distance": {}, "stages": {}}
        costs = dict.fromkeys(Build.__dataclass_fields__)
        return OperatingPoint(
            system=self.entry.system, spec=self.entry.spec, command=self.entry.command,
            parameters=dict(self.setting.parameters), batch=self.setting.batch,
            qps=Speed.of(self.rates) if whole else None,
            latency=Latency.of(self.seconds) if whole and self.seconds else None,
            failed=self.failed, when=datetime.now(UTC).isoformat(timespec="seconds"),
            **asdict(terms),
            **(costs if self.build is None else asdict(self.build)),
            **(nothing if self.quality is None else asdict(self.quality)),
        )  # fmt: skip


class TrialError(Exception):
    """A trial failed elsewhere; the text is the whole reason."""


def reason(error: BaseException) -> str:
    """An exception's kind and what it says, in one line."""
    if isinstance(error, TrialError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)}" if lines else type(error).__name__


def planned(entry: Entry, terms: Terms) -> list[OperatingPoint]:
    """The points that an entry is to have, without figures."""
    return [_Try(entry, one, failed="not measured").point(terms) for one in entry.settings]


def contest(
    entries: Sequence[Entry],
    terms: Terms,
    *,
    rounds: int,
    tell: Tell = lambda kind, label: None,
) -> list[OperatingPoint]:
    """A point for every setting of every entry, in their order.

    tell   gets the kind of each step, "build", "ask" or "round", and the entry's label, before it
    """
    tries: list[list[_Try]] = []
    for entry in entries:
        tell("build", entry.label)
        own = _built(entry)
        for one in own:
            tell("ask", entry.label)
            one.attempt(one.ask)
        tries.append(own)
    order = random.Random(terms.seed)
    for _ in range(rounds):
        for one in chain(*order.sample(tries, len(tries))):
            tell("round", one.entry.label)
            one.attempt(one.round)
    return [one.point(terms) for one in chain(*tries)]


def _built(entry: Entry) -> list[_Try]:
    """The settings of an entry, built once for all of them."""
    try:
        build, failed = entry.trial.build(), None
    except Exception as error:  # see _Try.attempt
        build, failed = None, reason(error)
    return [_Try(entry, setting, build, failed=failed) for setting in entry.settings]
