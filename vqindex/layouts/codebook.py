"""CodebookCodes: a stream of bits a row, windows of which name words of a codebook.

    raw(q, i) = sum_j <level[code_ij], q_j>,  level = t + 1/2 with t int8, q_j = `group` entries

Code j is the `window` bits from bit j * stride of the row's stream on, lowest bit first. A stride
less than the window makes a trellis, whose codes overlap; the last ones wrap round to the stream's
first bits. The stream is kept as bytes, no more than it needs, but at least eight.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import codebook as kernels
from vqindex.kernels.cpu import codewords, program, simd
from vqindex.kernels.cpu.program import FIELDS
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.lazy import lazy

MOST_WINDOW = 16  # bits: a codebook beyond would not stay in a core's cache
MOST_GROUP = 8


@dataclass(frozen=True, eq=False)
class CodebookCodes:
    """Codes of `dims` entries, `group` at a time; the last word is cut short.

    codebook   (2**window, group) int8, the integers t
    stride     bits from one code to the next, at most the window
    """

    dims: int
    codebook: npt.NDArray[np.int8]
    stride: int
    prefix: str = ""

    def __post_init__(self) -> None:
        words, group = self.codebook.shape
        if words != 1 << self.window or not 1 <= self.window <= MOST_WINDOW:
            raise ValueError(f"a codebook needs 2 to 2**{MOST_WINDOW} words, got {words}.")
        if not 1 <= group <= MOST_GROUP or not 1 <= self.stride <= self.window:
            raise ValueError(
                f"words need 1 to {MOST_GROUP} entries and strides 1 to {self.window} bits, got "
                f"{group} and {self.stride}."
            )

    @property
    def window(self) -> int:
        """Bits of a code."""
        return len(self.codebook).bit_length() - 1

    @property
    def group(self) -> int:
        """Entries of a word."""
        return int(self.codebook.shape[1])

    @property
    def codes(self) -> int:
        """Codes of a row: as many as entries need, and so many that a stream holds a window."""
        return max(-(-self.dims // self.group), -(-self.window // self.stride))

    @property
    def vectors(self) -> int:
        """64-byte vectors of a decoded row."""
        return -(-self.codes * self.group // 64)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The streams."""
        width = max(-(-self.codes * self.stride // 8), kernels.SHORTEST)
        return (Column(f"{self.prefix}codes", np.dtype(np.uint8), width),)

    @property
    def operand_bytes(self) -> int:
        """See Layout."""
        return 64 * self.vectors

    def _table(self, bias: int) -> npt.NDArray[np.uint8]:
        """The codebook as kernels read it: words of 4 or 8 bytes, offset."""
        table = np.zeros((len(self.codebook), 4 if self.group <= 4 else 8), np.uint8)
        table[:, : self.group] = self.codebook.view(np.uint8) + np.uint8(bias)
        return table

    @lazy
    def _rows(self) -> npt.NDArray[np.uint8]:
        """Levels as kernels multiply them."""
        return self._table(simd.ROW_BIAS)

    @lazy
    def _plain(self) -> npt.NDArray[np.uint8]:
        return self._table(0)

    @lazy
    def _lookups(self) -> npt.NDArray[np.uint8]:
        return kernels.lookup_tables(self._rows[:, : self.group])

    def program(self, index: Mapping[str, int], scale: int, operand: int) -> npt.NDArray[np.int64]:
        """See Layout."""
        fields = np.zeros((1, FIELDS), np.int64)
        row_bytes = self.columns[0].row_bytes
        read = -(-8 * (row_bytes - 3) // self.stride)
        fields[0, program.BITS] = program.CODE_ROWS
        fields[0, program.WORDS] = self.vectors
        fields[0, program.REST] = index[f"{self.prefix}codes"]
        fields[0, program.REST_BYTES] = row_bytes
        fields[0, program.SCALE] = scale
        fields[0, program.OPERAND] = operand
        fields[0, program.TABLE] = self._rows.ctypes.data
        fields[0, program.CODES] = self.codes
        fields[0, program.GROUP] = self.group
        fields[0, program.WINDOW] = self.window
        fields[0, program.STRIDE] = self.stride
        wrapped = -(-(self.window - self.stride) // self.stride)
        spilled = -(-self._rows.shape[1] // self.group) - 1
        if simd.WIDE and self.stride == self.window <= 8 and 2 <= self.group <= 5:
            fields[0, program.LOOKUPS] = self._lookups.ctypes.data
        fields[0, program.EASY] = max(min(read, self.codes - max(wrapped, spilled)), 0)
        return fields

    def spread(self, values: FloatArray) -> FloatArray:
        """See Layout: (nq, 64 * vectors)."""
        out = np.zeros((len(values), 64 * self.vectors), np.float32)
        out[:, : self.dims] = values
        return out

    def pack(self, codes: Array) -> dict[str, Array]:
        """Columns of codes (n, codes), of which each keeps its lowest `stride` bits."""
        (column,) = self.columns
        out = np.zeros((len(codes), column.width), np.uint8)
        codewords.pack(np.ascontiguousarray(codes, np.uint16), self.stride, out)
        return {column.name: out}

    def levels(self, columns: Mapping[str, Array]) -> npt.NDArray[np.int8]:
        """The integers t of the levels, (n, codes * group)."""
        (column,) = self.columns
        rows = np.ascontiguousarray(columns[column.name])
        segment = self.program({column.name: 0}, program.NONE, 0)
        segment[0, program.TABLE] = self._plain.ctypes.data
        out = np.empty((len(rows), self.codes * self.group), np.int8)
        kernels.decode_rows(rows, segment, out)
        return out

    def unpack(self, columns: Mapping[str, Array]) -> FloatArray:
        """The levels t + 1/2, (n, dims) float32."""
        return self.levels(columns)[:, : self.dims] + np.float32(0.5)
