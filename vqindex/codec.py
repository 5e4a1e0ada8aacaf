"""Codec: a transform, a quantizer and an optional sketch, and the metric they serve.

    score = alpha(q) + bias[i] + sum over terms of scale_t[i] * <operand_t(q), codes_t[i]>

With r = x - c the centred row and T the transform:
    ip       <q, x> = <q, c> + <T q, T r>
    cosine   the same, of rows and queries divided by their norms (a zero vector stays zero)
    l2       -|q - x|^2 = -|q - c|^2 - |r|^2 + 2 <T (q - c), T r>
The norm in the bias is the row's own, not its reconstruction's, so that an unbiased estimate of
the inner product gives an unbiased distance. Codes that round rows and estimate nothing have that
of their reconstruction: distances to it err less, as they do in proportion to |q - x|.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vqindex.errors import CorruptFileError, NonFiniteError, ShapeError, SpecError
from vqindex.kernels.cpu import encode, program
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.layouts.decoded import DecodedCodes
from vqindex.layouts.operands import Operands, prepare
from vqindex.lazy import lazy
from vqindex.memory import address
from vqindex.quantizers.base import (
    FittedQuantizer,
    Nested,
    Quantizer,
    Summed,
    Uneven,
    divide,
    row_norms,
    square_norms,
)
from vqindex.quantizers.originals import to_half
from vqindex.sketches.qjl import QJL
from vqindex.transforms.base import FittedTransform, Orthogonal, Transform, stored

ID = "id"
MOST_NOISE = 0.25  # of a sketch, for the other signs to bound the score without its own
BIAS = "bias"
FEWEST_SIGNS = 64  # dimensions from which a sum of signs is near enough to normal
MOST_DIMS = 131_072  # of a segment: 128 * 127 * 131,072 < 2**31
MOST_SQUARE = 2.0**120  # of a norm: sums of a few products of two such stay finite in float32


@dataclass(frozen=True)
class Recipe:
    """What an index is made of, before it has seen a row."""

    metric: str
    transform: Transform
    quantizer: Quantizer
    sketch: QJL | None
    keep: str | None
    seed: int

    def __post_init__(self) -> None:
        if self.sketch is not None and not self.quantizer.sketchable:
            raise SpecError(
                f"{self.quantizer.spec} takes no sketch: it meets float32 queries and a sketch "
                f"int8 ones; leave +{self.sketch.spec} out."
            )

    @property
    def spec(self) -> str:
        """The factory string of such an index."""
        default = self.quantizer.rotation
        parts = [] if self.transform.spec == default else [self.transform.spec]
        sketch = f"+{self.sketch.spec}" if self.sketch else ""
        parts.append(f"{self.quantizer.spec}{sketch}")
        if self.keep:
            parts.append(f"Keep({self.keep})")
        return ",".join(parts)

    def check_bits(self, bits: int) -> None:
        """Raise SpecError unless rows can be searched by the first `bits` bits of their codes."""
        most = getattr(self.quantizer, "prefix_bits", 0)
        if self.sketch is not None or not most:
            raise SpecError(f"the codes of {self.spec} are read whole: leave bits={bits} out.")
        if not 1 <= bits <= most:
            raise SpecError(
                f"bits must be 1 to {most} of the codes of {self.spec}, or None for all of them, "
                f"got {bits}."
            )

    @property
    def sample_size(self) -> int:
        """Rows that fitting wants; 0 when nothing is learned from data."""
        return max(int(self.transform.sample_size), int(self.quantizer.sample_size))

    def fit(
        self, sample: FloatArray | None, dim: int, queries: FloatArray | None = None
    ) -> "Codec":
        """Fit every part.

        sample    (n, dim) float32, or None if nothing is learned
        queries   (nq, dim) float32 such as will be asked, or None if none are known
        """
        center = None
        if sample is not None:
            sample = _measured(sample, self.metric)
            if self.quantizer.centered:
                center = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
                sample = sample - center
        if queries is not None:
            shift = center if self.metric == "l2" else None
            queries = _measured(queries, self.metric, shift)
        transform = self.transform.fit(sample, dim, self.seed, queries)
        if sample is not None:
            sample = transform.apply(sample)
        quantizer = self.quantizer.fit(sample, transform.dim_out, self.seed)
        sketch = None
        if self.sketch is not None:
            sketch = self.sketch.fit(None, transform.dim_out, self.seed, "sketch_")
        return Codec(self.metric, dim, center, transform, quantizer, sketch, self.keep)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "Codec":
        """The codec whose `arrays()` these are."""

        def part(name: str) -> dict[str, Array]:
            start = f"{name}."
            return {k[len(start) :]: v for k, v in arrays.items() if k.startswith(start)}

        transform = self.transform.restore(part("transform"), dim)
        quantizer = self.quantizer.restore(part("quantizer"), transform.dim_out)
        sketch = None
        if self.sketch is not None:
            sketch = self.sketch.restore(part("sketch"), transform.dim_out, "sketch_")
        center = None
        if self.quantizer.centered:
            center = stored(arrays, "center", np.float32, 1)
            if center.shape != (dim,):
                raise CorruptFileError(f"'center' must have shape {(dim,)}, got {center.shape}.")
        return Codec(self.metric, dim, center, transform, quantizer, sketch, self.keep)


@dataclass(frozen=True)
class Scorer:
    """What kernels need to score the codes of one codec.

    fields   (segments, FIELDS) of every term
    bias     column of the bias, or program.NONE
    ratio    column of the signs' ratio, or program.NONE
    signs    segments whose signs bound a score, 0 where signs tell too little
    rated    those of them that the ratio belongs to: the quantizer's
    by_table whether codes are looked up, not multiplied
    error    spread of a score about its estimate from signs, over |q| * scale * ratio, where q is
             the rotated query or, with errors of each coordinate, what they make of it
    """

    fields: npt.NDArray[np.int64]
    bias: int
    ratio: int
    signs: int
    rated: int
    by_table: bool
    error: float


@dataclass(frozen=True)
class Codec:
    """A fitted codec: turns rows into columns, queries into operands, columns into rows."""

    metric: str
    dim: int
    center: FloatArray | None
    transform: FittedTransform
    quantizer: FittedQuantizer
    sketch: FittedQuantizer | None
    keep: str | None

    def __post_init__(self) -> None:
        integer = self.scorer.fields[:, program.BITS] >= program.BYTE_ROWS
        widest = 64 * int(self.scorer.fields[integer, program.WORDS].max(initial=0))
        if widest > MOST_DIMS:
            raise ShapeError(
                f"codes are summed in int32, exact up to {MOST_DIMS:,} dimensions or sketch bits, "
                f"got {widest:,} (rounded up to 64): use F32 or F16, or fewer dimensions."
            )

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # no addresses

    def at(self, bits: int | None) -> "Codec":
        """What searches the same rows by the first bits of codes, as check_bits allows; or all."""
        if bits is None or not isinstance(self.quantizer, Nested):
            return self
        if bits not in self._prefixes:
            self._prefixes[bits] = replace(self, quantizer=self.quantizer.at(bits))
        return self._prefixes[bits]

    @lazy
    def _prefixes(self) -> dict[int, "Codec"]:
        return {}

    @property
    def _terms(self) -> list[FittedQuantizer]:
        return [self.quantizer] if self.sketch is None else [self.quantizer, self.sketch]

    @lazy
    def columns(self) -> tuple[Column, ...]:
        """Every column of a row: terms, the bias under l2, the kept original, the id."""
        columns = [column for term in self._terms for column in term.columns]
        if self.metric == "l2" and self._squares is None:
            columns.append(Column(BIAS, np.dtype(np.float32)))
        kept = self._kept.columns if self._kept else ()
        return (*columns, *kept, Column(ID, np.dtype(np.int64)))

    @lazy
    def _squares(self) -> FloatArray | None:
        """What tables take of a score under l2 in the place of a bias: norms of decoded rows."""
        if self.metric != "l2" or self.sketch is not None:
            return None
        if not (isinstance(self.quantizer, Summed) and isinstance(self.transform, Orthogonal)):
            return None
        return self.quantizer.squares

    @lazy
    def _kept(self) -> DecodedCodes | None:
        return DecodedCodes(self.dim, self.keep, "kept_") if self.keep else None

    @lazy
    def scorer(self) -> Scorer:
        """See Scorer."""
        index = {column.name: i for i, column in enumerate(self.columns)}
        parts, operand = [], 0
        for term in self._terms:
            scale = index.get(term.scale, program.NONE) if term.scale else program.NONE
            parts.append(term.layout.program(index, scale, operand))
            operand += term.layout.operand_bytes
        ratio = self.quantizer.ratio
        signs, error = self._signs(parts)
        return Scorer(
            np.concatenate(parts),
            index.get(BIAS, program.NONE),
            index[ratio] if ratio else program.NONE,
            signs,
            len(parts[0]),
            bool((parts[0][:, program.BITS] >= program.NIBBLES).any()),
            error,
        )

    def _signs(self, parts: list[npt.NDArray[np.int64]]) -> tuple[int, float]:
        """How many segments' signs bound a score, and the error of the estimate they give.

        Signs stand for +-1/2 and err by sqrt(1 - 2 / pi) of a coordinate, those of codes of one
        bit not at all. A sketch's own signs are looked up where they would add much noise else.
        """
        if self._sign_errors is not None:
            return 1, 1.0
        bits, words = parts[0][:, program.BITS], parts[0][:, program.WORDS]
        everything = sum(map(len, parts))
        if ((bits == 1) | (bits >= program.NIBBLES) | (words == 0)).all():
            return everything, 0.0
        mixed = self.transform.isotropic and self.transform.dim_out >= FEWEST_SIGNS
        if not (bits > 0).all() or not mixed or not self.quantizer.ratio:
            return 0, 0.0  # an estimate from signs need not err like a normal variable
        error, noise = 0.5 * float(np.sqrt(1 - 2 / np.pi)), self._sketch_noise
        if noise > MOST_NOISE:
            return everything, error
        return len(parts[0]), error * float(np.sqrt(1 + noise))

    @lazy
    def _sign_errors(self) -> FloatArray | None:
        uneven = isinstance(self.quantizer, Uneven) and self.sketch is None
        return self.quantizer.sign_errors if uneven else None  # type: ignore[attr-defined]

    @property
    def _sketch_noise(self) -> float:
        """Variance that the sketch adds to a score, over that of an estimate from signs.

        An unbiased estimate of distortion D has relative variance D / (1 - D), which is pi/2 - 1
        for signs; the sketch's is relative to the residual that it codes.
        """
        if self.sketch is None:
            return 0.0
        share = self.sketch.distortion / (1 - self.sketch.distortion)
        residual = self.quantizer.distortion / self.quantizer.shrink
        return residual * share / (np.pi / 2 - 1)

    def encode(self, x: FloatArray) -> dict[str, Array]:
        """The columns of rows (n, dim) float32, all but the ids."""
        r = _measured(x, self.metric, self.center)
        y = self.transform.apply(r)
        encoded = self.quantizer.encode(y)
        columns = dict(encoded.columns)
        if self._reweighed:
            self._reweigh(y, columns)
        if self.sketch is not None:
            residual = self.quantizer.expand(columns)
            np.subtract(y, residual, out=residual)
            columns.update(self.sketch.encode(residual).columns)
        if self.metric == "l2" and self._squares is None:
            squares = square_norms(r)
            if encoded.rounded and self.sketch is None:
                squares += square_norms(encoded.approximation) - square_norms(y)
            columns[BIAS] = -squares
        if self._kept is not None:
            columns.update(self._kept.pack(to_half(x) if self.keep == "f16" else x))
        return columns

    @property
    def _reweighed(self) -> bool:
        """Whether the quantizer's scale is unbiased but for weights that it does not know."""
        unbiased = self.quantizer.shrink != 1 and self.quantizer.scale is not None
        return unbiased and self.transform.weights is not None

    def _reweigh(self, y: FloatArray, columns: dict[str, Array]) -> None:
        """Make the error of each row orthogonal to it where coordinates have weights.

        That leaves no error in the score of a query that is the row itself.
        """
        name = str(self.quantizer.scale)
        own = y * np.asarray(self.transform.weights, np.float64)
        whole, coded = ((own * x).sum(axis=1) for x in (y, self.quantizer.expand(columns)))
        factor = divide(whole, coded).reshape(columns[name].shape)
        columns[name] = columns[name] * factor

    def kept(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """The columns that hold originals, as they are."""
        names = [column.name for column in self._kept.columns] if self._kept else []
        return {name: columns[name] for name in names}

    def operands(self, queries: FloatArray) -> Operands:
        """Prepared queries, from (nq, dim) float32."""
        q = _measured(queries, self.metric)
        if self.metric == "l2":
            r = q if self.center is None else q - self.center
            alpha = -square_norms(r)
            y = self.transform.apply_query(r) * np.float32(2)
        else:
            alpha = np.zeros(len(q), np.float32)
            if self.center is not None:
                encode.dots(q, address(self.center), alpha)
            y = self.transform.apply_query(q)
        entries = [term.operand(y) for term in self._terms]
        if self._squares is not None:
            entries[0] -= self._squares
        spread = [term.layout.spread(part) for term, part in zip(self._terms, entries, strict=True)]
        values = spread[0] if len(spread) == 1 else np.concatenate(spread, axis=1)
        if self._sign_errors is not None:
            y = y * self._sign_errors
        return prepare(self.scorer.fields, values, alpha, square_norms(y))

    def reconstruct(self, columns: Mapping[str, Array]) -> FloatArray:
        """Rows, (n, dim) float32: the originals where they are kept, else as decoded."""
        return self.decode(columns) if self._kept is None else self._kept.unpack(columns)

    def decode(self, columns: Mapping[str, Array]) -> FloatArray:
        """The least-error reconstruction of rows, (n, dim) float32; unit vectors under cosine."""
        y = self.quantizer.expand(columns)
        excess = 1 / self.quantizer.shrink - 1  # of the square norm, where scores are unbiased
        if self.sketch is not None:
            y = y + self.sketch.expand(columns) * np.float32(self.sketch.shrink)
            excess *= self.sketch.distortion
        x = self.transform.inverse(y / np.float32(1 + excess))
        return x if self.center is None else x + self.center

    def arrays(self) -> dict[str, Array]:
        """What a file must hold to make this again beside the recipe."""
        parts = {"transform": self.transform.arrays(), "quantizer": self.quantizer.arrays()}
        if self.sketch is not None:
            parts["sketch"] = self.sketch.arrays()
        out = {f"{name}.{key}": a for name, part in parts.items() for key, a in part.items()}
        if self.center is not None:
            out["center"] = self.center
        return out

    @property
    def nbytes(self) -> int:
        """Bytes of what was fitted."""
        return sum(array.nbytes for array in self.arrays().values())


def _measured(x: FloatArray, metric: str, center: FloatArray | None = None) -> FloatArray:
    """Rows as the metric sees them, divided by their norms under cosine, less the centre.

    May be x itself. Raises NonFiniteError for rows so long that scores under another metric would
    overflow.
    """
    if metric != "cosine":
        if (square_norms(x) > MOST_SQUARE).any():
            raise NonFiniteError(
                f"under {metric!r} vectors must have norms up to 1e18, or distances overflow "
                f"float32; got entries up to {np.abs(x).max():.3g}: scale all vectors alike."
            )
        return x if center is None else x - center
    origin = np.zeros(x.shape[1], np.float32) if center is None else center
    out, norms = np.empty_like(x), np.empty(len(x), np.float32)
    if encode.normalize(x, origin, norms, out):  # powers of two scale exactly
        odd = np.flatnonzero(~((norms > 1e-15) & (norms < 1e15)))
        scaled = np.ldexp(x[odd], -np.frexp(np.abs(x[odd]).max(axis=1, keepdims=True))[1])
        out[odd] = divide(scaled, row_norms(scaled)[:, None]) - origin
    return out
