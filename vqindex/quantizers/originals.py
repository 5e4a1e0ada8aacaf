"""Rows kept as they are: float32, float16, and int8 with one scale a row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from vqindex.errors import NonFiniteError, SpecError
from vqindex.kernels.cpu import encode
from vqindex.layouts.base import Array, Column, FloatArray
from vqindex.layouts.decoded import DecodedCodes
from vqindex.lazy import lazy
from vqindex.quantizers.base import Encoded
from vqindex.transforms.base import Number

_KINDS = {"F32": "f32", "F16": "f16", "SQ8": "i8"}


def to_half(x: FloatArray) -> npt.NDArray[np.float16]:
    """Rows as float16; NonFiniteError where a value is too large for it."""
    with np.errstate(over="ignore"):
        half = x.astype(np.float16)
    if not np.isfinite(half).all():
        raise NonFiniteError("float16 holds values up to 65504; scale the vectors or use float32.")
    return half


@final
@dataclass(frozen=True)
class Originals:
    """Recipe: kind "F32", "F16", or "SQ8": entries scale * (t + 1/2), scale = max |x| / 127.5."""

    kind: str = "F32"

    names: ClassVar[tuple[str, ...]] = ("F32", "F16", "SQ8")
    options: ClassVar[tuple[str, ...]] = ()
    rotation: ClassVar[str] = "None"
    centered: ClassVar[bool] = False
    sample_size: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise SpecError(f"kind must be one of {', '.join(_KINDS)}, got {self.kind!r}.")

    @property
    def sketchable(self) -> bool:
        """See Quantizer."""
        return self.kind == "SQ8"

    @property
    def spec(self) -> str:
        """See Quantizer."""
        return self.kind

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "Originals":
        """The recipe of `F32`, `F16` or `SQ8`."""
        if number is not None:
            raise SpecError(f"{name} takes no further number, got {name} and {number}.")
        return cls(name)

    def fit(
        self, sample: FloatArray | None, dim: int, seed: int, queries: FloatArray | None = None
    ) -> "FittedOriginals":
        """See Quantizer; nothing is learned."""
        return FittedOriginals(dim, _KINDS[self.kind])

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedOriginals":
        """See Quantizer."""
        return FittedOriginals(dim, _KINDS[self.kind])


@final
@dataclass(frozen=True)
class FittedOriginals:
    """Keeps rows; see the module."""

    dim: int
    kind: str
    ratio: ClassVar[None] = None
    distortion: ClassVar[float] = 0.0
    shrink: ClassVar[float] = 1.0

    @lazy
    def layout(self) -> DecodedCodes:
        """Rows as they lie."""
        return DecodedCodes(self.dim, self.kind)

    @property
    def scale(self) -> str | None:
        """See FittedQuantizer."""
        return "scale" if self.kind == "i8" else None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The rows, and a float32 scale for int8."""
        scale = (Column("scale", np.dtype(np.float32)),) if self.scale else ()
        return (*self.layout.columns, *scale)

    def encode(self, y: FloatArray) -> Encoded:
        """See FittedQuantizer."""
        if self.kind == "i8":
            t, scale = np.empty(y.shape, np.int8), np.empty(len(y), np.float32)
            encode.to_bytes(np.ascontiguousarray(y), t, scale)
            return Encoded(self.layout.pack(t) | {"scale": scale}, self, rounded=True)
        if self.kind == "f16":
            return Encoded(self.layout.pack(to_half(y)), self, rounded=True)
        return Encoded(self.layout.pack(y), self)

    def expand(self, columns: Mapping[str, Array]) -> FloatArray:
        """See FittedQuantizer."""
        rows = self.layout.unpack(columns)
        return rows * columns["scale"].reshape(-1, 1) if self.scale else rows

    def operand(self, y: FloatArray) -> FloatArray:
        """See FittedQuantizer."""
        return y

    def arrays(self) -> dict[str, Array]:
        """See FittedQuantizer."""
        return {}
