"""Operands: queries prepared once, for every row and every list they meet."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import operands, program
from vqindex.layouts.base import Array, FloatArray
from vqindex.lazy import lazy

GROUP = 16  # queries packed side by side


@dataclass(frozen=True)
class Operands:
    """Prepared queries: what kernels.cpu.search takes beside the codes.

    entries            (padded, ...) int8 or float32, a query a row, zero beyond the last
    seed, half, gamma  (segments, padded) int32, float32, float32; see kernels.cpu.operands
    alpha              (nq,) float32, added to every score of a query
    norms              (nq,) float32, of the queries that the entries stand for
    """

    program: npt.NDArray[np.int64]
    entries: Array
    seed: npt.NDArray[np.int32]
    half: FloatArray
    gamma: FloatArray
    alpha: FloatArray
    norms: FloatArray

    @property
    def nq(self) -> int:
        """Queries."""
        return len(self.alpha)

    @property
    def row_bytes(self) -> int:
        """Bytes of one prepared query."""
        return int(self.entries.strides[0])

    @lazy
    def packed(self) -> Array:
        """Groups of sixteen queries as the tiles read them; float queries lie as they are."""
        if self.entries.dtype == np.float32:
            return self.entries
        groups, d = len(self.entries) // GROUP, self.entries.shape[1]
        packed = np.empty((groups, d // 4, GROUP, 4), np.int8)
        operands.pack(self.entries, packed)
        return packed

    @lazy
    def bit_planes(self) -> npt.NDArray[np.uint64]:
        """(nq, 8 * words) uint64: the bit planes of integer queries."""
        out = np.empty((self.nq, self.entries.shape[1] // 8), np.uint64)
        for q in range(self.nq):
            operands.bit_planes(self.entries[q], self.program, out[q])
        return out

    def select(self, start: int, stop: int) -> "Operands":
        """Some of the queries; start is a multiple of sixteen."""
        end = min(-(-stop // GROUP) * GROUP, len(self.entries))
        part: dict[str, Any] = {
            name: np.ascontiguousarray(getattr(self, name)[:, start:end])
            for name in ("seed", "half", "gamma")
        }
        return Operands(
            self.program, self.entries[start:end], alpha=self.alpha[start:stop],
            norms=self.norms[start:stop], **part,
        )  # fmt: skip


def prepare(
    fields: npt.NDArray[np.int64], values: FloatArray, alpha: FloatArray, squares: FloatArray
) -> Operands:
    """Operands of queries whose entries stand as the program's layouts spread them.

    fields (segments, FIELDS); values (nq, d) float32; alpha, squares (nq,) float32: what is added
    to a query's scores, and its square norm
    """
    nq, d = values.shape
    padded = max(-(-nq // GROUP) * GROUP, GROUP)
    seed = np.zeros((len(fields), padded), np.int32)
    half = np.zeros((len(fields), padded), np.float32)
    gamma = np.zeros((len(fields), padded), np.float32)
    if fields[0, program.BITS] < program.BYTE_ROWS:
        entries: Array = np.zeros((padded, d), np.float32)
        entries[:nq] = values
    else:
        entries = np.zeros((padded, d), np.int8)
        operands.quantize(values, fields, entries, seed, half, gamma)
    return Operands(fields, entries, seed, half, gamma, alpha, np.sqrt(squares))
