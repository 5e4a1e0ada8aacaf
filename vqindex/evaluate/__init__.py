"""Measuring an index: what each figure means, adapters, and the stopwatch."""

from vqindex.evaluate.competitors import Competitor, Faiss, Ours, Tunable
from vqindex.evaluate.curves import (
    Curve,
    Spot,
    Sweep,
    families,
    family,
    front,
    measure_curves,
    rate_at,
)
from vqindex.evaluate.figures import distance_recall, distortion, mrr, ndcg, recall
from vqindex.evaluate.measurement import Measurement, Rate, measure
from vqindex.evaluate.record import (
    Latency,
    OperatingPoint,
    Speed,
    append_points,
    read_points,
)

__all__ = [
    "Competitor",
    "Curve",
    "Faiss",
    "Latency",
    "Measurement",
    "OperatingPoint",
    "Ours",
    "Rate",
    "Speed",
    "Spot",
    "Sweep",
    "Tunable",
    "append_points",
    "distance_recall",
    "distortion",
    "families",
    "family",
    "front",
    "measure",
    "measure_curves",
    "mrr",
    "ndcg",
    "rate_at",
    "read_points",
    "recall",
]
