"""QJL: the signs of a random projection, an unbiased estimator of inner products.

    <q, e> ~ |e| / (m c) * sum_j (S q)_j sign(S e)_j,  c = E |(S e)_j| / |e|

S has m rows. Gaussian rows (the paper) have c = sqrt(2/pi); rows of random orthogonal matrices
times sqrt(d) estimate better, and c = sqrt(d) Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2)). The query is
not rounded to signs. As a sketch it codes the residual of a quantizer; alone it codes rows.

Source: QJL, arXiv 2406.03482, Definition 3.1 and Lemma 3.2; with a quantizer before it,
TurboQuant_prod, arXiv 2504.19874, Alg. 2.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from vqindex.errors import SpecError
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.layouts.sign import SignCodes
from vqindex.lazy import lazy
from vqindex.quantizers.base import Encoded, row_norms
from vqindex.transforms.base import FittedTransform, Number, Transform
from vqindex.transforms.dense_rotation import DenseRotation
from vqindex.transforms.hadamard_rotation import HadamardRotation

Projection = Literal["orthogonal", "gaussian"]


@final
@dataclass(frozen=True)
class QJL:
    """Recipe: `bits` signs, one a dimension if None, of an "orthogonal" (fast) or "gaussian" S."""

    bits: int | None = None
    projection: Projection = "orthogonal"

    names: ClassVar[tuple[str, ...]] = ("QJL",)
    options: ClassVar[tuple[str, ...]] = ("projection",)
    rotation: ClassVar[str] = "None"
    centered: ClassVar[bool] = False
    sketchable: ClassVar[bool] = True
    sample_size: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.bits is not None and (type(self.bits) is not int or self.bits < 1):
            raise SpecError(f"QJL needs at least one bit, got {self.bits!r}.")
        if self.projection not in ("orthogonal", "gaussian"):
            raise SpecError(f"projection must be orthogonal or gaussian, got {self.projection!r}.")

    @property
    def spec(self) -> str:
        """See Quantizer."""
        options = "" if self.projection == "orthogonal" else f"(projection={self.projection})"
        return f"QJL{self.bits or ''}{options}"

    @classmethod
    def from_spec(cls, name: str, bits: Number, options: Mapping[str, object]) -> "QJL":
        """The recipe of `QJL<m>` or `QJL`."""
        return cls(bits, options.get("projection", "orthogonal"))  # type: ignore[arg-type]

    def fit(
        self,
        sample: FloatArray | None,
        dim: int,
        seed: int,
        queries: FloatArray | None = None,
        prefix: str = "",
    ) -> "FittedQJL":
        """See Quantizer; nothing is learned. `prefix` keeps a sketch's columns apart."""
        bits = self.bits or dim
        count = -(-bits // dim)
        entropy = [seed, 0x514A4C, *prefix.encode()]  # a sketch of a QJL needs an S of its own
        seeds = np.random.SeedSequence(entropy).generate_state(count)
        if self.projection == "orthogonal":
            rotation = _rotation(dim)
            blocks = tuple(rotation.fit(None, dim, int(s)) for s in seeds)
        else:
            blocks = tuple(_gaussian(dim, int(s)) for s in seeds)
        return FittedQJL(dim, bits, self.projection, blocks, prefix)

    def restore(self, arrays: Mapping[str, Array], dim: int, prefix: str = "") -> "FittedQJL":
        """See Quantizer."""
        rotation = _rotation(dim) if self.projection == "orthogonal" else DenseRotation()
        blocks = []
        bits = self.bits or dim
        for i in range(-(-bits // dim)):
            start = f"block{i}."
            own = {k[len(start) :]: v for k, v in arrays.items() if k.startswith(start)}
            blocks.append(rotation.restore(own, dim))
        return FittedQJL(dim, bits, self.projection, tuple(blocks), prefix)


def _rotation(dim: int) -> Transform:
    """Fast where it is as good as uniform: in few dimensions its rows take few directions."""
    return HadamardRotation() if dim >= 128 else DenseRotation()


def _gaussian(dim: int, seed: int) -> FittedTransform:
    matrix = np.random.default_rng(seed).standard_normal((dim, dim)).astype(np.float32)
    return DenseRotation().restore({"matrix": matrix}, dim)


@final
@dataclass(frozen=True)
class FittedQJL:
    """Signs of a fixed projection: blocks of d rows, the last one cut short; see the module."""

    dim: int
    bits: int
    projection: Projection
    blocks: tuple[FittedTransform, ...]
    prefix: str = ""
    ratio: ClassVar[None] = None

    @lazy
    def layout(self) -> SignCodes:
        """One sign a projected dimension."""
        return SignCodes(self.bits, self.prefix)

    @property
    def scale(self) -> str:
        """See FittedQuantizer."""
        return f"{self.prefix}scale"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Signs and a float32 scale."""
        return (*self.layout.columns, Column(self.scale, np.dtype(np.float32)))

    @lazy
    def mean_magnitude(self) -> float:
        """c of the module: E |(S e)_j| for a unit vector e."""
        if self.projection == "gaussian":
            return math.sqrt(2 / math.pi)
        d = self.dim
        ratio = math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2))
        return math.sqrt(d) * ratio / math.sqrt(math.pi)

    @property
    def _unit(self) -> np.float32:
        return np.float32(math.sqrt(self.dim) if self.projection == "orthogonal" else 1)

    def operand(self, y: FloatArray) -> FloatArray:
        """See FittedQuantizer: S y, (nq, bits)."""
        parts = [block.apply(y) * self._unit for block in self.blocks]
        return np.ascontiguousarray(np.concatenate(parts, axis=1)[:, : self.bits])

    def encode(self, y: FloatArray) -> Encoded:
        """See FittedQuantizer."""
        parts = [block.apply(y) for block in self.blocks]  # the unit of `operand` has no sign
        projected = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        columns = self.layout.encode(projected)
        norms = row_norms(y)
        columns[self.scale] = norms * np.float32(2 / (self.bits * self.mean_magnitude))
        return Encoded(columns, self)

    def expand(self, columns: Mapping[str, Array]) -> FloatArray:
        """See FittedQuantizer: S^T signs, scaled."""
        signs = np.where(self.layout.unpack(columns), np.float32(-0.5), np.float32(0.5))
        padded = np.zeros((len(signs), len(self.blocks) * self.dim), np.float32)
        padded[:, : self.bits] = signs
        total = np.zeros((len(signs), self.dim), np.float32)
        for i, block in enumerate(self.blocks):
            total += block.inverse(padded[:, i * self.dim : (i + 1) * self.dim].copy())
        return total * self._unit * columns[self.scale].reshape(-1, 1)

    @lazy
    def shrink(self) -> float:
        """See FittedQuantizer: |e|^2 over the expected square norm of `expand`.

        A block of m_b of the m rows adds (m_b / m)^2 (d / (m_b c^2) - 1) to the relative square
        norm 1 of an orthogonal projection; a Gaussian one has 1 + (d - c^2) / (m c^2).
        """
        square = 1.0
        c2 = self.mean_magnitude**2
        if self.projection == "gaussian":
            return 1 / (1 + (self.dim - c2) / (self.bits * c2))
        for i in range(len(self.blocks)):
            rows = min(self.dim, self.bits - i * self.dim)
            square += (rows / self.bits) ** 2 * (self.dim / (rows * c2) - 1)
        return 1 / square

    @property
    def distortion(self) -> float:
        """See FittedQuantizer."""
        return 1 - self.shrink

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""
        return {
            f"block{i}.{name}": array
            for i, block in enumerate(self.blocks)
            for name, array in block.arrays().items()
        }
