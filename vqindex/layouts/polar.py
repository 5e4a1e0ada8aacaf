"""PolarCodes: sixteen dimensions as a radius and fifteen angles, in a word of 64 bits.

    raw(q, i) = sum_j (t_ij + 1/2) q_j,    t + 1/2 nearest to the entry that the angles make

Rows are decoded whenever they are scored.

    words   uint64: see kernels.cpu.polar for their bits
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from vqindex.kernels.cpu import polar, program
from vqindex.kernels.cpu.polar import BLOCK_DIMS, RADIUS_BYTE
from vqindex.kernels.cpu.program import FIELDS
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.lazy import lazy

LEVELS = 28  # of all steps


@dataclass(frozen=True)
class PolarCodes:
    """Codes of `dims` dimensions; angles (28), those of the first step and of each further one."""

    dims: int
    angles: tuple[float, ...]

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # no addresses

    @property
    def _words(self) -> int:
        return -(-self.dims // BLOCK_DIMS)

    @lazy
    def pairs(self) -> FloatArray:
        """(28, 2) float32: cosine and sine of each angle."""
        angles = np.array(self.angles)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The words."""
        return (Column("words", np.dtype(np.uint64), self._words),)

    @property
    def operand_bytes(self) -> int:
        """Bytes of one prepared query: an int8 for each dimension, padded to whole vectors."""
        return -(-self.dims // 64) * 64

    def program(self, index: Mapping[str, int], scale: int, operand: int) -> Array:
        """See Layout."""
        row = np.zeros((1, FIELDS), np.int64)
        row[0, program.BITS] = program.POLAR_ROWS
        row[0, program.WORDS] = self.operand_bytes // 64
        row[0, [program.PLANE, program.REST]] = index["words"]
        row[0, program.REST_BYTES] = 8 * self._words
        row[0, program.SCALE] = scale
        row[0, program.OPERAND] = operand
        row[0, program.TABLE] = self.pairs.ctypes.data
        return row

    def spread(self, values: FloatArray) -> FloatArray:
        """See Layout."""
        return np.pad(values, ((0, 0), (0, self.operand_bytes - self.dims)))

    def encode(self, values: FloatArray) -> dict[str, Array]:
        """Columns of rows (n, dims) float32, in steps of the levels' grid."""
        n = len(values)
        blocks = np.pad(values, ((0, 0), (0, BLOCK_DIMS * self._words - self.dims)))
        words, radii = np.empty(n * self._words, np.uint64), np.empty(n * self._words)
        polar.encode(blocks.reshape(-1, BLOCK_DIMS), self.pairs.ctypes.data, words, radii)
        most = float(np.finfo(np.float16).max)
        halves = np.minimum(radii, most).astype(np.float16).view(np.uint16)
        words |= halves.astype(np.uint64) << np.uint64(8 * RADIUS_BYTE)
        return {"words": words.reshape(n, self._words)}

    def levels(self, columns: Mapping[str, Array], scale: Array | None = None) -> FloatArray:
        """The levels of rows, (n, dims) float32, each row times its scale (n,)."""
        words = np.ascontiguousarray(columns["words"])
        out = np.empty((len(words), self.dims), np.float32)
        scales = np.ones(len(words), np.float32) if scale is None else scale.ravel()
        polar.unpack(words, self.pairs.ctypes.data, scales, out)
        return out

    def unpack(self, columns: Mapping[str, Array]) -> FloatArray:
        """See Layout: the levels."""
        return self.levels(columns)
