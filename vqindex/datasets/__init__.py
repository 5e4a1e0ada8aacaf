"""Data to try and to measure the library on: loaders, a catalog, exact neighbours."""

from vqindex.datasets.catalog import Entry, entries, load, names
from vqindex.datasets.dataset import Dataset
from vqindex.datasets.exact import pair_distances
from vqindex.datasets.formats import read_vectors
from vqindex.datasets.paths import data_folder
from vqindex.datasets.sample import sample_texts
from vqindex.datasets.synthetic import synthetic
from vqindex.datasets.truth import ground_truth

__all__ = [
    "Dataset",
    "Entry",
    "data_folder",
    "entries",
    "ground_truth",
    "load",
    "names",
    "pair_distances",
    "read_vectors",
    "sample_texts",
    "synthetic",
]
