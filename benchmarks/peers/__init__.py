"""Adapters of peers that `vqindex.evaluate` has none for; each needs its library installed."""

from benchmarks.peers.base import Peer
from benchmarks.peers.google import Scann
from benchmarks.peers.graphs import Hnswlib, Svs, Usearch
from benchmarks.peers.rabitq import RabitqlibHnsw, RabitqlibLists, SymphonyQG
from benchmarks.peers.turbo import Turbovec

__all__ = [
    "Hnswlib",
    "Peer",
    "RabitqlibHnsw",
    "RabitqlibLists",
    "Scann",
    "Svs",
    "SymphonyQG",
    "Turbovec",
    "Usearch",
]
