"""SAQ as it is fitted: levels for each class of principal directions, one scale a row; see saq."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import adjust
from vqindex.kernels.cpu.program import UNBOUND
from vqindex.kernels.cpu.step import Gains, Tables
from vqindex.layouts.base import Array, FloatArray
from vqindex.layouts.mixed import RUN, WORD, MixedCodes
from vqindex.lazy import lazy
from vqindex.memory import address
from vqindex.quantizers.base import Encoded, divide, inner_products, row_norms, square_norms
from vqindex.quantizers.scaled import Scaled


def padded(values: FloatArray, width: int) -> FloatArray:
    """Entries (n, up to width) with zeros up to it."""
    out = np.zeros((len(values), width), np.float32)
    out[:, : values.shape[1]] = values
    return out


def whitened(v: FloatArray, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
    """z of unit rows (n, dim), (n, len(spread)), and what makes its mean square one, (n,)."""
    dims = min(v.shape[1], len(spread))
    z = padded(v[:, :dims] / spread[:dims], len(spread))
    return z, divide(np.full(len(z), np.sqrt(np.float32(dims))), row_norms(z))


@final
@dataclass(frozen=True, eq=False)
class FittedSAQ(Scaled):
    """Codes rows by levels of their own for each class of directions; see the module.

    bits         of each run of eight directions that is coded, whole words
    tables       (words, 128) uint8 magnitudes, those of b bits from 2**(b - 1) on
    thresholds   (words, 128) float32: what |z| passes to have each of them, as they stand
    spread       (64 * words,) float32, sigma_j over the largest
    gain         (64 * words,) float32, what a step of a level is worth
    fine         words of a query that are finer than int8
    tail         of the square norm of what is not coded, the share that the scale makes up for
    distortion, shrink   see FittedQuantizer
    sign_weights         (64 * words,) int32, twice the mean level of each entry
    sign_errors          see Uneven
    coarse               whether scales are those of least error
    rounds               of adjusting each row's codes
    """

    dim: int
    bits: tuple[int, ...]
    tables: npt.NDArray[np.uint8]
    thresholds: FloatArray
    spread: FloatArray
    gain: FloatArray
    fine: int
    tail: float
    distortion: float
    shrink: float
    sign_weights: npt.NDArray[np.int32]
    sign_errors: FloatArray | None
    coarse: bool = False
    rounds: int = 0

    @property
    def ratio(self) -> str | None:
        """See FittedQuantizer."""
        return None if self.sign_errors is None else "ratio"

    @property
    def dims(self) -> int:
        """Coded directions."""
        return min(self.dim, RUN * len(self.bits))

    @lazy
    def layout(self) -> MixedCodes:
        """See FittedQuantizer."""
        weights = None if self.sign_errors is None else self.sign_weights
        return MixedCodes(self.dims, self.bits, self.tables, self.fine, weights)

    @lazy
    def limits(self) -> FloatArray:
        """(words, 64, 64) float32, the thresholds entry by entry: see reference.mixed.encode."""
        bits = self.layout.entry_bits.reshape(-1, WORD)
        out = np.full((len(bits), 64, WORD), np.inf, np.float32)
        for word, own in enumerate(bits):
            for j, b in enumerate(own):
                out[word, : 2 ** (b - 1) - 1, j] = self.thresholds[word, 2 ** (b - 1) + 1 : 2**b]
        return out

    def encode(self, y: FloatArray) -> Encoded:
        """See FittedQuantizer."""
        norms = row_norms(y)
        v = divide(y, norms[:, None])
        z, factors = whitened(v, self.spread)
        columns, sums = self.layout.encode(z, factors, self.limits, self.weights)
        if self.rounds:
            columns, sums = self._adjusted(v, columns)
        coded = square_norms(v[:, : self.dims])
        whole = np.minimum(coded + np.float32(self.tail) * (square_norms(v) - coded), 1)
        length = norms * np.maximum(whole, 0)
        scale = divide(length, sums[:, 0])
        if self.ratio:
            own = np.minimum(divide(divide(length, sums[:, 1]), scale), np.finfo(np.float16).max)
            columns["ratio"] = own.astype(np.float16)
        if self.coarse:
            scale = norms * divide(sums[:, 0], square_norms(self._steps(columns)))
        return Encoded(columns | {"scale": scale}, self, rounded=self.coarse)

    def _steps(self, columns: Mapping[str, Array]) -> FloatArray:
        """What the codes stand for but for the scale, (n, dims)."""
        return self.layout.levels(columns) * self.gain[: self.dims]

    def _adjusted(
        self, v: FloatArray, columns: Mapping[str, Array]
    ) -> tuple[dict[str, Array], FloatArray]:
        """Columns of adjusted codes and the sums that `encode` wants, of unit rows (n, dim)."""
        ladders, tops = self._ladders
        codes = self.layout.unpack(columns)
        places = np.where(codes < tops, codes + tops, 2 * tops - 1 - codes)
        adjust.descend(
            np.ascontiguousarray(v), ladders, 2 * tops.astype(np.int64), self.rounds, places
        )
        above = places >= tops
        codes = np.where(above, places - tops, 2 * tops - 1 - places)
        levels = ladders[np.arange(self.dims), places].astype(np.float32)
        worth = (self.gain * self.sign_weights.astype(np.float32))[: self.dims] / 2
        signs = np.where(above, worth, -worth)
        coded = np.ascontiguousarray(v[:, : self.dims])
        sums = [inner_products(coded, entries) for entries in (levels, signs)]
        return self.layout.pack(codes), np.stack(sums, axis=1)

    @lazy
    def _ladders(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
        """Levels of each direction in ascending order, (dims, 128), and how many are positive."""
        bits = self.layout.entry_bits[: self.dims]
        out = np.zeros((self.dims, 128))
        for j, top in enumerate(1 << (bits - 1)):
            t = self.tables[j // WORD, top : 2 * top] + 0.5
            out[j, : 2 * top] = np.concatenate([-t[::-1], t]) * self.gain[j]
        return out, (1 << (bits - 1)).astype(np.uint8)

    @lazy
    def weights(self) -> FloatArray:
        """(2, 64 * words): what makes sums over |z| of products of a row, with codes and signs."""
        own = self.gain * self.spread
        return np.stack([own, own * self.sign_weights.astype(np.float32) / 2])

    def expand(self, columns: Mapping[str, Array]) -> FloatArray:
        """See FittedQuantizer."""
        out = np.zeros((len(columns["scale"]), self.dim), np.float32)
        out[:, : self.dims] = self._steps(columns) * columns["scale"].reshape(-1, 1)
        return out

    def operand(self, y: FloatArray) -> FloatArray:
        """See FittedQuantizer: what a step of each level is worth, (nq, dims)."""
        return y[:, : self.dims] * self.gain[: self.dims]

    def told(self, squares: FloatArray | None) -> tuple[Tables, Gains]:
        """See Told."""
        errors = UNBOUND if self.sign_errors is None else address(self.sign_errors)
        words = self.layout.words
        gains = Gains(address(self.gain), self.dims, WORD * words, WORD * self.fine, errors)
        return Tables(), gains

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer; an empty array stands for no errors of signs."""
        none = np.empty(0, np.float32)
        return {
            "bits": np.array(self.bits, np.uint8),
            "tables": self.tables,
            "thresholds": self.thresholds,
            "spread": self.spread,
            "gain": self.gain,
            "fine": np.array(self.fine, np.int64),
            "tail": np.array(self.tail),
            "distortion": np.array(self.distortion),
            "shrink": np.array(self.shrink),
            "sign_weights": self.sign_weights,
            "sign_errors": none if self.sign_errors is None else self.sign_errors,
            "coarse": np.array(self.coarse, np.uint8),
        }
