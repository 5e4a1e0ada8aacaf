"""TableCodes: a row is a few codes, each looked up in a table of the query's own.

    raw(q, i) = sum_m table[m, code_im]

Tables come from the quantizer: inner products of the query with the words of each codebook. What
else adds up by code, such as the norms of orthogonal words, goes into them too.

    codes   4 bits: (words,) uint64, interleave 8: bits 4 j .. 4 j + 3 of word w are code 16 w + j,
            so that half bytes lie as those of a sign plane
            8 bits: (places,) uint8, interleave 32: a block holds a code's 32 rows side by side;
            an odd number of codes is followed by zeros
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import program
from vqindex.kernels.cpu.program import BLOCK, FIELDS
from vqindex.layouts.base import Array, Column, FloatArray

NIBBLES = 16  # of a 64-bit word


@dataclass(frozen=True)
class TableCodes:
    """`parts` codes of `bits`, 4 or 8."""

    parts: int
    bits: int
    prefix: str = ""

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise ValueError(f"table codes have 4 or 8 bits, got {self.bits}.")

    @property
    def size(self) -> int:
        """Entries of a table."""
        return 1 << self.bits

    @property
    def dims(self) -> int:
        """See Layout: the entries of all tables."""
        return self.parts * self.size

    @property
    def words(self) -> int:
        """Each has 256 entries of tables: 64-bit words of 4-bit codes, or 8-bit codes, even."""
        return -(-self.parts // NIBBLES) if self.bits == 4 else self.parts + self.parts % 2

    @property
    def _name(self) -> str:
        return f"{self.prefix}codes"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The codes."""
        if self.bits == 4:
            return (Column(self._name, np.dtype(np.uint64), self.words, 8),)
        return (Column(self._name, np.dtype(np.uint8), self.words, BLOCK),)

    @property
    def operand_bytes(self) -> int:
        """See Layout: an int32 for each entry of a table."""
        return 1024 * self.words

    def program(self, index: Mapping[str, int], scale: int, operand: int) -> npt.NDArray[np.int64]:
        """See Layout."""
        fields = np.zeros((1, FIELDS), np.int64)
        four = self.bits == 4
        fields[0, program.BITS] = program.NIBBLES if four else program.OCTETS
        fields[0, program.WORDS] = self.words
        fields[0, program.PLANE] = fields[0, program.REST] = index[self._name]
        fields[0, program.PLANE_WORDS if four else program.REST_BYTES] = self.words
        fields[0, program.SCALE] = scale
        fields[0, program.OPERAND] = operand
        return fields

    def spread(self, values: FloatArray) -> FloatArray:
        """See Layout: tables (nq, parts * size), and behind them what is not read.

        Those of a word's 4-bit codes come in the order of look-ups: of low halves, of high halves.
        """
        n, size = len(values), 256 * self.words
        if values.shape[1] < size:
            values = np.pad(values, ((0, 0), (0, size - values.shape[1])))
        out = np.empty((n, self.operand_bytes), np.float32)
        if self.bits == 4:
            tables = values.reshape(n, self.words, 8, 2, 16)
            out[:, :size].reshape(n, self.words, 2, 8, 16)[:] = tables.swapaxes(2, 3)
        else:
            out[:, :size] = values
        return out

    def pack(self, codes: npt.NDArray[np.uint8]) -> dict[str, Array]:
        """Columns of codes (n, parts), every entry below `size`; may be the codes themselves."""
        places = self.words * (NIBBLES if self.bits == 4 else 1)
        if places > self.parts:
            codes = np.pad(codes, ((0, 0), (0, places - self.parts)))
        if self.bits == 8:
            return {self._name: codes}
        return {self._name: (codes[:, ::2] | codes[:, 1::2] << np.uint8(4)).view("<u8")}

    def unpack(self, columns: Mapping[str, Array]) -> npt.NDArray[np.uint8]:
        """The codes that `pack` packed, (n, parts)."""
        codes = columns[self._name]
        if self.bits == 8:
            return codes[:, : self.parts]
        octets = np.ascontiguousarray(codes).view(np.uint8)
        whole = np.empty((len(codes), NIBBLES * self.words), np.uint8)
        whole[:, ::2], whole[:, 1::2] = octets & np.uint8(15), octets >> np.uint8(4)
        return whole[:, : self.parts]
