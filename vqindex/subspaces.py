"""Sub-spaces: runs of dimensions, each with a codebook of its own."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vqindex.kernels.cpu import clusters, encode
from vqindex.lazy import lazy

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


def split(dim: int, parts: int) -> Integers:
    """Where each of `parts` runs of `dim` dimensions begins, and where the last ends.

    (parts + 1,): run s is floor(s dim / parts) to floor((s + 1) dim / parts), so that where parts
    does not divide dim some runs are longer than others by one.
    """
    return np.arange(parts + 1, dtype=np.int64) * dim // parts


def halves(words: Floats) -> Floats:
    """Half the square norm of each word, (m, k), of words (m, k, d)."""
    m, k, d = words.shape
    out = np.empty(m * k, np.float32)
    encode.square_norms(np.ascontiguousarray(words).reshape(m * k, d), 0, d, out)
    return (out * np.float32(0.5)).reshape(m, k)


@dataclass(frozen=True, eq=False)
class Subspaces:
    """The words of each run of dimensions.

    starts  (parts + 1,): where each run begins, and where the last ends, as of `split`
    words   (parts, size, width) float32, zero beyond a run's dimensions, size a multiple of 4
    aims    of the same shape, H w of each word w where the nearest is that of least
            (x - w)^T H (x - w) for a positive definite H of each run; None for square distances
    order   (dim,) int64: the dimension in each place of the runs, None for places as they come
    A row comes out the same, bit for bit, alone or in a batch.
    """

    starts: Integers
    words: Floats
    aims: Floats | None = None
    order: Integers | None = None

    @property
    def dim(self) -> int:
        """Dimensions of a row."""
        return int(self.starts[-1])

    def placed(self, rows: Floats) -> Floats:
        """Rows (n, dim) with their dimensions in the runs' places, contiguous."""
        return np.ascontiguousarray(rows if self.order is None else rows[:, self.order])

    def unplaced(self, rows: Floats) -> Floats:
        """What `placed` placed."""
        if self.order is None:
            return rows
        out = np.empty_like(rows)
        out[:, self.order] = rows
        return out

    @lazy
    def halves(self) -> Floats:
        """Half the square norm of each word, (parts, size)."""
        return halves(self.words)

    @lazy
    def offsets(self) -> Floats:
        """Half of w^T H w for each word, (parts, size)."""
        if self.aims is None:
            return self.halves
        parts, size, width = self.words.shape
        out = np.empty(parts * size, np.float32)
        words, aims = (np.ascontiguousarray(x).reshape(-1, width) for x in (self.words, self.aims))
        encode.inner_products(words, aims, out)
        return (out * np.float32(0.5)).reshape(parts, size)

    @lazy
    def lines(self) -> Floats:
        """Words dimension by dimension, (parts, width, size)."""
        return np.ascontiguousarray(self.words.swapaxes(1, 2))

    def encode(self, rows: Floats) -> npt.NDArray[np.int32]:
        """The number of the nearest word in each run, (n, parts), of rows (n, dim) float32."""
        numbers = np.empty((len(rows), len(self.words)), np.int32)
        aims = self.words if self.aims is None else self.aims
        clusters.encode(self.placed(rows), self.starts, aims, self.offsets, numbers)
        return numbers

    def decode(self, numbers: npt.NDArray[np.integer]) -> Floats:
        """Words in their places, (n, dim) float32, by their numbers (n, parts)."""
        out = np.empty((len(numbers), self.dim), np.float32)
        clusters.decode(np.ascontiguousarray(numbers, np.int32), self.starts, self.words, out)
        return self.unplaced(out)

    def products(self, rows: Floats) -> Floats:
        """Inner products with every word, (n, parts, size) float32, of rows (n, dim)."""
        out = np.empty((len(rows), *self.words.shape[:2]), np.float32)
        clusters.products(self.placed(rows), self.starts, self.lines, out)
        return out
