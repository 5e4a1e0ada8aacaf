"""No transform: vectors as they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, final

from vqindex.kernels.cpu.step import AS_IS, Step
from vqindex.layouts.base import Array, FloatArray
from vqindex.transforms.base import Number, Orthogonal, check_spec, rows


@final
@dataclass(frozen=True)
class Identity:
    """Recipe: leave vectors as they are."""

    name: ClassVar[str] = "None"
    options: ClassVar[tuple[str, ...]] = ()
    sample_size: ClassVar[int] = 0

    @property
    def spec(self) -> str:
        """See Transform."""
        return self.name

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> Self:
        """See Transform."""
        check_spec(cls, number, options)
        return cls()

    def fit(
        self,
        sample: FloatArray | None,
        dim: int,
        seed: int,
        queries: FloatArray | None = None,
    ) -> "FittedIdentity":
        """See Transform; nothing is learned and nothing is random."""
        return FittedIdentity(dim)

    def restore(self, arrays: Mapping[str, Array], dim: int) -> "FittedIdentity":
        """See Transform."""
        return FittedIdentity.from_arrays(arrays, dim)


@final
@dataclass(frozen=True, eq=False)
class FittedIdentity(Orthogonal):
    """y = x, the same array."""

    @property
    def isotropic(self) -> bool:
        """See FittedTransform; coordinates are what the user's are."""
        return False

    @property
    def step(self) -> Step:
        """See FittedTransform."""
        return Step(AS_IS)

    def apply(self, x: FloatArray) -> FloatArray:
        """See FittedTransform."""
        return rows(x, self.dim)

    def inverse(self, y: FloatArray) -> FloatArray:
        """See FittedTransform."""
        return rows(y, self.dim)

    def arrays(self) -> dict[str, Array]:
        """See FittedTransform; none."""
        return {}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], dim: int) -> Self:
        """See FittedTransform."""
        return cls(dim)
