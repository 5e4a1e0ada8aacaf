"""ScalarCodes: every coordinate one of a few half-integer levels.

    raw(q, i) = sum_j level[code_ij] * q_j,  level = +-(t + 1/2) with t int8

A code is a sign and a magnitude index, kept as bit planes: the sign plane of 8 rows side by side
in blocks, to be scanned for every row; the other planes row by row, most significant first, to be
read for survivors, or for a whole block once per batch. A row's first planes are the same code
at fewer bits.

    plane   (words,)  uint64, interleave 8: bit j of word w is set where entry 64 w + j is < 0
    rest    (plane 1, plane 2, ...) uint64: bit p of the magnitude index, p = 1 the highest
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import encode, grid, program, simd
from vqindex.kernels.cpu.program import FIELDS
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.lazy import lazy


@dataclass(frozen=True)
class Segment:
    """A run of dimensions coded alike: `dims` entries, magnitudes t of the levels t + 1/2."""

    dims: int
    magnitudes: tuple[int, ...]

    @property
    def bits(self) -> int:
        """Bits of a code, its sign included."""
        return len(self.magnitudes).bit_length()

    @property
    def words(self) -> int:
        """64-bit words of one plane."""
        return -(-self.dims // 64)


@dataclass(frozen=True)
class ScalarCodes:
    """Scalar codes over segments of non-increasing bits, so that each plane is a prefix.

    prefix   before the names of its columns
    kept     bits of each segment's codes as they are kept, where only their first are read
    worth    half steps that a sign alone stands for
    ratio    column that the scale is multiplied by, float16, or none
    """

    segments: tuple[Segment, ...]
    prefix: str = ""
    kept: tuple[int, ...] | None = None
    worth: int = 1
    ratio: str | None = None

    def __post_init__(self) -> None:
        bits = [segment.bits for segment in self.segments]
        if bits != sorted(bits, reverse=True):
            raise ValueError(f"segments must come with the most bits first, got {bits}.")

    def first_bits(
        self, segments: tuple[Segment, ...], worth: int = 1, ratio: str | None = None
    ) -> "ScalarCodes":
        """The same columns, of whose codes only the first bits are read: those of `segments`."""
        return replace(self, segments=segments, kept=self._kept, worth=worth, ratio=ratio)

    @property
    def _kept(self) -> tuple[int, ...]:
        return self.kept or tuple(segment.bits for segment in self.segments)

    @lazy
    def dims(self) -> int:
        """Coded dimensions."""
        return sum(segment.dims for segment in self.segments)

    @lazy
    def _starts(self) -> list[tuple[int, int]]:
        """The first dimension and the first word of each segment."""
        dims = np.cumsum([0, *(s.dims for s in self.segments)])
        words = np.cumsum([0, *(s.words for s in self.segments)])
        return [(int(d), int(w)) for d, w in zip(dims[:-1], words[:-1], strict=True)]

    @lazy
    def words(self) -> int:
        """Words of a row in the sign plane."""
        return sum(segment.words for segment in self.segments)

    @lazy
    def plane_offsets(self) -> npt.NDArray[np.int64]:
        """(9,) word offset of plane p in a row of `rest`, p = 1..8; the last is a row's words."""
        kept = list(zip(self.segments, self._kept, strict=True))
        widths = [sum(s.words for s, bits in kept if bits > p) for p in range(1, 8)]
        return np.cumsum([0, 0, *widths])

    @property
    def columns(self) -> tuple[Column, ...]:
        """The sign plane, and the rest where a code has more than one bit."""
        plane = Column(f"{self.prefix}plane", np.dtype(np.uint64), self.words, 8)
        rest = int(self.plane_offsets[8])
        more = (Column(f"{self.prefix}rest", np.dtype(np.uint64), rest),) if rest else ()
        return (plane, *more)

    @property
    def operand_bytes(self) -> int:
        """Bytes of one prepared query: an int8 for each dimension, words padded."""
        return 64 * self.words

    @lazy
    def _tables(self) -> npt.NDArray[np.uint8]:
        tables = np.empty((len(self.segments), 128), np.uint8)
        for table, segment in zip(tables, self.segments, strict=True):
            levels = np.array(segment.magnitudes, np.int64) + simd.ROW_BIAS
            table[:] = np.resize(levels if len(levels) > 16 else np.resize(levels, 16), 128)
        return tables

    @lazy
    def _weights(self) -> npt.NDArray[np.int32]:
        return np.full(64 * self.words, self.worth, np.int32)

    def program(self, index: Mapping[str, int], scale: int, operand: int) -> npt.NDArray[np.int64]:
        """See Layout."""
        fields = np.zeros((len(self.segments), FIELDS), np.int64)
        plane = index[f"{self.prefix}plane"]
        rest = index.get(f"{self.prefix}rest", plane)
        for i, (segment, (_, word)) in enumerate(zip(self.segments, self._starts, strict=True)):
            fields[i, program.BITS] = segment.bits
            fields[i, program.WORDS] = segment.words
            fields[i, program.FIRST] = word
            fields[i, program.PLANE] = plane
            fields[i, program.PLANE_WORDS] = self.words
            fields[i, program.REST] = rest if segment.bits > 1 else plane
            fields[i, program.REST_BYTES] = 8 * self.plane_offsets[8] if segment.bits > 1 else 0
            fields[i, program.SCALE] = scale
            fields[i, program.RATIO] = index[self.ratio] + 1 if self.ratio else 0
            fields[i, program.OPERAND] = operand + 64 * word
            fields[i, program.TABLE] = self._tables[i].ctypes.data
            if self.worth != 1:
                fields[i, program.WEIGHTS] = self._weights[64 * word :].ctypes.data
            fields[i, program.PLANES :] = self.plane_offsets[:8] + word
        return fields

    def spread(self, values: FloatArray) -> FloatArray:
        """See Layout: (nq, 64 * words)."""
        if self.dims == values.shape[1] == 64 * self.words:
            return values
        out = np.zeros((len(values), 64 * self.words), np.float32)
        for segment, (dim, word) in zip(self.segments, self._starts, strict=True):
            out[:, 64 * word : 64 * word + segment.dims] = values[:, dim : dim + segment.dims]
        return out

    def encode(
        self, values: FloatArray, factors: FloatArray, thresholds: Sequence[FloatArray]
    ) -> tuple[dict[str, Array], FloatArray]:
        """Code each entry by how many thresholds its magnitude passes.

        values       (n, dims or more) float32
        factors      (n, segments): the magnitude |value| * factor meets the thresholds
        thresholds   for each segment, ascending, one fewer than its magnitudes
        returns the columns, and sums (n, segments, 3) of value * level, level^2 and |value|

        Source: reference.scalar.encode.
        """
        n, values = len(values), np.ascontiguousarray(values)
        plane = np.empty((n, self.words), np.uint64)
        rest = np.empty((n, int(self.plane_offsets[8])), np.uint64)
        sums = np.empty((len(self.segments), n, 3), np.float32)
        for i, (segment, (dim, word)) in enumerate(zip(self.segments, self._starts, strict=True)):
            encode.encode(
                values, dim, segment.dims, factors[:, i].copy(),
                np.array(thresholds[i], np.float32),
                np.array(segment.magnitudes, np.float32) + np.float32(0.5),
                plane, rest, word, self.plane_offsets, sums[i],
            )  # fmt: skip
        columns = {f"{self.prefix}plane": plane, f"{self.prefix}rest": rest}
        return {c.name: columns[c.name] for c in self.columns}, sums.swapaxes(0, 1)

    def encode_grid(
        self, values: FloatArray, centers: FloatArray, factors: FloatArray
    ) -> tuple[dict[str, Array], FloatArray]:
        """Code each entry by the nearest of evenly spaced levels; for one segment alone.

        values            (n, dims) float32
        centers, factors  (n,) float32: (value - center) * factor meets the levels
        returns the columns, and sums (n, 3) of size * |level|, level^2 and size = |value - center|

        Source: reference.scalar.encode_grid.
        """
        n, values = len(values), np.ascontiguousarray(values)
        plane = np.empty((n, self.words), np.uint64)
        rest = np.empty((n, int(self.plane_offsets[8])), np.uint64)
        sums = np.empty((n, 3), np.float32)
        bits, offsets = self.segments[0].bits, self.plane_offsets
        grid.encode(values, centers, factors, bits, plane, rest, offsets, sums)
        columns = {f"{self.prefix}plane": plane, f"{self.prefix}rest": rest}
        return {c.name: columns[c.name] for c in self.columns}, sums

    def pack(self, codes: npt.NDArray[np.uint8]) -> dict[str, Array]:
        """Columns of codes (n, dims): the sign in bit `bits - 1`, the magnitude index below."""
        n = len(codes)
        plane = np.zeros((n, self.words), np.uint64)
        rest = np.zeros((n, int(self.plane_offsets[8])), np.uint64)
        for segment, (dim, word) in zip(self.segments, self._starts, strict=True):
            here = np.zeros((n, 64 * segment.words), np.uint8)
            here[:, : segment.dims] = codes[:, dim : dim + segment.dims]
            for p in range(segment.bits):
                bits = np.packbits(here >> (segment.bits - 1 - p) & 1, axis=1, bitorder="little")
                at = word + int(self.plane_offsets[p])
                target = plane if p == 0 else rest
                target[:, at : at + segment.words] = bits.view("<u8")
        columns = {f"{self.prefix}plane": plane, f"{self.prefix}rest": rest}
        return {c.name: columns[c.name] for c in self.columns}

    def unpack(self, columns: Mapping[str, Array]) -> npt.NDArray[np.uint8]:
        """The codes that `pack` packed, (n, dims)."""
        plane = columns[f"{self.prefix}plane"]
        rest = columns.get(f"{self.prefix}rest", plane)
        codes = np.zeros((len(plane), self.dims), np.uint8)
        for segment, (dim, word) in zip(self.segments, self._starts, strict=True):
            here = codes[:, dim : dim + segment.dims]
            for p in range(segment.bits):
                at = word + int(self.plane_offsets[p])
                words = (plane if p == 0 else rest)[:, at : at + segment.words]
                octets = np.ascontiguousarray(words).view(np.uint8)
                bits = np.unpackbits(octets, axis=1, bitorder="little")[:, : segment.dims]
                here |= bits << np.uint8(segment.bits - 1 - p)
        return codes

    def levels(self, columns: Mapping[str, Array], scale: Array | None = None) -> FloatArray:
        """The levels of packed codes, (n, dims) float32, in units of the half-integer grid.

        scale   (n,) float32 that each row is multiplied by
        """
        plane = columns[f"{self.prefix}plane"]
        rest = columns.get(f"{self.prefix}rest", plane)
        out = np.empty((len(plane), self.dims), np.float32)
        scales = np.ones(len(plane), np.float32) if scale is None else scale.ravel()
        for segment, (dim, word) in zip(self.segments, self._starts, strict=True):
            encode.levels(
                plane, rest, word, self.plane_offsets, np.array(segment.magnitudes, np.uint8),
                scales, out, dim, segment.dims,
            )  # fmt: skip
        return out
