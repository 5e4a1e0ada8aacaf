"""PyramidCodes: groups of 64 dimensions, each a numbered point on a pyramid and a gain.

    raw(q, i) = sum_j (t_ij + 1/2) q_j,    t + 1/2 nearest to gain * y_j / |y|

A group of b bits a dimension takes b words of 64 bits, and holds as many pulses as they number: 14,
43, 96 and 199 for 1 to 4 bits. A shorter last group takes as many words as its bits need. Rows are
decoded whenever they are scored.

    codes   uint8: the words of each group, the lowest first, then 3 bits for each group's gain
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import program, pyramid
from vqindex.kernels.cpu.program import FIELDS
from vqindex.kernels.cpu.pyramid import GAIN_BITS, WIDEST
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.lazy import lazy

MOST_BITS = 4
MOST_PULSES = 255  # of a short group, whose words could number more
GAINS = 1 << GAIN_BITS


@lru_cache(maxsize=1)
def _below() -> list[list[int]]:
    """U(n, k) for n up to 64 and k up to one above the most; see kernels.reference.pyramid."""
    table = [[0] * (MOST_PULSES + 2), [0] + [1] * (MOST_PULSES + 1)]
    for _ in range(WIDEST - 1):
        before, row = table[-1], [0]
        for k in range(1, MOST_PULSES + 2):
            row.append(before[k] + row[k - 1] + before[k - 1])
        table.append(row)
    return table


@lru_cache(maxsize=MOST_BITS)
def _counts(words: int) -> npt.NDArray[np.uint64]:
    """U(n, k) in so many words, (65, 257, words); cut where no number of a group comes near."""
    whole = [[u % 2 ** (64 * words) for u in row] for row in _below()]
    octets = b"".join(u.to_bytes(8 * words, "little") for row in whole for u in row)
    return np.frombuffer(octets, "<u8").reshape(WIDEST + 1, -1, words).astype(np.uint64)


@lru_cache(maxsize=WIDEST * MOST_BITS)
def pulses(n: int, words: int) -> int:
    """The most pulses, up to MOST_PULSES, whose points in n dimensions so many words number."""
    u = _below()[n]
    return max(k for k in range(1, MOST_PULSES + 1) if u[k] + u[k + 1] <= 2 ** (64 * words))


@dataclass(frozen=True)
class PyramidCodes:
    """Codes of `dims` dimensions at `bits` (1 to 4) each.

    gains   8 of a whole group and 8 of a shorter last one, in steps of the levels' grid
    edges   7 norms of each, between those that have one gain and those that have the next
    """

    dims: int
    bits: int
    gains: tuple[tuple[float, ...], ...]
    edges: tuple[tuple[float, ...], ...]

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # no addresses

    @property
    def _sizes(self) -> list[int]:
        return [min(WIDEST, self.dims - start) for start in range(0, self.dims, WIDEST)]

    @lazy
    def _words(self) -> list[int]:
        return [-(-size * self.bits // 64) for size in self._sizes]

    @lazy
    def _tables(self) -> tuple[Array, Array, Array]:
        gains, edges = (np.array(part, np.float32) for part in (self.gains, self.edges))
        return _counts(self.bits), gains, edges

    @lazy
    def plan(self) -> npt.NDArray[np.int64]:
        """What kernels are told, see kernels.cpu.pyramid; it holds addresses of `_tables`."""
        counts, gains, edges = self._tables
        plan = [
            len(self._words), counts.ctypes.data, counts.strides[0], counts.strides[1],
            8 * sum(self._words),
        ]  # fmt: skip
        start = 0
        for size, words in zip(self._sizes, self._words, strict=True):
            kind = 0 if size == WIDEST else 1
            plan += [
                size, pulses(size, words), words, start,
                gains.ctypes.data + kind * gains.strides[0],
                edges.ctypes.data + kind * edges.strides[0],
            ]  # fmt: skip
            start += 8 * words
        return np.array(plan, np.int64)

    @lazy
    def _row_bytes(self) -> int:
        return 8 * sum(self._words) - (-GAIN_BITS * len(self._words) // 8)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The codes."""
        return (Column("codes", np.dtype(np.uint8), self._row_bytes),)

    @property
    def operand_bytes(self) -> int:
        """Bytes of one prepared query: an int8 for each dimension, groups padded."""
        return WIDEST * len(self._words)

    def program(self, index: Mapping[str, int], scale: int, operand: int) -> npt.NDArray[np.int64]:
        """See Layout."""
        row = np.zeros((1, FIELDS), np.int64)
        row[0, program.BITS] = program.PYRAMID_ROWS
        row[0, program.WORDS] = len(self._words)
        row[0, [program.PLANE, program.REST]] = index["codes"]
        row[0, program.REST_BYTES] = self._row_bytes
        row[0, program.SCALE] = scale
        row[0, program.OPERAND] = operand
        row[0, program.TABLE] = self.plan.ctypes.data
        return row

    def spread(self, values: FloatArray) -> FloatArray:
        """See Layout."""
        return np.pad(values, ((0, 0), (0, self.operand_bytes - self.dims)))

    def encode(self, values: FloatArray) -> tuple[dict[str, Array], npt.NDArray[np.float64]]:
        """Columns of rows (n, dims) float32 of norm sqrt(dims), and their <value, level> (n,)."""
        values = np.ascontiguousarray(values)
        codes = np.zeros((len(values), self._row_bytes), np.uint8)
        dots = np.empty(len(values))
        pyramid.encode(values, self.plan.ctypes.data, codes, dots)
        return {"codes": codes}, dots

    def levels(self, columns: Mapping[str, Array], scale: Array | None = None) -> FloatArray:
        """The levels of rows, (n, dims) float32, each row times its scale (n,)."""
        codes: npt.NDArray[Any] = np.ascontiguousarray(columns["codes"])
        out = np.empty((len(codes), self.dims), np.float32)
        scales = np.ones(len(codes), np.float32) if scale is None else scale.ravel()
        pyramid.levels(codes, self.plan.ctypes.data, scales, out)
        return out

    def unpack(self, columns: Mapping[str, Array]) -> FloatArray:
        """See Layout: the levels."""
        return self.levels(columns)
