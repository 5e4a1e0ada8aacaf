"""Codec: a transform, a quantizer and an optional sketch, and the metric they serve.

    score = alpha(q) + bias[i] + sum over terms of scale_t[i] * <operand_t(q), codes_t[i]>

With r = x - c the centred row and T the transform:
    ip       <q, x> = <q, c> + <T q, T r>
    cosine   the same, of rows and queries divided by their norms (a zero vector stays zero)
    l2       -|q - x|^2 = -|q - c|^2 - |r|^2 + 2 <T (q - c), T r>
The norm in the bias is the row's own, not its reconstruction's, so that an unbiased estimate of
the inner product gives an unbiased distance. Codes that round rows and estimate nothing have that
of their reconstruction: distances to it err less, as they do in proportion to |q - x|. So have
codes whose scale makes the reconstruction err least, for they are not unbiased in any case.

Which finds more depends on the rows. Of rows all equally long the own norm is worth knowing; where
codes leave more of some rows than of others, those look near by chance, and the norm of their
reconstruction is against it. R@10, own norm and an unbiased scale, and distances to reconstructions
of least error (scale=biased):

                    EDEN1         EDEN2         EDEN4
    250,000 SIFT    .379  .414    .584  .608    .795  .809
    10,000 texts    .680  .675    .831  .829    .952  .953

A row may be coded from a point near it, its origin o: as r - o. Scores then want <a, o> added, with
a = q, or 2 (q - c) under l2: `Codec.asked`. Coarse codes are origins, with tables of <a, o> as one
more term. Near neighbours are near the same origin, and what codes err by along it, and under other
metrics along c, is known when they are made: the bias takes it away. What is left is the error of
what a query and a row do not share. Rows in lists also say what their signs err by there: the drift
of kernels.cpu.lean.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vqindex.errors import NonFiniteError, ShapeError
from vqindex.kernels.cpu import encode, program
from vqindex.kernels.cpu.step import Gains, Step, Tables
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.layouts.decoded import DecodedCodes
from vqindex.layouts.operands import Operands, prepare
from vqindex.lazy import lazy
from vqindex.memory import address
from vqindex.quantizers.base import (
    FittedQuantizer,
    Nested,
    Summed,
    Told,
    divide,
    inner_products,
    row_norms,
    square_norms,
)
from vqindex.quantizers.coarse import FittedCoarse
from vqindex.quantizers.originals import to_half
from vqindex.scoring import BIAS, DRIFT, Scorer, scorer, sign_errors, spread_of
from vqindex.transforms.base import FittedTransform, Orthogonal

ID = "id"
_TOGETHER = 32  # queries spread together: their tables stay in a cache
MOST_DIMS = 131_072  # of a segment: 128 * 127 * 131,072 < 2**31
MOST_SQUARE = 2.0**120  # of a norm: sums of a few products of two such stay finite in float32


@dataclass(frozen=True)
class Codec:
    """A fitted codec: turns rows into columns, queries into operands, columns into rows.

    residual   whether rows are coded from origins, which `encode` and `decode` are then given
    coarse     what finds them origins, or further ones: its codes are one more term
    """

    metric: str
    dim: int
    center: FloatArray | None
    transform: FittedTransform
    quantizer: FittedQuantizer
    sketch: FittedQuantizer | None
    keep: str | None
    residual: bool = False
    coarse: FittedCoarse | None = None

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
        """Every column of a row: terms, the bias if any, the kept original, the id."""
        columns = [column for term in self._terms for column in term.columns]
        if self.coarse is not None:
            columns += self.coarse.columns
        if self._biased:
            columns.append(Column(BIAS, np.dtype(np.float32)))
        if self._drifts:
            columns.append(Column(DRIFT, np.dtype(np.float16)))
        return (*columns, *self.kept_columns, Column(ID, np.dtype(np.int64)))

    @property
    def _drifts(self) -> bool:
        """Whether estimates from signs are told what they err by along a row's origin."""
        whole = getattr(self.quantizer, "whole", self.quantizer)  # columns are those of all bits
        if not self.residual or self.coarse is not None or whole.ratio is None:
            return False
        return spread_of(self.transform, whole, self.sketch) > 0

    @property
    def _from_origins(self) -> bool:
        return self.residual or self.coarse is not None

    @property
    def _biased(self) -> bool:
        return self._from_origins or (self.metric == "l2" and self._squares is None)

    @lazy
    def _squares(self) -> FloatArray | None:
        """What tables take of a score under l2 in the place of a bias: norms of decoded rows."""
        if self.metric != "l2" or self.sketch is not None or self._from_origins:
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
        return scorer(self.columns, self.transform, self.quantizer, self.sketch, self.coarse)

    @lazy
    def _sign_errors(self) -> FloatArray | None:
        return sign_errors(self.quantizer, self.sketch)

    def centred(self, x: FloatArray) -> FloatArray:
        """Rows (n, dim) float32 as the metric sees them, less the centre; may be x itself."""
        return measured(x, self.metric, self.center)

    def encode(self, x: FloatArray, origins: FloatArray | None = None) -> dict[str, Array]:
        """The columns of rows (n, dim) float32, all but the ids.

        origins   (n, dim) float32, of a residual codec: what is taken off the `centred` rows
        """
        r = self.centred(x)
        coarse, origins = self._origins(r, origins)
        y = self.transform.apply(r if origins is None else r - origins)
        encoded = self.quantizer.encode(y)
        columns = coarse | encoded.columns
        if self._reweighed:
            self._reweigh(y, columns)
        if self.sketch is not None:
            residual = self.quantizer.expand(columns)
            np.subtract(y, residual, out=residual)
            columns.update(self.sketch.encode(residual).columns)
        if self._biased:
            bias = np.zeros(len(r), np.float32)
            if self.metric == "l2":
                bias -= square_norms(r)
                if encoded.rounded and self.sketch is None:
                    bias -= square_norms(encoded.approximation) - square_norms(y)
            if origins is not None:
                known = self.transform.apply_query(self.known(origins))
                bias -= self._known_error(y, known, columns)
                if self._drifts:
                    columns[DRIFT] = self._drift(known, columns)
            columns[BIAS] = bias
        if self._kept is not None:
            columns.update(self._kept.pack(to_half(x) if self.keep == "f16" else x))
        return columns

    def _origins(
        self, r: FloatArray, origins: FloatArray | None
    ) -> tuple[dict[str, Array], FloatArray | None]:
        """The coarse columns of centred rows, and what these are then coded from."""
        if self.coarse is None:
            return {}, origins
        columns = self.coarse.encode(r if origins is None else r - origins)
        points = self.coarse.points(columns)
        return columns, points if origins is None else points + origins

    def known(self, origins: FloatArray) -> FloatArray:
        """What `asked` makes of queries that are at origins (n, dim)."""
        off = 0 if self.center is None else self.center
        return origins * np.float32(2) if self.metric == "l2" else origins + off

    def _known_error(
        self, y: FloatArray, known: FloatArray, columns: Mapping[str, Array]
    ) -> FloatArray:
        """What scores of residuals y err by for queries `known`, transformed: (n,) float32."""
        error = self.quantizer.expand(columns) - y
        if self.sketch is not None:
            error += self.sketch.expand(columns)
        return inner_products(known, error)

    def _drift(self, known: FloatArray, columns: Mapping[str, Array]) -> npt.NDArray[np.float16]:
        """What rows' codes and their signs differ by along `known`, over its size and the spread.

        (n,); signs stand for half a spread, scale * ratio.
        """
        spread = columns[str(self.quantizer.scale)] * columns[str(self.quantizer.ratio)]
        coded = self.quantizer.expand(columns)
        coded -= np.copysign((spread / np.float32(2))[:, None], coded)
        apart = inner_products(known, coded)
        return divide(divide(apart, row_norms(known)), spread).astype(np.float16)

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
        return {column.name: columns[column.name] for column in self.kept_columns}

    @property
    def kept_columns(self) -> tuple[Column, ...]:
        """Those that hold originals."""
        return self._kept.columns if self._kept else ()

    @lazy
    def steps(self) -> tuple[Step, Tables, Gains] | None:
        """How a kernel transforms one query, and what tables or entries it makes of it, if any.

        None where it takes more until a query can be rounded: weights, a sketch, coarse codes.
        """
        step = self.transform.step
        if step is None or self.sketch is not None or self.coarse is not None:
            return None
        if isinstance(self.quantizer, Told):
            return step, *self.quantizer.told(self._squares)
        return (step, Tables(), Gains()) if self.is_bare else None

    @lazy
    def is_bare(self) -> bool:
        """Whether the entries of a query are the transformed query alone."""
        if self.sketch is not None or self.coarse is not None or self._sign_errors is not None:
            return False
        if isinstance(self.quantizer, Told):
            return False
        example = np.linspace(1, 2, self.dim, dtype=np.float32)[None]
        spread = self.quantizer.layout.spread(self.quantizer.operand(example))
        if spread.shape[1] < self.dim:
            return False
        return bool((spread[:, : self.dim] == example).all() and not spread[:, self.dim :].any())

    def asked(self, queries: FloatArray) -> FloatArray:
        """What meets centred rows and their origins, (nq, dim), of queries (nq, dim) float32."""
        if self.metric != "l2":
            return measured(queries, self.metric)
        return measured(queries, "l2", self.center) * np.float32(2)

    def operands(self, queries: FloatArray, asked: FloatArray | None = None) -> Operands:
        """Prepared queries, from (nq, dim) float32, and from what `asked` made of them if known."""
        q = self.asked(queries) if asked is None else asked
        y = self.transform.apply_query(q)
        if self.metric == "l2":
            alpha = square_norms(q) * np.float32(-0.25)
        else:
            alpha = np.zeros(len(q), np.float32)
            if self.center is not None:
                encode.dots(q, address(self.center), alpha)
        parts = (
            self._spread(q[i : i + _TOGETHER], y[i : i + _TOGETHER])
            for i in range(0, max(len(y), 1), _TOGETHER)
        )
        weighted = y if self._sign_errors is None else y * self._sign_errors
        return prepare(self.scorer.fields, parts, alpha, square_norms(weighted))

    def _spread(self, q: FloatArray, y: FloatArray) -> FloatArray:
        """The entries of queries (nq, dim), and transformed ones, as the layouts spread them."""
        entries = [term.operand(y) for term in self._terms]
        if self._squares is not None:
            entries[0] -= self._squares
        spread = [term.layout.spread(part) for term, part in zip(self._terms, entries, strict=True)]
        if self.coarse is not None:
            spread.append(self.coarse.layout.spread(self.coarse.operand(q)))
        return spread[0] if len(spread) == 1 else np.concatenate(spread, axis=1)

    def reconstruct(
        self, columns: Mapping[str, Array], origins: FloatArray | None = None
    ) -> FloatArray:
        """Rows, (n, dim) float32: the originals where they are kept, else as decoded."""
        return self.decode(columns, origins) if self._kept is None else self._kept.unpack(columns)

    def decode(self, columns: Mapping[str, Array], origins: FloatArray | None = None) -> FloatArray:
        """The least-error reconstruction of rows, (n, dim) float32; unit vectors under cosine.

        origins   as `encode` was given them
        """
        y = self.quantizer.expand(columns)
        excess = 1 / self.quantizer.shrink - 1  # of the square norm, where scores are unbiased
        if self.sketch is not None:
            y = y + self.sketch.expand(columns) * np.float32(self.sketch.shrink)
            excess *= self.sketch.distortion
        x = self.transform.inverse(y / np.float32(1 + excess))
        if self.coarse is not None:
            x = x + self.coarse.points(columns)
        if origins is not None:
            x = x + origins
        return x if self.center is None else x + self.center

    def arrays(self) -> dict[str, Array]:
        """What a file must hold to make this again beside the recipe."""
        parts = {"transform": self.transform.arrays(), "quantizer": self.quantizer.arrays()}
        if self.sketch is not None:
            parts["sketch"] = self.sketch.arrays()
        if self.coarse is not None:
            parts["coarse"] = self.coarse.arrays()
        out = {f"{name}.{key}": a for name, part in parts.items() for key, a in part.items()}
        if self.center is not None:
            out["center"] = self.center
        return out

    @property
    def nbytes(self) -> int:
        """Bytes of what was fitted."""
        return sum(array.nbytes for array in self.arrays().values())


def measured(x: FloatArray, metric: str, center: FloatArray | None = None) -> FloatArray:
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
