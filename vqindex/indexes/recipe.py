"""What an index is made of, before it has seen a row: a codec, lists, and codes to rerank with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from vqindex.errors import SpecError
from vqindex.layouts.base import FloatArray
from vqindex.quantizers.base import Quantizer
from vqindex.quantizers.options import spelled, whole
from vqindex.quantizers.originals import Originals, to_half
from vqindex.recipe import Recipe
from vqindex.transforms import default_transform
from vqindex.transforms.base import Number
from vqindex.transforms.identity import Identity

ROWS_EACH = 32  # rows for each list that fitting waits for
AUTO_ROWS = 65_536  # ... where the number of lists is left open
MOST_LISTS = 65_536
MOST_SPILL = 7  # further lists of a row


@final
@dataclass(frozen=True)
class InvertedFile:
    """Lists of an index: nlist, or None for 4 sqrt(n) of the n rows that they are fitted to.

    Those are 1,024 where `fit` is not called, for fitting then waits for 65,536 rows.

    spill   further lists that each row is put in
    """

    nlist: int | None = None
    spill: int = 0

    options: ClassVar[tuple[str, ...]] = ("spill",)

    def __post_init__(self) -> None:
        lists, spill = self.nlist, self.spill
        if lists is not None and not (_is_whole(lists) and 1 <= lists <= MOST_LISTS):
            raise SpecError(f"nlist must be an integer from 1 to {MOST_LISTS:,}, got {lists!r}.")
        if not (_is_whole(spill) and 0 <= spill <= MOST_SPILL):
            raise SpecError(f"spill must be an integer from 0 to {MOST_SPILL}, got {spill!r}.")

    @property
    def spec(self) -> str:
        """The factory string."""
        return spelled("IVF" if self.nlist is None else f"IVF{self.nlist}", spill=(self.spill, 0))

    @classmethod
    def from_spec(cls, name: str, number: Number, options: Mapping[str, object]) -> "InvertedFile":
        """The recipe of `IVF` or `IVF<nlist>`."""
        return cls(number, **whole(options, "spill"))  # type: ignore[arg-type]

    @property
    def sample_size(self) -> int:
        """Rows that fitting wants."""
        return AUTO_ROWS if self.nlist is None else ROWS_EACH * self.nlist

    def lists(self, rows: int) -> int:
        """How many lists rows are shared among when so many are fitted to."""
        wanted = max(1, round(4 * np.sqrt(rows))) if self.nlist is None else self.nlist
        return min(wanted, MOST_LISTS)


@final
@dataclass(frozen=True)
class IndexRecipe:
    """An index: how rows are coded, in which lists, and by what the best are scored again."""

    codec: Recipe
    lists: InvertedFile | None = None
    rerank: Quantizer | None = None

    @property
    def spec(self) -> str:
        """The factory string of such an index."""
        rerank = f"Rerank({_short(self.rerank)})" if self.rerank else ""
        return self.codec.spelled(self.lists.spec if self.lists else "", rerank)

    @property
    def finer(self) -> Recipe | None:
        """What reranking codes rows by."""
        if self.rerank is None:
            return None
        transform = default_transform(self.rerank.rotation)
        return Recipe(self.codec.metric, transform, self.rerank, None, None, self.codec.seed)

    def scores_again(self, bits: int | None) -> bool:
        """Whether rows found by codes, or by so many bits of them, can be scored by finer ones."""
        return self.rerank is not None or bits is not None

    def check_oversample(self, oversample: float | None) -> None:
        """Refuse it where rows are not scored again; TypeError."""
        if oversample is not None:
            most = self.codec.prefix_bits
            bits = f"give bits from 1 to {most} as well, or " if most else ""
            raise TypeError(
                f"unknown search setting 'oversample': in an index of {self.spec} there is nothing "
                f"finer to score rows again by; {bits}make it with Rerank(f16)."
            )

    @property
    def waiting(self) -> "IndexRecipe":
        """Rows as they come, for as long as there are too few to fit."""
        own = self.codec
        return IndexRecipe(
            Recipe(own.metric, Identity(), Originals("F32"), None, own.keep, own.seed)
        )

    def check(self, x: FloatArray) -> None:
        """Refuse waiting rows (n, dim) that float16 is to hold and cannot; NonFiniteError."""
        halves = Originals("F16") in (self.codec.quantizer, self.rerank)
        if halves and self.codec.metric != "cosine":
            to_half(x)

    @property
    def sample_size(self) -> int:
        """Rows that fitting wants; 0 when nothing is learned from data."""
        return max(
            self.codec.sample_size,
            self.lists.sample_size if self.lists else 0,
            self.finer.sample_size if self.finer else 0,
        )

    @property
    def residual(self) -> bool:
        """Whether rows are coded from the origins of their lists: where that makes codes finer."""
        return self.lists is not None and not isinstance(self.codec.quantizer, Originals)


def _is_whole(number: object) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def _short(quantizer: Quantizer) -> str:
    """As users write it: f32 and f16 for originals."""
    return quantizer.spec.lower() if quantizer.spec in ("F32", "F16") else quantizer.spec
