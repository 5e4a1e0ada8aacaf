"""Centroids: the origins of lists, and which of them a row or a query is near.

Rows of a list are coded from its origin o, so scores have <a, o> added, where a stands for the
query (Codec.asked): a number for a query and a list, its share. The same shares say which lists to
look at, by

    preference = share * weight + offset

    l2           -|r - o|^2 but for what all lists have    weight 1,      offset -|o|^2
    ip, cosine   <q, o> / |o|: lists by direction          weight 1/|o|,  offset 0

Origins are int8 entries with a scale each, and that is what rows are coded from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt

from vqindex.errors import CorruptFileError
from vqindex.kernels.cpu import encode, lean, operands, program, routing
from vqindex.kernels.cpu.records import Asked, Held
from vqindex.layouts.base import Array, FloatArray
from vqindex.layouts.decoded import DecodedCodes
from vqindex.layouts.operands import prepare
from vqindex.lazy import lazy
from vqindex.memory import address, aligned_zeros
from vqindex.quantizers.base import divide, inner_products, row_norms, square_norms
from vqindex.transforms.base import stored

ROWS = 1024  # that meet all origins at a time
SAMPLE = 128  # rows for each list that origins are learned from, at most
ITERATIONS = 10  # of Lloyd's: more change lists little
LAMBDA = 1.0  # of spilled lists: up to 3, no other one looks at fewer rows for the same recall
STRAIN = 1 << 20  # parts of the spread in which strain is counted
MOST_STRAIN = 1024.0  # of a row: one row far away is no drift
MOST_SQUARE = 2.0**124  # of an origin's norm: centring and rounding have lengthened rows a little

Ints = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class Centroids:
    """Origins of lists: entries (lists, dim) int8 times scales (lists,) float32.

    spread   mean square distance to them of the rows that they were learned from
    """

    metric: str
    entries: npt.NDArray[np.int8]
    scales: FloatArray
    spread: float = 0.0

    @classmethod
    def of(cls, metric: str, origins: FloatArray) -> "Centroids":
        """Origins (lists, dim), rounded to int8."""
        scales = np.abs(origins).max(axis=1) / np.float32(127)
        entries = np.rint(divide(origins, scales[:, None])).clip(-127, 127).astype(np.int8)
        return cls(metric, entries, scales)

    @classmethod
    def fit(cls, metric: str, rows: FloatArray, lists: int, seed: int) -> "Centroids":
        """Learn origins from rows (n, dim), n >= lists >= 1, as `Codec.centred` has them.

        Lloyd's iteration from rows chosen at random; a list without rows takes one of the largest
        list's. Under ip and cosine rows go by direction (spherical k-means).
        """
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *b"lists"])))
        sample = np.ascontiguousarray(rows[rng.permutation(len(rows))[: SAMPLE * lists]])
        centroids = cls.of(metric, sample[:lists])
        for _ in range(ITERATIONS):
            numbers = centroids.assign(sample)
            sums, counts = np.zeros((lists, rows.shape[1])), np.bincount(numbers, minlength=lists)
            routing.sum_rows(sample, numbers, sums)
            means = sums / np.maximum(counts, 1)[:, None]
            for empty in np.flatnonzero(counts == 0):
                crowded = counts.argmax()
                means[empty] = sample[rng.choice(np.flatnonzero(numbers == crowded))]
                counts[crowded] -= counts[crowded] // 2  # never to none
            centroids = cls.of(metric, means.astype(np.float32))
        return centroids

    @property
    def lists(self) -> int:
        """How many."""
        return len(self.entries)

    @property
    def dim(self) -> int:
        """Dimension of the origins."""
        return int(self.entries.shape[1])

    @lazy
    def padded(self) -> int:
        """Lists, rounded up to what kernels take at a time."""
        return -(-self.lists // routing.PADDED) * routing.PADDED

    @lazy
    def weights(self) -> FloatArray:
        """(padded,); see the module."""
        out = np.zeros(self.padded, np.float32)
        norms = row_norms(self.origins(np.arange(self.lists)))
        ones = np.ones(self.lists, np.float32)
        out[: self.lists] = ones if self.metric == "l2" else divide(ones, norms)
        return out

    @lazy
    def offsets(self) -> FloatArray:
        """(padded,); see the module."""
        out = np.full(self.padded, -np.inf, np.float32)
        squares = square_norms(self.origins(np.arange(self.lists)))
        out[: self.lists] = -squares if self.metric == "l2" else 0
        return out

    @lazy
    def numbers(self) -> Held:
        """The slab table of a column that says which list is which: by number, ties are decided."""
        column = np.arange(self.padded)
        slabs = address(column) + 8 * np.arange(0, self.padded, program.SLAB_ROWS)
        return Held(address(slabs), column, slabs)

    @lazy
    def _layout(self) -> DecodedCodes:
        return DecodedCodes(self.dim, "i8")

    @lazy
    def asked(self) -> Held:
        """The origins as kernels take queries."""
        values = np.zeros((self.padded, 64 * self._layout.vectors), np.float32)
        values[: self.lists, : self.dim] = self.origins(np.arange(self.lists))
        fields = self._layout.program({"rows": 0}, program.NONE, 0)
        zeros = np.zeros(self.padded, np.float32)
        prepared = prepare(fields, [values], zeros, zeros)
        asked: Asked = prepared.asked(0, zeros, packed=False)
        packed = aligned_zeros((self.padded, asked.row_bytes), np.int8)
        asked = asked._replace(packed=address(packed))
        operands.pack(asked)
        return Held(asked, prepared.memory, packed, zeros)

    def shares(self, a: FloatArray) -> FloatArray:
        """<a, origin> of queries (n, dim) float32 as `Codec.asked` has them: (n, padded)."""
        return self.met(a)[0]

    def met(self, a: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The shares of queries, and their blurs (n,), see records.Asked."""
        t, scales = np.empty(a.shape, np.int8), np.empty(len(a), np.float32)
        encode.to_bytes(a, t, scales)
        rough, fine = self._shares(t, scales), np.empty_like(t)
        encode.to_fine_bytes(a, scales, t, fine)
        scales /= np.float32(256)
        return rough + self._shares(fine, scales), scales * lean.BLUR

    def rough_shares(self, rows: FloatArray) -> FloatArray:
        """`shares` of rows rounded to bytes."""
        t, scales = np.empty(rows.shape, np.int8), np.empty(len(rows), np.float32)
        encode.to_bytes(rows, t, scales)
        return self._shares(t, scales)

    def _shares(self, t: npt.NDArray[np.int8], scales: FloatArray) -> FloatArray:
        out = np.empty((len(t), self.padded), np.float32)
        routing.shares(self._layout.pack(t)["rows"], scales, self.asked.at, out)
        return out

    def assign(self, rows: FloatArray) -> Ints:
        """The list that each centred row (n, dim) goes to, (n,)."""
        out = np.empty(len(rows), np.int64)
        twice = np.float32(2 if self.metric == "l2" else 1)
        weights, offsets = self.weights[: self.lists], self.offsets[: self.lists]
        for start in range(0, len(rows), ROWS):
            part = slice(start, start + ROWS)
            shares = self.rough_shares(rows[part] * twice)
            routing.prefer(shares, weights, offsets, out[part])
        return out

    def assign_all(self, rows: FloatArray, spill: int) -> Ints:
        """The lists that each centred row goes to, (n, 1 + spill), that of `assign` first.

        A query misses a row where what its list's origin leaves of it, r, points along the query.
        So each further list has an origin that leaves little of the row, least of all along r:
        that of the least |r'|^2 + LAMBDA <r', r / |r|>^2, with a term for each list before it.

        Source: Sun et al., SOAR: Improved indexing for approximate nearest neighbor search, 2023.
        """
        numbers = self.assign(rows)
        if not spill:
            return numbers[:, None]
        out = np.empty((len(rows), 1 + spill), np.int64)
        out[:, 0] = numbers
        squares = square_norms(self.origins(np.arange(self.lists)))
        for start in range(0, len(rows), ROWS):
            self._spill(rows[start : start + ROWS], squares, out[start : start + ROWS])
        return out

    def _spill(self, rows: FloatArray, squares: FloatArray, out: Ints) -> None:
        """Write the further lists of some rows, whose first ones are there."""
        every = np.arange(len(rows))
        loss = squares - self.rough_shares(rows * np.float32(2))[:, : self.lists]
        for more in range(1, out.shape[1]):
            r = rows - self.origins(out[:, more - 1])
            r = divide(r, row_norms(r)[:, None])
            along = self.rough_shares(r)[:, : self.lists]
            along -= inner_products(rows, r)[:, None]
            loss += np.float32(LAMBDA) * along * along
            loss[every, out[:, more - 1]] = np.inf
            out[:, more] = loss.argmin(axis=1)

    def measured(self, rows: FloatArray, origins: FloatArray) -> "Centroids":
        """The same, with the spread of rows (n, dim) about their origins (n, dim)."""
        return replace(self, spread=float(square_norms(rows - origins).mean(dtype=np.float64)))

    def strain(self, rows: FloatArray, numbers: Ints) -> int:
        """The square distances of rows (n, dim) to the origins of their lists (n,), summed.

        In 2^-20 of the spread, each rounded and at most MOST_STRAIN: whole numbers, whose sum
        depends on no order.
        """
        squares = square_norms(rows - self.origins(numbers)).astype(np.float64)
        if self.spread > 0:
            strains = np.minimum(squares / self.spread, MOST_STRAIN)
        else:
            strains = np.where(squares > 0, MOST_STRAIN, 1.0)
        return int(np.rint(strains * STRAIN).astype(np.int64).sum())

    def origins(self, numbers: Ints) -> FloatArray:
        """The origins of some lists, (m, dim) float32."""
        return self.entries[numbers] * self.scales[numbers, None]

    def arrays(self) -> dict[str, Array]:
        """`entries`, `scales` and `spread`, of one number."""
        spread = np.array([self.spread])
        return {"entries": self.entries, "scales": self.scales, "spread": spread}

    @classmethod
    def restore(cls, metric: str, arrays: Mapping[str, Array], dim: int) -> "Centroids":
        """The one whose `arrays()` these are; CorruptFileError."""
        entries = stored(arrays, "entries", np.int8, 2)
        scales = stored(arrays, "scales", np.float32, 1)
        if entries.shape != (len(scales), dim) or not len(scales):
            raise CorruptFileError(
                f"'entries' must have shape ({len(scales)}, {dim}), got {entries.shape}."
            )
        if (scales < 0).any() or (entries == -128).any():
            raise CorruptFileError("'scales' must not be negative, nor 'entries' below -127.")
        squares = square_norms(entries.astype(np.float32)) * scales.astype(np.float64) ** 2
        if (squares > MOST_SQUARE).any():
            raise CorruptFileError(f"origins must have norms up to {MOST_SQUARE**0.5:.3g}.")
        spread = stored(arrays, "spread", np.float64, 1)
        if len(spread) != 1 or spread[0] < 0:
            raise CorruptFileError("'spread' must be one number that is not negative.")
        return cls(metric, entries, scales, float(spread[0]))
