"""What adapters of peers share."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from vqindex.evaluate import OwnThreads, unit_rows

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class Peer(OwnThreads, ABC):
    """A library's index; see vqindex.evaluate.Competitor for what each method does.

    library     as records have it
    package     as pip knows it
    module      as Python imports it
    parameters  names of those that a search takes
    Raises ImportError without the library.
    """

    library: ClassVar[str]
    package: ClassVar[str]
    module: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: str, metric: str) -> None:
        self.name, self._metric = spec, metric
        self._asked: dict[str, Any] = {}
        self._index: Any = None
        try:
            self._library: Any = import_module(self.module)
        except ImportError as error:
            raise ImportError(f"{self.library} is missing: pip install {self.package}") from error

    def fit(self, x: Floats) -> None:
        """Nothing: what trains apart from adding has its own."""

    @abstractmethod
    def add(self, x: Floats) -> None:
        """Build of all rows at once."""

    @abstractmethod
    def search(self, q: Floats, k: int) -> Ids:
        """Ids (nq, k)."""

    def configure(self, **parameters: Any) -> None:
        """Parameters of the next searches; ValueError for unknown ones."""
        unknown = sorted(set(parameters) - set(self.parameters))
        if unknown:
            known = " ".join(self.parameters) or "nothing"
            raise ValueError(f"{self.library} takes {known}, and no {' '.join(unknown)}.")
        self._asked = parameters

    @property
    def stages(self) -> Mapping[str, float]:
        """Peers do not tell."""
        return {}

    @property
    def version(self) -> str | None:
        """The package's."""
        return metadata.version(self.package)

    @property
    def bytes_per_row(self) -> float | None:
        """Not told by most."""
        return None

    def save(self, path: Path) -> bool:
        """False where a library does not save."""
        return False

    def _rows(self, x: Floats) -> Floats:
        """With norm one under cosine, for libraries that know inner products only."""
        return unit_rows(x) if self._metric == "cosine" else x


def options(spec: str, kind: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `Kind(name=value,...)` as their defaults have them; ValueError for others."""
    found = re.fullmatch(rf"{kind}(?:\((.*)\))?", spec)
    pairs = [part.partition("=") for part in (found[1] or "").split(",") if part] if found else []
    if found is None or not {name for name, _, _ in pairs} <= set(defaults):
        known = ",".join(f"{name}={value}" for name, value in defaults.items())
        raise ValueError(f"this takes {kind}({known}), got {spec!r}.")
    return {**defaults, **{name: type(defaults[name])(value) for name, _, value in pairs}}
