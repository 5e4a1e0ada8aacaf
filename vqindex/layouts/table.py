"""TableCodes: a row is a few codes, each looked up in a table of the query's own.

    raw(q, i) = sum_m table[m, code_im]

Tables come from the quantizer: inner products of the query with the words of each codebook. What
else adds up by code, such as the norms of orthogonal words, goes into them too.

    codes   4 bits: (words,) uint64, interleave 8: bits 4 j .. 4 j + 3 of word w are code 16 w + j,
            so that half bytes lie as those of a sign plane
            8 bits: (parts,) uint8, interleave 32: a block holds a code's 32 rows side by side
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu.program import BLOCK
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
    def words(self) -> int:
        """64-bit words of a row of 4-bit codes."""
        return -(-self.parts // NIBBLES)

    @property
    def _name(self) -> str:
        return f"{self.prefix}codes"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The codes."""
        if self.bits == 4:
            return (Column(self._name, np.dtype(np.uint64), self.words, 8),)
        return (Column(self._name, np.dtype(np.uint8), self.parts, BLOCK),)

    @property
    def operand_bytes(self) -> int:
        """See Layout."""
        raise NotImplementedError("no kernel looks tables up yet.")

    def program(self, index: Mapping[str, int], scale: int, operand: int) -> npt.NDArray[np.int64]:
        """See Layout."""
        raise NotImplementedError("no kernel looks tables up yet.")

    def spread(self, values: FloatArray) -> FloatArray:
        """See Layout: tables (nq, parts * size), and those of the codes that fill the last word."""
        if self.bits == 8:
            return values
        out = np.zeros((len(values), NIBBLES * self.words * self.size), np.float32)
        out[:, : values.shape[1]] = values
        return out

    def pack(self, codes: npt.NDArray[np.uint8]) -> dict[str, Array]:
        """Columns of codes (n, parts), every entry below `size`; may be the codes themselves."""
        if self.bits == 8:
            return {self._name: codes}
        whole = np.zeros((len(codes), NIBBLES * self.words), np.uint8)
        whole[:, : self.parts] = codes
        return {self._name: (whole[:, ::2] | whole[:, 1::2] << np.uint8(4)).view("<u8")}

    def unpack(self, columns: Mapping[str, Array]) -> npt.NDArray[np.uint8]:
        """The codes that `pack` packed, (n, parts)."""
        codes = columns[self._name]
        if self.bits == 8:
            return codes
        octets = np.ascontiguousarray(codes).view(np.uint8)
        whole = np.empty((len(codes), NIBBLES * self.words), np.uint8)
        whole[:, ::2], whole[:, 1::2] = octets & np.uint8(15), octets >> np.uint8(4)
        return whole[:, : self.parts]
