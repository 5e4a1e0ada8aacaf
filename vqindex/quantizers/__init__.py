"""Quantizers: recipes for codes. A new one is a file here and a line below."""

from vqindex.quantizers.base import Quantizer
from vqindex.quantizers.coarse import Coarse
from vqindex.quantizers.fractional import FractionalLevels
from vqindex.quantizers.lloyd_max import LloydMax
from vqindex.quantizers.lvq import LVQ
from vqindex.quantizers.nonuniform import NonUniform
from vqindex.quantizers.octahedral import Octahedral
from vqindex.quantizers.originals import Originals
from vqindex.quantizers.polar import Polar
from vqindex.quantizers.product import Product
from vqindex.quantizers.pyramid import Pyramid
from vqindex.quantizers.rabitq import RaBitQ
from vqindex.quantizers.residual import Residual
from vqindex.quantizers.saq import SAQ
from vqindex.quantizers.trellis import Trellis
from vqindex.quantizers.vector import VectorQuantizer

QUANTIZERS: tuple[type[Quantizer], ...] = (
    LloydMax,
    Originals,
    RaBitQ,
    LVQ,
    SAQ,
    Product,
    Residual,
    VectorQuantizer,
    FractionalLevels,
    Octahedral,
    Trellis,
    Pyramid,
    Polar,
    NonUniform,
)

__all__ = [
    "LVQ",
    "QUANTIZERS",
    "SAQ",
    "Coarse",
    "FractionalLevels",
    "LloydMax",
    "NonUniform",
    "Octahedral",
    "Originals",
    "Polar",
    "Product",
    "Pyramid",
    "Quantizer",
    "RaBitQ",
    "Residual",
    "Trellis",
    "VectorQuantizer",
]
