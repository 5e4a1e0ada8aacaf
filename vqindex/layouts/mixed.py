"""MixedCodes: scalar codes whose bits vary from run to run of eight dimensions.

    raw(q, i) = sum_j level_ij * q_j,  level = +-(t + 1/2) with t int8

The sign plane is that of ScalarCodes. A further plane covers the first dimensions only, those of
more bits than its number, and takes a byte for each run, nothing more:

    plane   (words,)  uint64, interleave 8: bit j of word w is set where entry 64 w + j is < 0
    rest    (plane 1, plane 2, ...) bytes, as uint64: the highest bit of the magnitude index first

Where levels differ much in size, the int8 entries of a query are too coarse: its first `fine`
words are scored twice, by the entries and by what rounding took from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import mixed, program, simd
from vqindex.kernels.cpu.program import FIELDS
from vqindex.kernels.reference.mixed import planes as planes_of
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.lazy import lazy
from vqindex.memory import aligned_zeros

RUN = 8  # entries of equal bits
WORD = 64
RUNS = WORD // RUN  # of a word
MOST_BITS = 7


@dataclass(frozen=True, eq=False)
class MixedCodes:
    """`dims` entries in runs of eight.

    bits     of each run, 1 to 7, non-increasing, for whole words
    tables   (words, 128) uint8 below 128: magnitudes of b bits from 2**(b - 1) on
    fine     words whose queries are rounded twice as fine as int8
    weights  (64 * words,) int32 that entries have where signs alone are summed: of each, twice the
             mean level; or None
    """

    dims: int
    bits: tuple[int, ...]
    tables: npt.NDArray[np.uint8]
    fine: int = 0
    weights: npt.NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        if list(self.bits) != sorted(self.bits, reverse=True) or len(self.bits) % RUNS:
            raise ValueError(f"runs must fill words, the most bits first, got {self.bits}.")

    @property
    def words(self) -> int:
        """Words of a row in the sign plane."""
        return len(self.bits) // RUNS

    @lazy
    def entry_bits(self) -> npt.NDArray[np.int64]:
        """(64 * words,) bits of each entry."""
        return np.repeat(np.array(self.bits, np.int64), RUN)

    @lazy
    def rest_bytes(self) -> int:
        """Bytes of a row's planes beyond the sign, whole words."""
        return -(-(sum(self.bits) - len(self.bits)) // 8) * 8

    @property
    def columns(self) -> tuple[Column, ...]:
        """The sign plane, and the rest where a code has more than one bit."""
        words = np.dtype(np.uint64)
        rest = (Column("rest", words, self.rest_bytes // 8),) if self.rest_bytes else ()
        return (Column("plane", words, self.words, 8), *rest)

    @property
    def operand_bytes(self) -> int:
        """See Layout."""
        return 64 * (self.words + self.fine)

    @lazy
    def _own(self) -> npt.NDArray[np.uint8]:
        return self._records(0)

    @lazy
    def _offset(self) -> npt.NDArray[np.uint8]:
        return self._records(simd.ROW_BIAS)

    def _records(self, bias: int) -> npt.NDArray[np.uint8]:
        """(words, RECORD) as kernels.cpu.mixed has them."""
        records = aligned_zeros((self.words, mixed.RECORD), np.uint8)
        bits = self.entry_bits.reshape(self.words, WORD)
        records[:, : mixed.BASE] = self.tables + np.uint8(bias)
        records[:, mixed.BASE : mixed.STEPS] = 1 << (bits - 1)
        records[:, mixed.COUNT : mixed.READS].view(np.int64)[:, 0] = bits[:, 0] - 1
        reads = records[:, mixed.READS : mixed.READS + 16 * (MOST_BITS - 1)].view(np.int64)
        start = 0
        for p in range(1, MOST_BITS):
            steps = mixed.STEPS + WORD * (p - 1)
            worth = 1 << np.maximum(bits - 1 - p, 0)
            records[:, steps : steps + WORD] = np.where(bits > p, worth, 0)
            at = start + RUNS * np.arange(self.words)
            first = np.minimum(at, self.rest_bytes - 8)
            reads[:, 2 * p - 2] = np.where(bits[:, 0] > p, first, 0)
            reads[:, 2 * p - 1] = np.where(bits[:, 0] > p, 8 * (at - first), 0)
            start += int((bits > p).sum()) // 8
        return records

    def program(self, index: Mapping[str, int], scale: int, operand: int) -> npt.NDArray[np.int64]:
        """See Layout: a segment, and one more of the first words where queries are fine."""
        fields = np.zeros((2 if self.fine else 1, FIELDS), np.int64)
        plane = index["plane"]
        fields[:, program.BITS] = program.MIXED
        fields[:, program.PLANE] = plane
        fields[:, program.PLANE_WORDS] = self.words
        fields[:, program.REST] = index.get("rest", plane)
        fields[:, program.REST_BYTES] = self.rest_bytes
        fields[:, program.SCALE] = scale
        fields[:, program.TABLE] = self._offset.ctypes.data
        fields[0, program.WORDS], fields[0, program.OPERAND] = self.words, operand
        if self.weights is not None:
            fields[0, program.WEIGHTS] = self.weights.ctypes.data
        if self.fine:
            fields[0, program.REPEATED] = self.fine
            fields[1, program.BITS], fields[1, program.WORDS] = program.REPEAT, self.fine
            fields[1, program.FIRST] = operand
            fields[1, program.OPERAND] = operand + 64 * self.words
        return fields

    def spread(self, values: FloatArray) -> FloatArray:
        """See Layout: (nq, 64 * (words + fine)), the rounded entries and what rounding took."""
        out = np.zeros((len(values), 64 * (self.words + self.fine)), np.float32)
        whole, more = out[:, : 64 * self.words], out[:, 64 * self.words :]
        whole[:, : values.shape[1]] = values
        if self.fine:
            unit = np.abs(whole).max(axis=1, keepdims=True) / np.float32(127)
            steps = np.divide(whole, unit, out=np.zeros_like(whole), where=unit > 0)
            rounded = np.clip(np.rint(steps), -127, 127) * unit
            first = 64 * self.fine
            more[:] = whole[:, :first] - rounded[:, :first]
            whole[:, :first] = rounded[:, :first]
        return out

    def encode(
        self,
        values: FloatArray,
        factors: FloatArray,
        thresholds: FloatArray,
        weights: FloatArray,
    ) -> tuple[dict[str, Array], FloatArray]:
        """Code each entry by how many of its thresholds its magnitude passes.

        values       (n, 64 * words) float32
        factors      (n,): the magnitude |value| * factor meets the thresholds
        thresholds   (words, 64, 64) float32, see reference.mixed.encode
        weights      (2, 64 * words) float32
        returns the columns, and sums (n, 2) of |value| * weights[0] * level, |value| * weights[1]
        """
        n = len(values)
        plane = np.empty((n, self.words), np.uint64)
        rest = np.zeros((n, self.rest_bytes), np.uint8)
        sums = np.empty((n, 2), np.float32)
        mixed.encode(values, factors, thresholds, self._own, weights, plane, rest, sums)
        return self._named(plane, rest), sums

    def _named(self, plane: Array, rest: npt.NDArray[np.uint8]) -> dict[str, Array]:
        more: dict[str, Array] = {"rest": rest.view("<u8")} if self.rest_bytes else {}
        return {"plane": plane, **more}

    def pack(self, codes: npt.NDArray[np.uint8]) -> dict[str, Array]:
        """Columns of codes (n, dims): the sign in bit `bits - 1`, the magnitude index below."""
        whole = np.zeros((len(codes), 64 * self.words), np.uint8)
        whole[:, : self.dims] = codes
        plane, *others = planes_of(whole, self.entry_bits)
        rest = np.zeros((len(codes), self.rest_bytes), np.uint8)
        packed = np.concatenate([plane[:, :0], *others], axis=1)
        rest[:, : packed.shape[1]] = packed
        return self._named(np.ascontiguousarray(plane).view("<u8"), rest)

    def unpack(self, columns: Mapping[str, Array]) -> npt.NDArray[np.uint8]:
        """The codes that `pack` packed, (n, dims)."""
        plane = np.ascontiguousarray(columns["plane"]).view(np.uint8)
        rest = np.ascontiguousarray(columns.get("rest", columns["plane"])).view(np.uint8)
        codes = np.zeros((len(plane), 64 * self.words), np.uint8)
        start = 0
        for p in range(MOST_BITS):
            n = int((self.entry_bits > p).sum())
            octets = plane if p == 0 else rest[:, start : start + n // 8]
            start += n // 8 if p else 0
            shift = (self.entry_bits[:n] - 1 - p).astype(np.uint8)
            codes[:, :n] |= np.unpackbits(octets, axis=1, bitorder="little")[:, :n] << shift
        return codes[:, : self.dims]

    def levels(self, columns: Mapping[str, Array]) -> FloatArray:
        """The levels of packed codes, (n, dims) float32, in units of the half-integer grid."""
        plane = np.ascontiguousarray(columns["plane"])
        rest = np.ascontiguousarray(columns.get("rest", plane)).view(np.uint8)
        out = np.empty((len(plane), 64 * self.words), np.int8)
        mixed.levels(plane, rest, self._own, out)
        return out[:, : self.dims].astype(np.float32) + np.float32(0.5)
