"""Scoring: what kernels need to know of the codes of one codec, term by term."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import program
from vqindex.layouts.base import Column, FloatArray
from vqindex.layouts.scalar import ScalarCodes
from vqindex.quantizers.base import FittedQuantizer, Uneven
from vqindex.quantizers.coarse import FittedCoarse
from vqindex.transforms.base import FittedTransform, Orthogonal

BIAS, DRIFT = "bias", "drift"
MOST_NOISE = 0.25  # of a sketch, for the other signs to bound the score without its own
FEWEST_SIGNS = 64  # dimensions from which a sum of signs is near enough to normal

Fields = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Scorer:
    """What kernels need to score the codes of one codec.

    fields   (segments, FIELDS) of every term
    bias     column of the bias, or program.NONE
    ratio    column of the signs' ratio, or program.NONE
    drift    column of the drift, or program.NONE
    signs    segments whose signs bound a score, 0 where signs tell too little
    rated    those of them that the ratio belongs to: the quantizer's
    by_table whether codes are looked up, not multiplied
    error    spread of a score about its estimate from signs, over |q| * scale * ratio, where q is
             the rotated query or, with errors of each coordinate, what they make of it
    spread   spread of the true score about that of the codes, over the same; 0 where none is known
    """

    fields: Fields
    bias: int
    ratio: int
    drift: int
    signs: int
    rated: int
    by_table: bool
    error: float
    spread: float


def scorer(
    columns: Sequence[Column],
    transform: FittedTransform,
    quantizer: FittedQuantizer,
    sketch: FittedQuantizer | None,
    coarse: FittedCoarse | None,
) -> Scorer:
    """The scorer of a codec's parts; a query's share for each follows that of the one before.

    Coarse codes, whose bounds are as good as exact, come after the segments whose signs bound.
    """
    index = {column.name: i for i, column in enumerate(columns)}
    parts, operand = [], 0
    for term in [quantizer] if sketch is None else [quantizer, sketch]:
        scale = index.get(term.scale, program.NONE) if term.scale else program.NONE
        parts.append(term.layout.program(index, scale, operand))
        operand += term.layout.operand_bytes
    signs, error = _signs(parts, transform, quantizer, sketch)
    spread = spread_of(transform, quantizer, sketch) if coarse is None else 0.0
    fields, rated = np.concatenate(parts), len(parts[0])
    if coarse is not None:
        more, at = coarse.layout.program(index, program.NONE, operand), signs or len(fields)
        fields, rated = np.concatenate([fields[:at], more, fields[at:]]), min(rated, at)
        signs += len(more) if signs else 0
    return Scorer(
        fields,
        index.get(BIAS, program.NONE),
        index[quantizer.ratio] if quantizer.ratio else program.NONE,
        index.get(DRIFT, program.NONE),
        signs,
        rated,
        bool((parts[0][:, program.BITS] >= program.NIBBLES).any()),
        error,
        spread,
    )


def _signs(
    parts: Sequence[Fields],
    transform: FittedTransform,
    quantizer: FittedQuantizer,
    sketch: FittedQuantizer | None,
) -> tuple[int, float]:
    """How many segments' signs bound a score, and the error of the estimate they give.

    Signs stand for +-1/2 and err by sqrt(1 - 2 / pi) of a coordinate, those of codes of one
    bit not at all. A sketch's own signs are looked up where they would add much noise else.
    """
    if sign_errors(quantizer, sketch) is not None:
        return 1, 1.0
    bits, words = parts[0][:, program.BITS], parts[0][:, program.WORDS]
    everything = sum(map(len, parts))
    if ((bits == 1) | (bits >= program.NIBBLES) | (words == 0)).all():
        return everything, 0.0
    mixed = transform.isotropic and transform.dim_out >= FEWEST_SIGNS
    if not (bits > 0).all() or not mixed or not quantizer.ratio:
        return 0, 0.0  # an estimate from signs need not err like a normal variable
    error, noise = 0.5 * float(np.sqrt(1 - 2 / np.pi)), _noise(quantizer, sketch)
    if noise > MOST_NOISE:
        return everything, error
    return len(parts[0]), error * float(np.sqrt(1 + noise))


def spread_of(
    transform: FittedTransform, quantizer: FittedQuantizer, sketch: FittedQuantizer | None
) -> float:
    """The error of scores by codes of one scale that are unbiased, their errors like normal ones.

    See Scorer. Of distortion D their relative variance is D / (1 - D); scale * ratio / 2 is what
    signs stand for, so that a coordinate is sqrt(2 / pi) of it.
    """
    left, is_even = quantizer.distortion, isinstance(transform, Orthogonal) and transform.isotropic
    is_even &= transform.dim_out >= FEWEST_SIGNS
    unbiased = quantizer.scale is not None and np.isclose(quantizer.shrink, 1 - left)
    is_plain = sketch is None and sign_errors(quantizer, None) is None
    is_plain &= quantizer.ratio is not None or isinstance(quantizer.layout, ScalarCodes)
    if not (unbiased and is_even and is_plain):
        return 0.0
    return float(np.sqrt(0.5 / np.pi * left / (1 - left)))


def sign_errors(quantizer: FittedQuantizer, sketch: FittedQuantizer | None) -> FloatArray | None:
    """See Uneven; None of a quantizer that is not, and where a sketch follows."""
    return quantizer.sign_errors if isinstance(quantizer, Uneven) and sketch is None else None


def _noise(quantizer: FittedQuantizer, sketch: FittedQuantizer | None) -> float:
    """Variance that a sketch adds to a score, over that of an estimate from signs.

    An unbiased estimate of distortion D has relative variance D / (1 - D), which is pi/2 - 1
    for signs; the sketch's is relative to the residual that it codes.
    """
    if sketch is None:
        return 0.0
    share = sketch.distortion / (1 - sketch.distortion)
    residual = quantizer.distortion / quantizer.shrink
    return residual * share / (np.pi / 2 - 1)
