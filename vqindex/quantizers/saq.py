"""SAQ: principal directions with as many bits each as their variance is worth, one scale a row.

With y a row in principal axes and sigma_j their spreads, the coordinates z_j = y_j / sigma_j, in
units of their own root mean square over the row's coded dimensions, are coded by levels u_j that
fit a sample. A row stands for scale * g_j u_j, g_j = sigma_j / (1 - D_j) with D_j the distortion,
so that every direction is unbiased alike. The scale makes the row's own inner product right,

    scale * sum_j y_j g_j u_j = sum over coded j of y_j^2 + tail * sum over the others of y_j^2

where `tail` is the share of what was not coded that rows and their near neighbours have in common.
Of codes that leave more than half of the square norm some leave far more than others, and rows of
those look near by chance: they have the scale of least error, and l2 is the distance of what a row
stands for. (SIFT at half a bit: .25 of the ten nearest of 250,000 found, not .04.)

Source: SAQ, arXiv 2509.12086, for the allocation of bits to principal directions. Departures: bits
vary every 8 directions, without rotations among them, by the error of near neighbours' scores;
levels are optimal for a sample, not uniform, and there is one scale for all segments, whose units
are chosen so that queries rounded to int8, their first words twice as fine, find what exact queries
do (recall@10 at 4 bits .967 and .925 on MiniLM and SIFT, both ways); and codes are adjusted only
where that is asked for, which is worth most where directions are few.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from vqindex.errors import CorruptFileError, SpecError
from vqindex.layouts.base import Array, FloatArray
from vqindex.layouts.mixed import MOST_BITS, RUN, WORD
from vqindex.quantizers.allocation import (
    allocate,
    asked_differences,
    chance_share,
    near_differences,
    run_costs,
)
from vqindex.quantizers.base import divide, row_norms
from vqindex.quantizers.fitted_saq import FittedSAQ, whitened
from vqindex.quantizers.sampled_levels import Class, candidates, choose
from vqindex.transforms.base import Number, stored

LEAST_SPREAD = 2.0**-10  # of a direction, over the largest: rows unlike the sample stay finite
MOST_FITTED = 1 << 15  # rows of a sample that are made use of: more take time and change nothing
CLASS_VALUES = 1 << 16  # coordinates that a class's levels are fitted to
MEASURED = 4096  # rows of the sample that distortions are measured on
MOST_LONGER = 4  # times a gain may be to be unbiased: more is no estimate of a small sample
MOST_DISTORTION = 0.99
MOST_LEFT = 0.5  # of the square norm, for scales to be unbiased
MOST_WEIGHT = 255  # twice a mean level, at most
PROBES = 64  # rows of the sample that show whether signs spare others
MOST_ROUNDS = 32  # of adjusting
WIDTHS = 3.5  # of the error of an estimate from signs, as searches have it
SPARED = 0.2  # of the rows, at most, whose bounds reach what a search has found already

Floats = npt.NDArray[np.float64]


@final
@dataclass(frozen=True)
class SAQ:
    """Recipe: `bits` a dimension on average, up to 7, and a float32 scale a row.

    adjust   rounds, up to 32, in which a row's codes step up or down where that turns their levels
             towards the row
    Codes take the memory of EDEN's of so many bits, in whole words of 64 a row.
    """

    bits: float = 4
    adjust: int = 0

    names: ClassVar[tuple[str, ...]] = ("SAQ",)
    options: ClassVar[tuple[str, ...]] = ("adjust",)
    rotation: ClassVar[str] = "PCA"
    centered: ClassVar[bool] = True
    sketchable: ClassVar[bool] = True
    sample_size: ClassVar[int] = 16_384

    def __post_init__(self) -> None:
        if type(self.bits) not in (int, float) or not 0 < self.bits <= MOST_BITS:
            raise SpecError(f"bits must be above 0 and up to {MOST_BITS}, got {self.bits!r}.")
        if type(self.adjust) is not int or not 0 <= self.adjust <= MOST_ROUNDS:
            raise SpecError(f"adjust must be 0 to {MOST_ROUNDS} rounds, got {self.adjust!r}.")

    @property
    def spec(self) -> str:
        """See Quantizer."""
        adjust = f"(adjust={self.adjust})" if self.adjust else ""
        return f"SAQ{np.format_float_positional(self.bits, trim='-')}{adjust}"

    @classmethod
    def from_spec(cls, name: str, bits: Number, options: Mapping[str, object]) -> "SAQ":
        """The recipe of `SAQ<b>`, b an integer or a fraction, with option `adjust`."""
        if not isinstance(bits, int | float):
            raise SpecError(f"{name} needs its bits, such as {name}4 or {name}2.5.")
        rounds = str(options.get("adjust", 0))
        if not rounds.isdecimal():
            raise SpecError(f"adjust must be 0 to {MOST_ROUNDS} rounds, got {rounds!r}.")
        return cls(bits, int(rounds))

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> FittedSAQ:
        """See Quantizer; SpecError without a sample."""
        if sample is None:
            raise SpecError("SAQ learns its levels from rows: it needs a sample.")
        sample = sample[:: max(1, -(-len(sample) // MOST_FITTED))]
        words = -(-dim // WORD)
        variances, weights = np.zeros((2, WORD * words))
        variances[:dim] = (sample.astype(np.float64) ** 2).mean(axis=0)
        near = near_differences(sample)
        weights[:dim] = near if queries is None else asked_differences(sample, queries)
        chance = chance_share(sample, variances[:dim])
        for each in (variances[:dim], weights[:dim])[: 2 if queries is None else 1]:
            each += chance * (each.mean() - each)
        bits = allocate(run_costs(variances, weights), self._budget(dim))
        spread = np.sqrt(variances[: RUN * len(bits)])
        spread = np.maximum(divide(spread, spread.max()), np.float32(LEAST_SPREAD))
        return _learn(sample, bits, spread, weights, near, self.bits >= 2, self.adjust)

    def _budget(self, dim: int) -> int:
        """Bytes of a row's codes."""
        return 8 * max(1, int(self.bits * -(-dim // WORD)))

    def restore(self, arrays: Mapping[str, Array], dim: int) -> FittedSAQ:
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
            "sign_weights": (np.int32, (width,)),
        }
        found = {k: stored(arrays, k, kind, len(shape)) for k, (kind, shape) in kinds.items()}
        fine, tail, distortion, shrink = (
            found[name].item() for name in ("fine", "tail", "distortion", "shrink")
        )
        errors = stored(arrays, "sign_errors", np.float32, 1)
        coarse = "coarse" in arrays and int(stored(arrays, "coarse", np.uint8, 0))
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
            or not ((found["sign_weights"] > 0) & (found["sign_weights"] <= MOST_WEIGHT)).all()
            or errors.shape not in ((0,), (dim,))
            or (errors < 0).any()
            or coarse not in (0, 1)
        ):
            raise CorruptFileError("arrays of SAQ do not fit each other or the dimension.")
        return FittedSAQ(
            dim, bits, found["tables"], found["thresholds"], found["spread"], found["gain"],
            fine, tail, distortion, shrink, found["sign_weights"], errors if len(errors) else None,
            bool(coarse), self.adjust,
        )  # fmt: skip


def _learn(
    sample: FloatArray,
    bits: tuple[int, ...],
    spread: FloatArray,
    weights: Floats,
    near: Floats,
    bounded: bool,
    rounds: int,
) -> FittedSAQ:
    """The quantizer of given bits: levels of each class, then what is measured of them.

    weights   (64 * words,), what an error of each direction costs
    near      (dim,), see near_differences
    bounded   whether there is room for what signs need to bound a score
    """
    dim, words = sample.shape[1], len(bits) * RUN // WORD
    z, factors = whitened(divide(sample, row_norms(sample)[:, None]), spread)
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
    part = FittedSAQ(
        dim, bits, tables, thresholds, spread, spread * units, fine, 0.0, 0.0, 1.0,
        np.ones(len(spread), np.int32), None, rounds=rounds,
    )  # fmt: skip
    made = _measured(part, sample, z, units, near)
    return _signed(made, sample, z) if bounded and dim >= WORD else made


def _measured(
    part: FittedSAQ, sample: FloatArray, z: FloatArray, units: FloatArray, near: Floats
) -> FittedSAQ:
    """With gains that make every direction unbiased, the tail's share and the distortion.

    z   (n, 64 * words), the sample as levels meet it
    """
    dims = part.dims
    left = (sample[:, dims:].astype(np.float64) ** 2).mean(axis=0)
    tail = 1 - near[dims:].sum() / 2 / left.sum() if left.any() else 0.0
    some = slice(None, None, max(1, len(sample) // MEASURED))
    y, z = sample[some], np.ascontiguousarray(z[some])
    ones = np.ones(len(z), np.float32)
    columns, _ = part.layout.encode(z, ones, part.limits, part.weights)
    u = part.layout.levels(columns).astype(np.float64) * units[:dims]
    products, squares = (u * z[:, :dims]).sum(axis=0), (z[:, :dims].astype(np.float64) ** 2).sum(0)
    longer = np.divide(squares, products, out=np.ones(dims), where=products > 0)
    gain = part.gain.copy()
    gain[:dims] *= np.minimum(longer, MOST_LONGER)
    made = replace(part, gain=gain, tail=float(np.clip(tail, 0, 1)))
    made = _rated(made, y)
    return _rated(replace(made, coarse=True), y) if made.distortion > MOST_LEFT else made


def _rated(part: FittedSAQ, y: FloatArray) -> FittedSAQ:
    """With the distortion and what shrinks least-error reconstructions, as of rows y."""
    found = part.encode(y).approximation.astype(np.float64)
    product, square = (y * found).sum(), (found**2).sum()
    if not product > 0:
        return part
    distortion = 1 - product**2 / (square * (y.astype(np.float64) ** 2).sum())
    distortion = float(np.clip(distortion, 0, MOST_DISTORTION))
    return replace(part, distortion=distortion, shrink=float(product / square))


def _signed(part: FittedSAQ, sample: FloatArray, z: FloatArray) -> FittedSAQ:
    """With mean levels and errors of signs, unless their bounds would spare too few rows."""
    dims = part.dims
    gain = np.where(part.gain > 0, part.gain, 1)
    weights = np.rint(2 * np.abs(z).mean(axis=0) * part.spread / gain)
    made = replace(part, sign_weights=np.clip(weights, 1, MOST_WEIGHT).astype(np.int32))
    some = slice(None, None, max(1, len(sample) // MEASURED))
    y = sample[some].astype(np.float64)
    means = np.where(y[:, :dims] < 0, -1, 1) * (made.gain * made.sign_weights / 2)[:dims]
    squares, products = y**2, (y[:, :dims] * means).sum(axis=1)
    coded = squares[:, :dims].sum(axis=1)
    length = coded + part.tail * (squares.sum(axis=1) - coded)
    y, means, squares, own = (
        a[products > 0] for a in (y, means, squares, length / np.where(products > 0, products, 1))
    )
    if not len(y):
        return part
    left = y / own[:, None]
    left[:, :dims] -= means
    errors = np.sqrt((left**2).mean(axis=0))
    asked = y[:: max(1, len(y) // PROBES)]
    norms = squares.sum(axis=1)
    nearest = np.partition(2 * asked @ y.T - norms, -2, axis=1)[:, -2:-1] if len(y) > 1 else 0.0
    slack = WIDTHS * np.sqrt(asked**2 @ errors**2)
    bounds = 2 * own * (asked[:, :dims] @ means.T + slack[:, None]) - norms
    if (bounds >= nearest).mean() > SPARED:
        return part
    return replace(made, sign_errors=errors.astype(np.float32))
