"""Measuring an index: what each figure means, adapters, and contests."""

from vqindex.evaluate.competitors import Competitor, Faiss, Ours, OwnThreads, unit_rows
from vqindex.evaluate.contest import Entry, Setting, Terms, TrialError, contest, planned, reason
from vqindex.evaluate.figures import distance_recall, distortion, recall
from vqindex.evaluate.front import family, front, rate_at
from vqindex.evaluate.ladder import worth_timing
from vqindex.evaluate.machine import describe_machine
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
from vqindex.evaluate.warm import warm

__all__ = [
    "Build",
    "Competitor",
    "Entry",
    "Faiss",
    "Latency",
    "LocalTrial",
    "OperatingPoint",
    "Ours",
    "OwnThreads",
    "Quality",
    "Ranking",
    "Setting",
    "Speed",
    "Terms",
    "Trial",
    "TrialError",
    "append_points",
    "contest",
    "describe_machine",
    "distance_recall",
    "distortion",
    "family",
    "front",
    "hit_rate",
    "latest",
    "mean_average_precision",
    "mrr",
    "ndcg",
    "planned",
    "rank",
    "rate_at",
    "read_points",
    "reason",
    "recall",
    "unit_rows",
    "warm",
    "worth_timing",
]
