"""SAQ: principal directions with as many bits each as their variance is worth, one scale a row.

With y a row in principal axes and sigma_j their spreads, the coordinates z_j = y_j / sigma_j, in
units of their own root mean square over the row's coded dimensions, are coded by levels u_j that
fit a sample. A row stands for scale * g_j u_j, g_j = sigma_j / (1 - D_j) with D_j the distortion,
so that every direction is unbiased alike. The scale makes the row's own inner product right,

    scale * sum_j y_j g_j u_j = sum over coded j of y_j^2 + tail * sum over the others of y_j^2

where `tail` is the share of what was not coded that rows and their near neighbours have in common.

Source: SAQ, arXiv 2509.12086, for the allocation of bits to principal directions. Departures: bits
vary every 8 directions, without rotations among them, by the error of near neighbours' scores;
levels are optimal for a sample, not uniform, and there is one scale for all segments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from vqindex.errors import CorruptFileError, SpecError
from vqindex.kernels.reference.mixed import MOST_BITS, RUN, WORD
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.layouts.mixed import MixedCodes
from vqindex.lazy import lazy
from vqindex.quantizers.allocation import allocate, near_differences, run_costs
from vqindex.quantizers.base import Encoded, divide, row_norms, square_norms
from vqindex.quantizers.sampled_levels import Class, candidates, choose
from vqindex.transforms.base import Number, stored

LEAST_SPREAD = 2.0**-10  # of a direction, over the largest: rows unlike the sample stay finite
CLASS_VALUES = 1 << 16  # coordinates that a class's levels are fitted to
MEASURED = 4096  # rows of the sample that distortions are measured on
MOST_LONGER = 4  # times a gain may be to be unbiased: more is no estimate of a small sample
MOST_DISTORTION = 0.99

Floats = npt.NDArray[np.float64]


@final
@dataclass(frozen=True)
class SAQ:
    """Recipe: `bits` a dimension on average, up to 7, and a float32 scale a row.

    Codes take the memory of EDEN's of so many bits, in whole words of 64 a row.
    """

    bits: float = 4

    names: ClassVar[tuple[str, ...]] = ("SAQ",)
    options: ClassVar[tuple[str, ...]] = ()
    rotation: ClassVar[str] = "PCA"
    centered: ClassVar[bool] = True
    sketchable: ClassVar[bool] = True
    sample_size: ClassVar[int] = 16_384

    def __post_init__(self) -> None:
        if type(self.bits) not in (int, float) or not 0 < self.bits <= MOST_BITS:
            raise SpecError(f"bits must be above 0 and up to {MOST_BITS}, got {self.bits!r}.")

    @property
    def spec(self) -> str:
        """See Quantizer."""
        return f"SAQ{self.bits}"

    @classmethod
    def from_spec(cls, name: str, bits: Number, options: Mapping[str, object]) -> "SAQ":
        """The recipe of `SAQ<b>`, b an integer or a fraction."""
        if not isinstance(bits, int | float):
            raise SpecError(f"{name} needs its bits, such as {name}4 or {name}2.5.")
        return cls(bits)

    def fit(self, sample: FloatArray | None, dim: int, seed: int) -> "FittedSAQ":
        """See Quantizer; SpecError without a sample."""
        if sample is None:
            raise SpecError("SAQ learns its levels from rows: it needs a sample.")
        words = -(-dim // WORD)
        variances = np.zeros(WORD * words)
        variances[:dim] = (sample.astype(np.float64) ** 2).mean(axis=0)
        weights = np.zeros(WORD * words)
        weights[:dim] = near_differences(sample)
        bits = allocate(run_costs(variances, weights), self._budget(dim))
        spread = np.sqrt(variances[: RUN * len(bits)])
        spread = np.maximum(divide(spread, spread.max()), np.float32(LEAST_SPREAD))
        return _learn(sample, bits, spread, weights)

    def _budget(self, dim: int) -> int:
        """Bytes of a row's codes."""
        return 8 * max(1, int(self.bits * -(-dim // WORD)))

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedSAQ":
        """See Quantizer."""
        bits = tuple(stored(arrays, "bits", np.uint8, 1).tolist())
        words, width = len(bits) // 8, RUN * len(bits)
        kinds: dict[str, tuple[Any, tuple[int, ...]]] = {
            "tables": (np.uint8, (words, 128)),
            "thresholds": (np.float32, (words, 128)),
            "spread": (np.float32, (width,)),
            "gain": (np.float32, (width,)),
            "fine": (np.int64, ()),
            "tail": (np.float64, ()),
            "distortion": (np.float64, ()),
            "shrink": (np.float64, ()),
        }
        found = {k: stored(arrays, k, kind, len(shape)) for k, (kind, shape) in kinds.items()}
        fine, tail, distortion, shrink = (
            found[name].item() for name in ("fine", "tail", "distortion", "shrink")
        )
        if (
            not 0 < words <= -(-dim // WORD)
            or len(bits) % 8
            or sum(bits) > self._budget(dim)
            or not all(1 <= b <= MOST_BITS for b in bits)
            or list(bits) != sorted(bits, reverse=True)
            or any(found[k].shape != shape for k, (_, shape) in kinds.items())
            or (found["tables"] > 127).any()
            or (found["spread"] <= 0).any()
            or (found["gain"] < 0).any()
            or not 0 <= fine <= words
            or not 0 <= tail <= 1
            or not 0 <= distortion < 1
            or not 0 < shrink < np.inf
        ):
            raise CorruptFileError("arrays of SAQ do not fit each other or the dimension.")
        return FittedSAQ(
            dim, bits, found["tables"], found["thresholds"], found["spread"], found["gain"],
            fine, tail, distortion, shrink,
        )  # fmt: skip


def _padded(values: FloatArray, width: int) -> FloatArray:
    """Entries (n, up to width) with zeros up to it."""
    out = np.zeros((len(values), width), np.float32)
    out[:, : values.shape[1]] = values
    return out


def _whitened(v: FloatArray, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
    """z of unit rows (n, dim), (n, len(spread)), and what makes its mean square one, (n,)."""
    dims = min(v.shape[1], len(spread))
    z = _padded(v[:, :dims] / spread[:dims], len(spread))
    return z, divide(np.full(len(z), np.sqrt(np.float32(dims))), row_norms(z))


def _learn(
    sample: FloatArray, bits: tuple[int, ...], spread: FloatArray, weights: Floats
) -> "FittedSAQ":
    """The quantizer of given bits: levels of each class, then what is measured of them."""
    dim, words = sample.shape[1], len(bits) * RUN // WORD
    z, factors = _whitened(divide(sample, row_norms(sample)[:, None]), spread)
    z *= factors[:, None]
    squares = spread.astype(np.float64) ** 2
    entry_bits = np.repeat(bits, RUN)
    classes = []
    for word, b in dict.fromkeys(zip(np.arange(len(entry_bits)) // WORD, entry_bits, strict=True)):
        here = WORD * word + np.flatnonzero(entry_bits[WORD * word : WORD * (word + 1)] == b)
        here = here[here < dim]
        if len(here):
            step = max(1, len(z) * len(here) // CLASS_VALUES)
            found = candidates(np.abs(z[::step, here]).ravel().astype(np.float64), int(b))
            classes.append(Class.of(here, int(b), found, squares, weights))
    taken, fine = choose(classes, words)
    tables, thresholds = np.zeros((words, 128), np.uint8), np.zeros((words, 128), np.float32)
    units = np.zeros(len(spread), np.float32)
    for own, i in zip(classes, taken, strict=True):
        t, unit, first = own.candidates.magnitudes[i], own.candidates.units[i], 2 ** (own.bits - 1)
        tables[own.word, first : 2 * first] = t
        thresholds[own.word, first + 1 : 2 * first] = unit / 2 * (t[1:] + t[:-1] + 1)
        units[own.entries] = unit
    part = FittedSAQ(dim, bits, tables, thresholds, spread, spread * units, fine, 0.0, 0.0, 1.0)
    return _measured(part, sample, z, units, weights)


def _measured(
    part: "FittedSAQ", sample: FloatArray, z: FloatArray, units: FloatArray, weights: Floats
) -> "FittedSAQ":
    """With gains that make every direction unbiased, the tail's share and the distortion.

    z   (n, 64 * words), the sample as levels meet it
    """
    dims = part.dims
    left = (sample[:, dims:].astype(np.float64) ** 2).mean(axis=0)
    tail = 1 - weights[dims : part.dim].sum() / 2 / left.sum() if left.any() else 0.0
    some = slice(None, None, max(1, len(sample) // MEASURED))
    y, z = sample[some], np.ascontiguousarray(z[some])
    ones = np.ones(len(z), np.float32)
    columns, _ = part.layout.encode(z, ones, part.limits, part.gain)
    u = part.layout.levels(columns).astype(np.float64) * units[:dims]
    products, squares = (u * z[:, :dims]).sum(axis=0), (z[:, :dims].astype(np.float64) ** 2).sum(0)
    longer = np.divide(squares, products, out=np.ones(dims), where=products > 0)
    gain = part.gain.copy()
    gain[:dims] *= np.minimum(longer, MOST_LONGER)
    made = replace(part, gain=gain, tail=float(np.clip(tail, 0, 1)))
    found = made.encode(y).approximation.astype(np.float64)
    product, square = (y * found).sum(), (found**2).sum()
    if not product > 0:
        return made
    distortion = 1 - product**2 / (square * (y.astype(np.float64) ** 2).sum())
    distortion = float(np.clip(distortion, 0, MOST_DISTORTION))
    return replace(made, distortion=distortion, shrink=float(product / square))


@final
@dataclass(frozen=True, eq=False)
class FittedSAQ:
    """Codes rows by levels of their own for each class of directions; see the module.

    bits         of each run of eight directions that is coded, whole words
    tables       (words, 128) uint8 magnitudes, those of b bits from 2**(b - 1) on
    thresholds   (words, 128) float32: what |z| passes to have each of them, as they stand
    spread       (64 * words,) float32, sigma_j over the largest
    gain         (64 * words,) float32, what a step of a level is worth
    fine         words of a query that are finer than int8
    tail         of the square norm of what is not coded, the share that the scale makes up for
    distortion, shrink   see FittedQuantizer
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

    ratio: ClassVar[None] = None
    scale: ClassVar[str] = "scale"

    @property
    def dims(self) -> int:
        """Coded directions."""
        return min(self.dim, RUN * len(self.bits))

    @lazy
    def layout(self) -> MixedCodes:
        """See FittedQuantizer."""
        return MixedCodes(self.dims, self.bits, self.tables, self.fine)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Codes and a float32 scale."""
        return (*self.layout.columns, Column("scale", np.dtype(np.float32)))

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
        z, factors = _whitened(v, self.spread)
        columns, sums = self.layout.encode(z, factors, self.limits, self.gain * self.spread)
        coded = square_norms(v[:, : self.dims])
        whole = np.minimum(coded + np.float32(self.tail) * (square_norms(v) - coded), 1)
        columns["scale"] = divide(norms * np.maximum(whole, 0), sums)
        return Encoded(columns, self)

    def expand(self, columns: Mapping[str, Array]) -> FloatArray:
        """See FittedQuantizer."""
        out = np.zeros((len(columns["scale"]), self.dim), np.float32)
        values = self.layout.levels(columns) * self.gain[: self.dims]
        out[:, : self.dims] = values * columns["scale"].reshape(-1, 1)
        return out

    def operand(self, y: FloatArray) -> FloatArray:
        """See FittedQuantizer: what a step of each level is worth, (nq, dims)."""
        return y[:, : self.dims] * self.gain[: self.dims]

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""
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
        }
