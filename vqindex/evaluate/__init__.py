"""Measuring an index: what each figure means, adapters, and the stopwatch."""

from vqindex.evaluate.competitors import Competitor, Faiss, Ours
from vqindex.evaluate.figures import distance_recall, distortion, mrr, ndcg, recall
from vqindex.evaluate.measurement import Measurement, Rate, measure

__all__ = [
    "Competitor",
    "Faiss",
    "Measurement",
    "Ours",
    "Rate",
    "distance_recall",
    "distortion",
    "measure",
    "mrr",
    "ndcg",
    "recall",
]
