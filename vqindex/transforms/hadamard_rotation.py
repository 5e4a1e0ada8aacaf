"""Random rotations in O(d log d) without padding, for any dimension.

With d = width * p, p odd or 12, 20 or 28 and width a power of two, a round is random signs, a
Walsh-Hadamard transform along width and a small orthogonal matrix along p, see
`kernels.reference.hadamard`. That matrix is a Hadamard matrix where p is 1, 12, 20 or 28, which
takes in 384, 640, 768, 896, 1536 and 3072, and else Haar-random, another one each round.

One round leaves a vector of few large entries in few distinct values; after two the entries are
as good as after a Haar-random rotation.

With `block`, runs of so many dimensions are rotated each by itself, and so are the fewer that are
left over: to decode some dimensions takes no others. Energy that lies in few blocks stays there.
Source: ITQ3_S, blocks of 256; signs and a second round are ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np
import numpy.typing as npt

from vqindex.errors import CorruptFileError, SpecError
from vqindex.kernels.cpu import hadamard
from vqindex.kernels.cpu.step import ROTATION, Step
from vqindex.layouts.base import Array, FloatArray
from vqindex.lazy import lazy
from vqindex.memory import address
from vqindex.transforms.base import Number, Orthogonal, check_spec, generator, rows, stored
from vqindex.transforms.dense_rotation import haar

_PALEY_PRIMES = {12: 11, 20: 19, 28: 13}


def paley(order: int) -> npt.NDArray[np.float64]:
    """The Hadamard matrix of order 12, 20 or 28: entries +-1, H @ H.T = order * I.

    From the quadratic residues of a prime q: I + S of order q + 1 where q = 3 mod 4, and of order
    2 (q + 1) from the symmetric S where q = 1 mod 4.
    Source: Paley, On orthogonal matrices, 1933.
    """
    q = _PALEY_PRIMES[order]
    character = np.full(q, -1.0)
    character[np.arange(q) ** 2 % q] = 1
    character[0] = 0
    s = np.zeros((q + 1, q + 1))
    s[0, 1:] = 1
    s[1:, 0] = character[-1]  # -1 mod q is a residue, and s symmetric, where q = 1 mod 4
    s[1:, 1:] = character[np.subtract.outer(np.arange(q), np.arange(q)) % q]
    if q % 4 == 3:
        return np.eye(q + 1) + s
    return np.kron(s, [[1, 1], [1, -1]]) + np.kron(np.eye(q + 1), [[1, -1], [-1, -1]])


def mixing_order(dim: int) -> int:
    """The p of the module: 12, 20 or 28 if dim / 4 has that odd part, else the odd part of dim."""
    power = dim & -dim
    odd = dim // power
    return 4 * odd if power >= 4 and 4 * odd in _PALEY_PRIMES else odd


@final
@dataclass(frozen=True)
class HadamardRotation:
    """Recipe: `rounds` of signs and orthogonal transforms; two are enough for any input.

    block   a power of two: rotate so many dimensions at a time, as the module says; None for all
    """

    rounds: int = 2
    block: int | None = None

    name: ClassVar[str] = "Hadamard"
    options: ClassVar[tuple[str, ...]] = ("block", "rounds")
    sample_size: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if type(self.rounds) is not int or self.rounds < 1:
            raise SpecError(f"rounds must be an integer >= 1, got {self.rounds!r}.")
        size = self.block
        if size is not None and (type(size) is not int or size < 2 or size & (size - 1)):
            raise SpecError(f"block must be a power of two >= 2, got {size!r}.")

    @property
    def spec(self) -> str:
        """See Transform."""
        options = [] if self.block is None else [f"block={self.block}"]
        if self.rounds != 2:
            options.append(f"rounds={self.rounds}")
        return self.name + (f"({','.join(options)})" if options else "")

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> Self:
        """See Transform."""
        check_spec(cls, number, options)
        rounds, block = str(options.get("rounds", 2)), str(options.get("block", 2))
        if not rounds.isdecimal():
            raise SpecError(f"rounds must be an integer >= 1, got {rounds!r}.")
        if not block.isdecimal():
            raise SpecError(f"block must be a power of two >= 2, got {block!r}.")
        return cls(int(rounds), int(block) if "block" in options else None)

    def fit(
        self,
        sample: FloatArray | None,
        dim: int,
        seed: int,
        queries: FloatArray | None = None,
    ) -> "FittedHadamardRotation | FittedBlockRotation":
        """See Transform; nothing is learned.

        Each round draws `dim` signs, integers(0, 2) * 2 - 1, and then, unless p is 1, 12, 20 or
        28, the Gaussian matrix of its Haar-random one; all rounds of one block before the next.
        """
        rng = generator(self.name, seed)
        parts = [_drawn(rng, size, self.rounds) for size in self._sizes(dim)]
        return parts[0] if len(parts) == 1 else FittedBlockRotation(dim, tuple(parts))

    def _sizes(self, dim: int) -> list[int]:
        size = self.block or dim
        return [min(size, dim - start) for start in range(0, dim, size)]

    def restore(
        self, arrays: Mapping[str, Array], dim: int
    ) -> "FittedHadamardRotation | FittedBlockRotation":
        """See Transform."""
        sizes = self._sizes(dim)
        if len(sizes) == 1:
            return FittedHadamardRotation.from_arrays(arrays, dim)
        signs = stored(arrays, "signs", np.int8, 2)
        if signs.shape[1] != dim:
            raise CorruptFileError(f"'signs' must have shape (rounds, {dim}), got {signs.shape}.")
        parts, start = [], 0
        for size in sizes:
            own: dict[str, Array] = {"signs": signs[:, start : start + size]}
            if size == self.block:
                own["mixes"] = np.full((len(signs), 1, 1), size**-0.5, np.float32)
            elif "mixes" in arrays:
                own["mixes"] = arrays["mixes"]
            parts.append(FittedHadamardRotation.from_arrays(own, size))
            start += size
        return FittedBlockRotation(dim, tuple(parts))


def _drawn(rng: np.random.Generator, dim: int, rounds: int) -> "FittedHadamardRotation":
    p = mixing_order(dim)
    signs = np.empty((rounds, dim), np.float32)
    mixes = np.empty((rounds, p, p), np.float32)
    for i in range(rounds):
        signs[i] = rng.integers(0, 2, dim) * 2 - 1
        if p == 1 or p in _PALEY_PRIMES:
            mixes[i] = (paley(p) if p > 1 else 1) / np.sqrt(dim)
        else:
            mixes[i] = haar(rng, p) / np.sqrt(dim // p)
    return FittedHadamardRotation(dim, signs, mixes)


@final
@dataclass(frozen=True, eq=False)
class FittedHadamardRotation(Orthogonal):
    """Rounds of signs and orthogonal transforms; see the module."""

    signs: FloatArray  # (rounds, dim) of +-1
    mixes: FloatArray  # (rounds, p, p), orthogonal matrices over sqrt(dim / p)

    @lazy
    def _forward(self) -> FloatArray:
        return hadamard.pack(self.mixes, self.dim)

    @lazy
    def _backward(self) -> FloatArray:
        return hadamard.pack(self.mixes.transpose(0, 2, 1), self.dim)

    @property
    def step(self) -> Step:
        """See FittedTransform."""
        rounds, order, _ = self.mixes.shape
        each = self._forward[0].nbytes
        return Step(ROTATION, order, rounds, each, address(self.signs), address(self._forward))

    def apply(self, x: FloatArray) -> FloatArray:
        """See FittedTransform."""
        x = rows(x, self.dim)
        out = np.empty_like(x)
        hadamard.rotate(x, out, self.signs, self._forward)
        return out

    def inverse(self, y: FloatArray) -> FloatArray:
        """See FittedTransform."""
        y = rows(y, self.dim)
        out = np.empty_like(y)
        hadamard.unrotate(y, out, self.signs, self._backward)
        return out

    def arrays(self) -> dict[str, Array]:
        """`signs` (rounds, dim) int8 of +-1, `mixes` (rounds, p, p) float32."""
        return {"signs": self.signs.astype(np.int8), "mixes": self.mixes}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], dim: int) -> Self:
        """See FittedTransform."""
        signs = stored(arrays, "signs", np.int8, 2)
        mixes = stored(arrays, "mixes", np.float32, 3)
        rounds, p = len(signs), mixes.shape[2]
        width = dim // max(p, 1)
        if (
            rounds == 0
            or signs.shape != (rounds, dim)
            or mixes.shape != (rounds, p, p)
            or width * p != dim
            or width & (width - 1)
            or (np.abs(signs) != 1).any()
        ):
            raise CorruptFileError(
                f"a Hadamard rotation of {dim} dimensions needs 'signs' of +-1 in shape "
                f"(rounds, {dim}) and 'mixes' (rounds, p, p), {dim} / p a power of two, "
                f"got {signs.shape} and {mixes.shape}."
            )
        return cls(dim, signs.astype(np.float32), mixes)


@final
@dataclass(frozen=True, eq=False)
class FittedBlockRotation(Orthogonal):
    """A rotation of each run of dimensions, all of one size but a shorter last one."""

    parts: tuple[FittedHadamardRotation, ...]

    @property
    def isotropic(self) -> bool:
        """See FittedTransform. What a block's entries measure is its own share of the norm."""
        return False

    def apply(self, x: FloatArray) -> FloatArray:
        """See FittedTransform."""
        return self._each(x, FittedHadamardRotation.apply)

    def inverse(self, y: FloatArray) -> FloatArray:
        """See FittedTransform."""
        return self._each(y, FittedHadamardRotation.inverse)

    def _each(
        self, x: FloatArray, function: Callable[[FittedHadamardRotation, FloatArray], FloatArray]
    ) -> FloatArray:
        x = rows(x, self.dim)
        out, start = np.empty_like(x), 0
        for part in self.parts:
            stop = start + part.dim
            out[:, start:stop] = function(part, x[:, start:stop])
            start = stop
        return out

    def arrays(self) -> dict[str, Array]:
        """`signs` (rounds, dim) int8 of +-1; of a shorter last block `mixes` (rounds, p, p)."""
        parts = [part.arrays() for part in self.parts]
        signs: dict[str, Array] = {"signs": np.concatenate([a["signs"] for a in parts], axis=1)}
        shorter = self.parts[-1].dim < self.parts[0].dim
        return signs | ({"mixes": parts[-1]["mixes"]} if shorter else {})
