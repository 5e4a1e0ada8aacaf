"""Operands: queries prepared once, for every row and every list they meet."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import operands, program, tables
from vqindex.kernels.cpu.lookups import TABLE_BYTES
from vqindex.kernels.cpu.records import Asked
from vqindex.layouts.base import Array, FloatArray
from vqindex.lazy import lazy
from vqindex.memory import LINE, Workspace, address, workspace

GROUP = 16  # queries packed side by side


@dataclass(frozen=True)
class Operands:
    """Prepared queries, of which `asked` makes what searches take.

    program     (segments, FIELDS)
    memory      holds entries, seed, half and gamma one after another, from address `start` on
    padded      queries, rounded up to whole groups
    row_bytes   of one prepared query
    alpha       (nq,) float32, added to every score of a query
    norms       (nq,) float32, of the queries that the entries stand for
    """

    program: npt.NDArray[np.int64]
    memory: npt.NDArray[np.uint8]
    start: int
    padded: int
    row_bytes: int
    alpha: FloatArray
    norms: FloatArray

    @property
    def nq(self) -> int:
        """Queries."""
        return len(self.alpha)

    @property
    def is_float(self) -> bool:
        """Whether entries are float32, not int8."""
        return bool(self.program[0, program.BITS] < program.BYTE_ROWS)

    @lazy
    def _arrays(self) -> list[Array]:
        entries = np.float32 if self.is_float else np.int8
        sizes = _sizes(self.padded, self.row_bytes, len(self.program))
        used = self.memory[self.start - address(self.memory) :][: sum(sizes)]
        parts = np.split(used, np.cumsum(sizes)[:-1])
        kinds = entries, np.int32, np.float32, np.float32
        shapes = self.padded, *(len(self.program),) * 3
        return [
            part.view(kind).reshape(count, -1)
            for part, kind, count in zip(parts, kinds, shapes, strict=True)
        ]

    @property
    def entries(self) -> Array:
        """A query a row, zero beyond the last: (padded, ...) int8 or float32."""
        return self._arrays[0]

    @property
    def seed(self) -> npt.NDArray[np.int32]:
        """(segments, padded); see kernels.cpu.operands, as for `half` and `gamma`."""
        return self._arrays[1]

    @property
    def half(self) -> FloatArray:
        """(segments, padded)."""
        return self._arrays[2]

    @property
    def gamma(self) -> FloatArray:
        """(segments, padded)."""
        return self._arrays[3]

    def asked(
        self, signs: int, slack: FloatArray, packed: bool, space: Workspace = workspace
    ) -> Asked:
        """A record in a workspace, with tables of the first `signs` segments.

        slack    (nq,) float32: what estimates from the first segment's signs are raised by, so
                 that they bound; the rounding of tables is added where it is more
        packed   whether queries are to be packed for multiplication
        """
        padded, row_bytes = self.padded, self.row_bytes
        width = TABLE_BYTES * sum(self.program[:signs, program.WORDS].tolist())
        entries, seed = self.start, self.start + padded * row_bytes
        step = 4 * len(self.program) * padded
        packs = packed and not self.is_float
        pack_at, tables_at, base, unit, middle, margin = space.take(
            "asked", padded * row_bytes if packs else 0, padded * width, 4 * signs * padded,
            4 * signs * padded, 4 * padded, 4 * padded,
        )  # fmt: skip
        record = Asked(
            self.nq, padded, entries, row_bytes, pack_at if packs else entries, seed, seed + step,
            seed + 2 * step, address(self.alpha), tables_at, width, base, unit, program.UNBOUND, 0,
            program.UNBOUND, middle, margin, address(self.norms),
        )  # fmt: skip
        if packs:
            operands.pack(record)
        if signs:
            tables.prepare(record, self.program, signs, slack)
        return record

    def select(self, start: int, stop: int) -> "Operands":
        """Some of the queries; start is a multiple of sixteen."""
        end = min(-(-stop // GROUP) * GROUP, self.padded)
        some = _empty(self.program, end - start, self.row_bytes, self.alpha[start:stop],
                      self.norms[start:stop])  # fmt: skip
        some.entries[:] = self.entries[start:end]
        for to, source in zip(some._arrays[1:], self._arrays[1:], strict=True):
            to[:] = source[:, start:end]
        return some


def prepare(
    fields: npt.NDArray[np.int64],
    parts: Iterable[FloatArray],
    alpha: FloatArray,
    squares: FloatArray,
) -> Operands:
    """Operands of queries whose entries stand as the program's layouts spread them.

    fields (segments, FIELDS); parts, some queries after others, (n, d) float32 each; alpha,
    squares (nq,) float32: what is added to a query's scores, and its square norm
    """
    padded = max(-(-len(alpha) // GROUP) * GROUP, GROUP)
    is_float = fields[0, program.BITS] < program.BYTE_ROWS
    made, first = None, 0
    for part in parts:
        n, d = part.shape
        values = np.ascontiguousarray(part)
        if made is None:
            made = _empty(fields, padded, 4 * d if is_float else d, alpha, np.sqrt(squares))
        if is_float:
            at = made.start - address(made.memory) + 4 * first * d
            made.memory[at : at + 4 * n * d].view(np.float32)[:] = values.reshape(-1)
        else:
            step, at = 4 * len(fields) * padded, made.start + first * d
            seed = made.start + padded * d + 4 * first
            operands.quantize(values, fields, at, seed, seed + step, seed + 2 * step, padded)
        first += n
    if made is None:
        raise ValueError("operands need one part of queries or more, got none.")
    return made


def _sizes(padded: int, row_bytes: int, segments: int) -> list[int]:
    """Bytes of the entries, and of seed, half and gamma."""
    return [padded * row_bytes, *(4 * segments * padded,) * 3]


def _empty(
    fields: npt.NDArray[np.int64], padded: int, row_bytes: int, alpha: FloatArray, norms: FloatArray
) -> Operands:
    memory = np.zeros(sum(_sizes(padded, row_bytes, len(fields))) + LINE, np.uint8)
    start = address(memory)
    return Operands(fields, memory, start + -start % LINE, padded, row_bytes, alpha, norms)
