"""Systems by library and factory string: chosen by name, written for a dimension, made."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from benchmarks import peers
from vqindex.evaluate import Competitor, Faiss, Ours

LIBRARIES = ("vqindex", "FAISS", "turbovec", "rabitqlib", "ScaNN", "SVS", "hnswlib", "usearch")
_PEERS: dict[str, type[peers.Peer]] = {
    "turbovec": peers.Turbovec,
    "rabitqlib IVF": peers.RabitqlibLists,
    "rabitqlib HNSW": peers.RabitqlibHnsw,
    "rabitqlib SymphonyQG": peers.SymphonyQG,
    "ScaNN": peers.Scann,
    "SVS": peers.Svs,
    "hnswlib": peers.Hnswlib,
    "usearch": peers.Usearch,
}
_OF_DIMENSION = re.compile(r"\{d(?:/(\d+))?\}")
Case = TypeVar("Case")


def for_dimension(spec: str, d: int) -> str:
    """A factory string with d for {d}, d // 2 for {d/2} and so on, at least 1."""
    return _OF_DIMENSION.sub(lambda part: str(max(1, d // int(part[1] or 1))), spec)


def package(library: str) -> str:
    """What pip calls a library of LIBRARIES."""
    names = {peer.library: peer.package for peer in _PEERS.values()}
    return ({"vqindex": "vqindex", "FAISS": "faiss-cpu"} | names)[library]


def chosen(
    cases: Sequence[Case], only: Sequence[str] | None, label: Callable[[Case], str]
) -> list[Case]:
    """The cases whose labels contain one of the names, all if None; ValueError for idle names."""
    if only is None:
        return list(cases)
    labels = [label(case) for case in cases]
    for name in only:
        if not any(name in text for text in labels):
            raise ValueError(f"only must name parts of {', '.join(labels)}; got {name!r}.")
    pairs = zip(cases, labels, strict=True)
    return [case for case, text in pairs if any(name in text for name in only)]


def competitor(
    library: str, spec: str, metric: str, seed: int, level: str | None = None
) -> Competitor:
    """The adapter of a system.

    ImportError where its library is missing, ValueError where there is no such system, or it lacks
    the metric or the level.
    """
    if library == "vqindex":
        return Ours(spec, metric, seed)
    if library == "FAISS":
        return Faiss(spec, metric)
    if level is not None:
        raise ValueError(f"{library} takes whatever the CPU has, and nothing holds it to {level}.")
    for name, make in _PEERS.items():
        if f"{library} {spec}".startswith(name):
            return make(spec, metric)
    known = "vqindex FAISS " + " ".join(_PEERS)
    raise ValueError(f"systems are {known}; got {library} {spec}.")
