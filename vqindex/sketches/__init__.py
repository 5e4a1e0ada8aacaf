"""Sketches: what is kept of a residual, or of a row, as the signs of a projection."""

from vqindex.sketches.qjl import QJL

__all__ = ["QJL"]
