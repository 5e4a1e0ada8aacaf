"""Recipe: what a codec is made of, before it has seen a row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vqindex.codec import Codec, measured
from vqindex.errors import CorruptFileError, SpecError
from vqindex.layouts.base import Array, FloatArray
from vqindex.quantizers.base import Quantizer, Selective
from vqindex.quantizers.coarse import Coarse
from vqindex.sketches.qjl import QJL
from vqindex.transforms.base import Transform, stored
from vqindex.transforms.opq import LearnedRotation

Origins = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Recipe:
    """What an index is made of, before it has seen a row."""

    metric: str
    transform: Transform
    quantizer: Quantizer
    sketch: QJL | None
    keep: str | None
    seed: int
    coarse: Coarse | None = None

    def __post_init__(self) -> None:
        own = self.quantizer
        if isinstance(own, Selective) and self.metric not in own.metrics:
            raise SpecError(f"{own.spec} is for {' and '.join(own.metrics)}, got {self.metric!r}.")
        if getattr(own, "rotated", False) and not isinstance(self.transform, LearnedRotation):
            raise SpecError(
                f"{own.spec} is coded after a rotation learned for it, got {self.transform.spec}: "
                f"leave {self.transform.spec} or the O of {own.spec} out."
            )
        if (self.sketch or self.coarse) and not self.quantizer.sketchable:
            other, extra = "sketch", f"+{self.sketch.spec}" if self.sketch else ""
            if self.coarse:
                other, extra = "coarse code", f"{self.coarse.spec},"
            raise SpecError(
                f"{self.quantizer.spec} takes no {other}: it meets float32 queries and a {other} "
                f"integer ones; leave {extra} out."
            )

    @property
    def spec(self) -> str:
        """The factory string of such a codec."""
        return self.spelled()

    def spelled(self, lists: str = "", rerank: str = "") -> str:
        """The factory string with lists and reranking in their places."""
        sketch = f"+{self.sketch.spec}" if self.sketch else ""
        parts = (
            "" if self.transform.spec == self.quantizer.rotation else self.transform.spec,
            lists,
            self.coarse.spec if self.coarse else "",
            f"{self.quantizer.spec}{sketch}",
            rerank,
            f"Keep({self.keep})" if self.keep else "",
        )
        return ",".join(filter(None, parts))

    @property
    def prefix_bits(self) -> int:
        """As many of the first bits of codes as rows can be searched by, 0 if they are read whole.

        See Nested.
        """
        return 0 if self.sketch else int(getattr(self.quantizer, "prefix_bits", 0))

    def check_bits(self, bits: int) -> None:
        """Raise SpecError unless rows can be searched by the first `bits` bits of their codes."""
        most = self.prefix_bits
        if not most:
            raise SpecError(f"the codes of {self.spec} are read whole: leave bits={bits} out.")
        if not 1 <= bits <= most:
            raise SpecError(
                f"bits must be 1 to {most} of the codes of {self.spec}, or None for all of them, "
                f"got {bits}."
            )

    @property
    def sample_size(self) -> int:
        """Rows that fitting wants; 0 when nothing is learned from data."""
        parts = self.transform, self.quantizer, self.coarse
        return max(int(part.sample_size) for part in parts if part is not None)

    def fit(
        self,
        sample: FloatArray | None,
        dim: int,
        queries: FloatArray | None = None,
        origins: Origins | None = None,
    ) -> "Codec":
        """Fit every part.

        sample    (n, dim) float32, or None if nothing is learned
        queries   (nq, dim) float32 such as will be asked, or None if none are known
        origins   from rows (n, dim), as the metric sees them and centred, to the points (n, dim)
                  that they are coded from; or None to code whole rows
        """
        center = coarse = None
        if sample is not None:
            sample = measured(sample, self.metric)
            if self._centered(origins is not None):
                center = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
                sample = sample - center
            if origins is not None:
                sample = sample - origins(sample)
            if self.coarse is not None:
                coarse = self.coarse.fit(sample, dim, self.seed)
                sample = sample - coarse.points(coarse.encode(sample))
        if queries is not None:
            shift = center if self.metric == "l2" else None
            queries = measured(queries, self.metric, shift)
        transform = self.transform.fit(sample, dim, self.seed, queries)
        if sample is not None:
            sample = transform.apply(sample)
        if queries is not None:
            queries = transform.apply_query(queries)
        quantizer = self.quantizer.fit(sample, transform.dim_out, self.seed, queries)
        sketch = None
        if self.sketch is not None:
            sketch = self.sketch.fit(None, transform.dim_out, self.seed, prefix="sketch_")
        parts = center, transform, quantizer, sketch, self.keep
        return Codec(self.metric, dim, *parts, origins is not None, coarse)

    def _centered(self, residual: bool) -> bool:
        """Whether rows are centred: origins do as much, but queries are centred under l2 too."""
        return self.quantizer.centered and (self.metric == "l2" or not residual)

    def restore(self, arrays: Mapping[str, Array], dim: int, residual: bool = False) -> "Codec":
        """The codec whose `arrays()` these are; see Codec for `residual`."""

        def part(name: str) -> dict[str, Array]:
            start = f"{name}."
            return {k[len(start) :]: v for k, v in arrays.items() if k.startswith(start)}

        transform = self.transform.restore(part("transform"), dim)
        quantizer = self.quantizer.restore(part("quantizer"), transform.dim_out)
        sketch = None
        if self.sketch is not None:
            sketch = self.sketch.restore(part("sketch"), transform.dim_out, "sketch_")
        center = None
        if self._centered(residual):
            center = stored(arrays, "center", np.float32, 1)
            if center.shape != (dim,):
                raise CorruptFileError(f"'center' must have shape {(dim,)}, got {center.shape}.")
        coarse = self.coarse.restore(part("coarse"), dim) if self.coarse else None
        parts = center, transform, quantizer, sketch, self.keep
        return Codec(self.metric, dim, *parts, residual, coarse)
