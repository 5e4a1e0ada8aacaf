"""Quantizers: recipes for codes. A new one is a file here and a line below."""

from vqindex.quantizers.base import Quantizer
from vqindex.quantizers.lloyd_max import LloydMax
from vqindex.quantizers.originals import Originals
from vqindex.quantizers.vector import VectorQuantizer

QUANTIZERS: tuple[type[Quantizer], ...] = (LloydMax, Originals, VectorQuantizer)

__all__ = ["QUANTIZERS", "LloydMax", "Originals", "Quantizer", "VectorQuantizer"]
