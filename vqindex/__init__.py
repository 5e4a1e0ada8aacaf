"""vqindex: approximate nearest-neighbour search built around learned quantization."""

from vqindex.config import show_config, warmup
from vqindex.errors import (
    BackendError,
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
from vqindex.indexes.ivf import IVFIndex
from vqindex.io import inspect, load, verify
from vqindex.quantizers import (
    LVQ,
    SAQ,
    Coarse,
    FractionalLevels,
    LloydMax,
    NonUniform,
    Octahedral,
    Originals,
    Polar,
    Product,
    Pyramid,
    RaBitQ,
    Residual,
    Trellis,
    VectorQuantizer,
)
from vqindex.results import SearchResult
from vqindex.sketches import QJL
from vqindex.transforms import (
    Calibration,
    DenseRotation,
    HadamardRotation,
    Identity,
    LeanVec,
    LearnedRotation,
    PrincipalAxes,
)
from vqindex.tune import Tuning, tune

__version__ = "0.1.0"

__all__ = [
    "LVQ",
    "QJL",
    "SAQ",
    "BackendError",
    "Calibration",
    "Coarse",
    "CorruptFileError",
    "DenseRotation",
    "DtypeError",
    "FlatIndex",
    "FormatVersionError",
    "FractionalLevels",
    "HadamardRotation",
    "IVFIndex",
    "IdError",
    "Identity",
    "LeanVec",
    "LearnedRotation",
    "LloydMax",
    "NonFiniteError",
    "NonUniform",
    "Octahedral",
    "Originals",
    "Polar",
    "PrincipalAxes",
    "Product",
    "Pyramid",
    "RaBitQ",
    "ReadOnlyError",
    "Residual",
    "SearchResult",
    "ShapeError",
    "SpecError",
    "Trellis",
    "Tuning",
    "VectorQuantizer",
    "index_factory",
    "inspect",
    "load",
    "show_config",
    "tune",
    "verify",
    "warmup",
]
