"""Measuring an index: what each figure means, adapters, and the stopwatch."""

from vqindex.evaluate.competitors import Competitor, Faiss, Ours, unit_rows
from vqindex.evaluate.contest import Entry, Setting, Terms, TrialError, contest, planned, reason
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
from vqindex.evaluate.figures import distance_recall, distortion, recall
from vqindex.evaluate.machine import describe_machine
from vqindex.evaluate.measurement import Measurement, Rate, measure
from vqindex.evaluate.ranking import Ranking, hit_rate, mean_average_precision, mrr, ndcg, rank
from vqindex.evaluate.record import (
    Latency,
    OperatingPoint,
    Speed,
    append_points,
    latest,
    read_points,
)
from vqindex.evaluate.trial import Build, LocalTrial, Quality, Trial

__all__ = [
    "Build",
    "Competitor",
    "Curve",
    "Entry",
    "Faiss",
    "Latency",
    "LocalTrial",
    "Measurement",
    "OperatingPoint",
    "Ours",
    "Quality",
    "Ranking",
    "Rate",
    "Setting",
    "Speed",
    "Spot",
    "Sweep",
    "Terms",
    "Trial",
    "TrialError",
    "append_points",
    "contest",
    "describe_machine",
    "distance_recall",
    "distortion",
    "families",
    "family",
    "front",
    "hit_rate",
    "latest",
    "mean_average_precision",
    "measure",
    "measure_curves",
    "mrr",
    "ndcg",
    "planned",
    "rank",
    "rate_at",
    "read_points",
    "reason",
    "recall",
    "unit_rows",
]
