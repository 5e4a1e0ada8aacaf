"""Operands: queries prepared once, for every row and every list they meet."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import operands, program, tables
from vqindex.kernels.cpu.lookups import TABLE_BYTES
from vqindex.kernels.cpu.records import Asked
from vqindex.layouts.base import Array, FloatArray
from vqindex.memory import Workspace, address, aligned_zeros, workspace

GROUP = 16  # queries packed side by side


@dataclass(frozen=True)
class Operands:
    """Prepared queries, of which `asked` makes what searches take.

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

    def asked(
        self, signs: int, slack: FloatArray, packed: bool, space: Workspace = workspace
    ) -> Asked:
        """A record in a workspace, with tables of the first `signs` segments.

        slack    (nq,) float32: what estimates from the first segment's signs are raised by, so
                 that they bound; the rounding of tables is added where it is more
        packed   whether queries are to be packed for multiplication
        """
        padded, row_bytes = len(self.entries), self.row_bytes
        width = TABLE_BYTES * int(self.program[:signs, program.WORDS].sum())
        entries, seed, half, gamma = (
            address(array) for array in (self.entries, self.seed, self.half, self.gamma)
        )
        packs = packed and self.entries.dtype == np.int8
        pack_at, tables_at, base, unit = space.take(
            "asked", padded * row_bytes if packs else 0, padded * width, 4 * signs * padded,
            4 * signs * padded,
        )  # fmt: skip
        record = Asked(
            self.nq, padded, entries, row_bytes, pack_at if packs else entries, seed, half, gamma,
            tables_at, width, base, unit,
        )  # fmt: skip
        if packs:
            operands.pack(record)
        if signs:
            tables.prepare(record, self.program, signs, slack)
        return record

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
        entries: Array = aligned_zeros((padded, d), np.float32)
        entries[:nq] = values
    else:
        entries = aligned_zeros((padded, d), np.int8)
        operands.quantize(values, fields, entries, seed, half, gamma)
    return Operands(fields, entries, seed, half, gamma, alpha, np.sqrt(squares))
