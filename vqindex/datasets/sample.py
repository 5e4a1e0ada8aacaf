"""The small real set that travels with the library: sentence embeddings of WordNet."""

import gzip
import json

import numpy as np

from vqindex.datasets.dataset import Dataset
from vqindex.datasets.paths import shipped


def load_sample() -> Dataset:
    """10,000 dictionary entries and 500 example sentences, embedded by all-MiniLM-L6-v2.

    base (10000, 384) float16, queries (500, 384) float16, 100 neighbours each, metric "cosine".
    """
    folder = shipped("sample")
    return Dataset(
        name="sample",
        metric="cosine",
        base=np.load(folder / "base.npy", mmap_mode="r"),
        queries=np.load(folder / "queries.npy", mmap_mode="r"),
        neighbors=np.load(folder / "neighbors.npy").astype(np.int64),
        distances=np.load(folder / "distances.npy"),
    )


def sample_texts() -> tuple[list[str], list[str]]:
    """The texts behind the sample's base rows and behind its queries, in the same order."""
    texts = json.loads(gzip.decompress((shipped("sample") / "texts.json.gz").read_bytes()))
    return texts["base"], texts["queries"]
