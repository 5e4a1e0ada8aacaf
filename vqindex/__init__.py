"""vqindex: approximate nearest-neighbour search built around learned quantization."""

from vqindex.config import show_config, warmup
from vqindex.errors import (
    CorruptFileError,
    DtypeError,
    FormatVersionError,
    IdError,
    NonFiniteError,
    ReadOnlyError,
    ShapeError,
    SpecError,
)
from vqindex.factory import index_factory
from vqindex.indexes.flat import FlatIndex
from vqindex.io import inspect, load, verify
from vqindex.quantizers import LloydMax, Originals, Polar, Pyramid
from vqindex.results import SearchResult
from vqindex.sketches import QJL
from vqindex.transforms import Calibration, DenseRotation, HadamardRotation, Identity, LeanVec

__version__ = "0.1.0"

__all__ = [
    "QJL",
    "Calibration",
    "CorruptFileError",
    "DenseRotation",
    "DtypeError",
    "FlatIndex",
    "FormatVersionError",
    "HadamardRotation",
    "IdError",
    "Identity",
    "LeanVec",
    "LloydMax",
    "NonFiniteError",
    "Originals",
    "Polar",
    "Pyramid",
    "ReadOnlyError",
    "SearchResult",
    "ShapeError",
    "SpecError",
    "index_factory",
    "inspect",
    "load",
    "show_config",
    "verify",
    "warmup",
]
