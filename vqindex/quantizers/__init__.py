"""Quantizers: recipes for codes. A new one is a file here and a line below."""

from vqindex.quantizers.base import Quantizer
from vqindex.quantizers.lloyd_max import LloydMax
from vqindex.quantizers.originals import Originals
from vqindex.quantizers.polar import Polar
from vqindex.quantizers.pyramid import Pyramid

QUANTIZERS: tuple[type[Quantizer], ...] = (LloydMax, Originals, Polar, Pyramid)

__all__ = ["QUANTIZERS", "LloydMax", "Originals", "Polar", "Pyramid", "Quantizer"]
