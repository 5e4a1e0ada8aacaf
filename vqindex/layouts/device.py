"""How the segments of a codec lie on a GPU, and packing a slab of them; see cuda/README.md.

The definitions are those of kernels.reference.device. Blocks are those of the CPU's codes, so that
a row has the same number on both.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import program, simd
from vqindex.kernels.cpu.program import BLOCK
from vqindex.layouts.base import Array

EMPTY, SIGNS, PAIRS, NIBBLES, BYTES, CODEWORDS, TABLE4, TABLE8, SPARSE, FLOATS, HALVES = (
    0, 1, 2, 4, 8, 9, 16, 17, 18, 32, 33,
)  # fmt: skip
PIECE = 16  # bytes
_ROWS = CODEWORDS, FLOATS, HALVES  # whose bytes lie as on the CPU
_WORD = 64  # dimensions
_DECODED = (
    program.MIXED, program.REPEAT, program.CODE_ROWS, program.PYRAMID_ROWS, program.POLAR_ROWS,
)  # fmt: skip

Fields = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class DeviceSegment:
    """One segment of a codec's program as it lies on a GPU.

    fields   its row of the program; columns are numbers
    kind     what a piece of 16 bytes holds
    chunks   pieces of a row
    dims     entries of its share of a query
    table    16 bytes of levels
    codebook levels of streams of codes, 4 or 8 bytes a word
    """

    fields: Fields
    kind: int
    chunks: int
    dims: int
    table: bytes = bytes(16)
    codebook: bytes = b""

    @property
    def block_bytes(self) -> int:
        """Of 32 rows."""
        return BLOCK * PIECE * self.chunks

    @property
    def pieces(self) -> int:
        """Those that meet the queries of a batch: streams are decoded to bytes then."""
        return self.dims // PIECE if self.kind == CODEWORDS else self.chunks

    @property
    def is_decoded(self) -> bool:
        """Whether it is packed from the levels that its codes stand for."""
        return self.kind == BYTES

    @property
    def columns(self) -> tuple[int, ...]:
        """The columns that it is packed from, unless from levels."""
        if self.is_decoded or self.kind == EMPTY:
            return ()
        plane, rest = int(self.fields[program.PLANE]), int(self.fields[program.REST])
        if self.kind in (SIGNS, TABLE4):
            return (plane,)
        return (rest,) if self.kind in (TABLE8, SPARSE, *_ROWS) else (plane, rest)

    def pack(self, *columns: Array) -> Octets:
        """A slab's pieces, (blocks, chunks, 32, 16), from its columns or from its levels.

        columns   (groups, width, interleave) each, as Codes has them
        levels    (blocks, 32, bytes) int8 of the whole program
        """
        first, words = int(self.fields[program.FIRST]), int(self.fields[program.WORDS])
        if self.kind == BYTES:
            at = int(self.fields[program.OPERAND])
            return _by_piece(columns[0][:, :, at : at + self.dims])
        if self.kind in _ROWS:
            rows = np.ascontiguousarray(columns[0][:, :, 0]).view(np.uint8)
            return _by_piece(rows.reshape(-1, BLOCK, rows.shape[1]))
        if self.kind in (TABLE8, SPARSE):
            return _by_piece(columns[0].swapaxes(1, 2))
        planes = [_words(columns[0], first, words)]
        further = self.fields[program.PLANES + 1 :][: int(self.fields[program.BITS]) - 1]
        planes += [_words(rest, at, words) for rest in columns[1:] for at in further.tolist()]
        if self.kind == PAIRS:
            both = np.stack([planes[0], planes[0] ^ planes[1]], axis=3)
            return both.view(np.uint8)
        return _nibbles(planes) if self.kind == NIBBLES else _two_words(planes[0])


def segments(fields: Fields) -> tuple[DeviceSegment, ...]:
    """How each segment of a program (segments, FIELDS) lies.

    Streams of codes stay streams where they are alone: beside others a batch would have no kernel.
    """
    if len(fields) == 1 and fields[0, program.BITS] == program.CODE_ROWS:
        return (_stream(fields[0]),)
    return tuple(_segment(row) for row in fields)


def _stream(fields: Fields) -> DeviceSegment:
    chunks, dims = -(-int(fields[program.REST_BYTES]) // PIECE), _WORD * int(fields[program.WORDS])
    group = int(fields[program.GROUP])
    shape = 1 << int(fields[program.WINDOW]), 4 if group <= 4 else 8
    text = ctypes.string_at(int(fields[program.TABLE]), shape[0] * shape[1])
    levels = np.frombuffer(text, np.uint8).reshape(shape) - np.uint8(simd.ROW_BIAS)
    levels[:, group:] = 0
    return DeviceSegment(fields, CODEWORDS, chunks, dims, codebook=levels.tobytes())


def _segment(fields: Fields) -> DeviceSegment:
    bits, words = int(fields[program.BITS]), int(fields[program.WORDS])
    if words == 0:
        return DeviceSegment(fields, EMPTY, 0, 0)
    if bits in (program.FLOAT_ROWS, program.HALF_ROWS):
        kind, pieces = (FLOATS, 4) if bits == program.FLOAT_ROWS else (HALVES, 2)
        return DeviceSegment(fields, kind, pieces * words, 16 * words)
    if bits == program.NIBBLES:
        return DeviceSegment(fields, TABLE4, -(-words // 2), 16 * words)
    if bits == program.OCTETS:
        return DeviceSegment(fields, TABLE8, -(-words // PIECE), words)
    dims = _WORD * words
    if bits == program.SPARSE:
        return DeviceSegment(fields, SPARSE, -(-int(fields[program.REST_BYTES]) // PIECE), dims)
    if bits > 4 or bits in (*_DECODED, program.BYTE_ROWS):
        return DeviceSegment(fields, BYTES, dims // PIECE, dims)
    table = _magnitudes(int(fields[program.TABLE]))
    kind, codes = {1: (SIGNS, 128), 2: (PAIRS, 64)}.get(bits, (NIBBLES, 32))
    return DeviceSegment(fields, kind, -(-dims // codes), dims, table)


def _magnitudes(address: int) -> bytes:
    """The first sixteen t of a level table, as kernels for the CPU have it."""
    octets = np.frombuffer(ctypes.string_at(address, 16), np.uint8)
    return (octets - np.uint8(simd.ROW_BIAS)).tobytes()


def _words(column: Array, first: int, words: int) -> npt.NDArray[np.uint64]:
    """Some 64-bit words of each row: (blocks, words, 32)."""
    own = column[:, first : first + words].reshape(-1, BLOCK // column.shape[2], words,
                                                   column.shape[2])  # fmt: skip
    return own.swapaxes(1, 2).reshape(-1, words, BLOCK)


def _two_words(words: npt.NDArray[np.uint64]) -> Octets:
    """Words (blocks, words, 32) as pieces of two."""
    blocks, count, _ = words.shape
    out = np.zeros((blocks, -(-count // 2), BLOCK, 2), np.uint64)
    out[..., 0] = words[:, ::2]
    out[:, : count // 2, :, 1] = words[:, 1::2]
    return out.view(np.uint8)


def _by_piece(rows: Array) -> Octets:
    """Rows (blocks, 32, bytes) as pieces of sixteen bytes, zeros beyond the last byte."""
    blocks, _, size = rows.shape
    out = np.zeros((blocks, -(-size // PIECE), BLOCK, PIECE), np.uint8)
    whole = size // PIECE
    octets = rows.view(np.uint8)
    out[:, :whole] = (
        octets[..., : whole * PIECE].reshape(blocks, BLOCK, whole, PIECE).swapaxes(1, 2)
    )
    if whole * PIECE < size:
        out[:, whole, :, : size - whole * PIECE] = octets[..., whole * PIECE :]
    return out


def _spread() -> npt.NDArray[np.uint32]:
    """Of each byte its eight bits, four bits apart."""
    octets = np.arange(256, dtype=np.uint32)
    out = np.zeros(256, np.uint32)
    for bit in range(8):
        out |= (octets >> np.uint32(bit) & np.uint32(1)) << np.uint32(4 * bit)
    return out


_SPREAD = _spread()


def _nibbles(planes: list[Any]) -> Octets:
    """Pieces of 32 codes from planes of words (blocks, words, 32), the signs' first."""
    shifts = [3, *range(len(planes) - 2, -1, -1)]
    blocks, words, _ = planes[0].shape
    total = np.zeros((blocks, words, BLOCK * 8), np.uint32)
    for plane, shift in zip(planes, shifts, strict=True):
        total |= _SPREAD[np.ascontiguousarray(plane).view(np.uint8)] << np.uint32(shift)
    eight = total.reshape(blocks, words, BLOCK, 2, 4)  # of each word two pieces of four
    return (
        np.ascontiguousarray(eight.transpose(0, 1, 3, 2, 4))
        .view(np.uint8)
        .reshape(blocks, 2 * words, BLOCK, PIECE)
    )
