"""k-means: the words of codebooks and the centroids of lists.

Many problems of one size are solved side by side, such as the sub-spaces of a product quantizer.
Results depend on the data and the seed alone, not on threads. Of many rows a sample takes part,
drawn once, rather than another batch in each iteration, so that it can be told when to stop.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from vqindex import threads as pool
from vqindex.kernels.cpu import clusters
from vqindex.subspaces import halves

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MOST_ROWS = 256  # for each word, or FEWEST in all: more change little but the time
FEWEST = 1 << 14
SEED_ROWS = 32  # for each word, among which the first words are chosen
WIDE = 4  # dimensions from which the first words are rows as they lie, not far ones
CHUNK = 1 << 14  # rows of one task, or more, for a problem has CHUNKS at most
CHUNKS = 8
SETTLED = 1e-5  # share of the error that an iteration must take off to be worth another
QUARTER = 4  # one row in so many takes words most of the way, unless it has fewer than
FEW_ROWS = 16  # ... for each word
REST = 14  # iterations of all rows after that


@dataclass(frozen=True)
class Clusters:
    """Words of m problems, and how the rows of the sample are shared among them.

    words    (m, k, d) float32
    masses   (m, k) float64: the rows of each word, or the sum of their weights
    errors   (m,) float64: sum of square distances of rows from their words, by weight
    squares  (m,) float64: sum of square norms of rows, by weight
    """

    words: Floats
    masses: Doubles
    errors: Doubles
    squares: Doubles

    @property
    def distortion(self) -> float:
        """Error over square norm, of all problems together."""
        total = float(self.squares.sum())
        return float(self.errors.sum()) / total if total else 0.0


def kmeans(
    x: Floats,
    k: int,
    seed: int,
    *,
    weights: Floats | None = None,
    spherical: bool = False,
    iterations: int = 25,
    words: Floats | None = None,
) -> Clusters:
    """k centroids of rows x (n, d) float32, n >= 1: one problem, m = 1.

    weights     (n,) float32 >= 0 of the rows, all alike if None
    spherical   by inner product: centroids have norm one, as the rows should
    words       (1, k, d) float32 to begin with, instead of rows of the sample
    Where there are fewer different rows than k, some centroids are equal.
    """
    starts = np.array([0, x.shape[1]])
    return codebooks(
        x, starts, k, seed,
        weights=weights, spherical=spherical, iterations=iterations, words=words,
    )  # fmt: skip


def codebooks(
    x: Floats,
    starts: Integers,
    k: int,
    seed: int,
    *,
    weights: Floats | None = None,
    spherical: bool = False,
    iterations: int = 25,
    words: Floats | None = None,
) -> Clusters:
    """`kmeans` in each of m sub-spaces of rows x (n, d), n >= 1.

    starts   (m + 1,): sub-space s holds dimensions starts[s] .. starts[s + 1] - 1; words are zero
             beyond those of their sub-space, up to the widest
    words    (m, k, width) float32 to begin with

    Of several sub-spaces and rows that count alike, a quarter of many rows takes words most of the
    way, in at most `iterations`, and all rows no more than REST further.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *b"k-means"])))
    chosen = rng.permutation(len(x))[: sample_rows(k)]
    columns = _columns(x[chosen], starts)
    heavy = np.zeros(columns.shape[2], np.float32)
    heavy[: len(chosen)] = 1 if weights is None else weights[chosen]
    lloyd = _Lloyd(columns, heavy, k)
    part = len(chosen) // QUARTER // clusters.ROWS * clusters.ROWS
    if words is None and weights is None and len(starts) > 2 and part >= FEW_ROWS * k:
        first = _Lloyd(np.ascontiguousarray(columns[:, :, :part]), heavy[:part], k)
        first.begin(rng, min(part, SEED_ROWS * k))
        first.iterate(iterations, spherical)
        words, iterations = first.words[:, :k], min(iterations, REST)
    if words is None:
        lloyd.begin(rng, min(len(chosen), SEED_ROWS * k))
    else:
        lloyd.words[:, :k] = words
    lloyd.iterate(iterations, spherical)
    lloyd.assign()
    return Clusters(
        np.ascontiguousarray(lloyd.words[:, :k]), lloyd.masses[:, :k], lloyd.errors, lloyd.squares
    )


def leading_words(x: Floats, k: int, seed: int) -> Floats:
    """Words (1, k, d) to begin with for rows x (n, d) of many dimensions.

    They are those of the first log2 k principal components: among all dimensions, rows are about
    as far from any word as from any other, and Lloyd's iteration hardly leaves where it starts.
    """
    d = x.shape[1]
    axes = np.linalg.eigh((x.T @ x).astype(np.float64))[1][:, ::-1].astype(np.float32)
    axes = np.ascontiguousarray(axes[:, : min(d, max(1, k.bit_length() - 1))])
    words: Floats = kmeans(x @ axes, k, seed).words @ axes.T
    return words


def sample_rows(k: int) -> int:
    """Rows of a sample that k-means makes use of."""
    return max(MOST_ROWS * k, FEWEST)


def _columns(x: Floats, starts: Integers) -> Floats:
    """Each sub-space coordinate by coordinate, (m, width, n padded), zeros beyond."""
    n, widths = len(x), np.diff(starts)
    out = np.zeros((len(widths), int(widths.max()), n + -n % clusters.ROWS), np.float32)
    for part, start, width in zip(out, starts, widths, strict=False):
        part[:width, :n] = x[:, start : start + width].T
    return out


class _Lloyd:
    """Lloyd's iteration on m problems at once, of which those that have settled are left alone."""

    def __init__(self, columns: Floats, weights: Floats, k: int) -> None:
        m, d, n = columns.shape
        padded = k + -k % clusters.WORDS
        self.columns, self.weights, self.k = columns, weights, k
        self.words = np.zeros((m, padded, d), np.float32)
        self.masses = np.zeros((m, padded))
        self.errors = np.full(m, np.inf)
        self._active = list(range(m))
        self._numbers = np.empty((m, n), np.int32)
        self._shortfalls = np.empty((m, n), np.float32)
        self._half_squares = np.einsum("mdn,mdn->mn", columns, columns) / np.float32(2)
        size = max(CHUNK, -(-n // CHUNKS // clusters.ROWS) * clusters.ROWS)
        self.squares = 2 * (self._half_squares * weights).sum(axis=1, dtype=np.float64)
        self._edges = [(start, min(start + size, n)) for start in range(0, n, size)]
        self._sums = np.empty((len(self._edges), m, d, padded))
        self._masses = np.empty((len(self._edges), m, padded))

    def begin(self, rng: np.random.Generator, n: int) -> None:
        """Choose the first words among the first n rows.

        The best words of d dimensions lie as densely as the rows' density to the power
        d / (d + 2) (Zador). So rows far from each other are a good start in few dimensions. In
        more of them rows as they lie are the better one: far ones leave less error, but they take
        it off outlying rows, at the cost of those among many near ones, which searches are about.
        """
        draws = rng.random((len(self.words), self.k))
        far = self.columns.shape[1] < WIDE

        def choose(problem: int) -> None:
            clusters.draw(
                self.columns[problem], n, self.weights, far, draws[problem],
                self.words[problem, : self.k], np.empty(n, np.float32),
            )  # fmt: skip

        tasks = [partial(choose, problem) for problem in range(len(self.words))]
        pool.run(tasks, pool.default_threads())

    def iterate(self, turns: int, spherical: bool) -> None:
        """Move words to the means of their rows, so many times or until that changes little."""
        for _ in range(turns):
            self.assign()
            if not self._active:
                break
            self.update(spherical)

    def assign(self) -> None:
        """Find the nearest words of all rows, the masses of words and the errors they leave."""
        half = np.full(self.words.shape[:2], np.inf, np.float32)
        half[:, : self.k] = halves(self.words[:, : self.k])

        def step(problem: int, part: int) -> None:
            clusters.step(
                self.columns[problem], *self._edges[part], self.words[problem], half[problem],
                self.weights, self._numbers[problem], self._shortfalls[problem],
                self._sums[part, problem], self._masses[part, problem],
            )  # fmt: skip

        parts = range(len(self._edges))
        tasks = [partial(step, problem, part) for problem in self._active for part in parts]
        pool.run(tasks, pool.default_threads())
        before, settled = self.errors.copy(), []
        for problem in self._active:
            self.masses[problem] = self._masses[:, problem].sum(axis=0)
            self.errors[problem] = self._gaps(problem).sum(dtype=np.float64)
            empty = (self.masses[problem, : self.k] == 0).any()
            if not empty and self.errors[problem] >= (1 - SETTLED) * before[problem]:
                settled.append(problem)
        self._active = [problem for problem in self._active if problem not in settled]

    def _gaps(self, problem: int) -> Floats:
        """Square distance of each row from its word, by weight, (n,)."""
        gaps = self._half_squares[problem] + self._shortfalls[problem]
        weighted: Floats = np.maximum(2 * gaps * self.weights, 0)
        return weighted

    def update(self, spherical: bool) -> None:
        """Move each word of unsettled problems to the mean of its rows."""
        active = self._active
        sums = self._sums[:, active].sum(axis=0).swapaxes(1, 2)
        masses = self.masses[active]
        if spherical:
            masses = np.linalg.norm(sums, axis=2)
        words = sums / np.where(masses > 0, masses, 1)[:, :, None]
        self.words[active] = np.where(masses[:, :, None] > 0, words, self.words[active])
        for problem in active:
            if not self.masses[problem, : self.k].all():
                self._refill(problem)

    def _refill(self, problem: int) -> None:
        """Move words without rows to the farthest rows of the words that leave most error."""
        gaps, numbers = self._gaps(problem), self._numbers[problem]
        errors = np.bincount(numbers, gaps, self.k)
        for empty in np.flatnonzero(self.masses[problem, : self.k] == 0):
            worst = errors.argmax()
            row = np.where(numbers == worst, gaps, -1).argmax()
            if gaps[row] <= 0:
                return
            self.words[problem, empty] = self.columns[problem, :, row]
            errors[worst] /= 2
            gaps[row] = 0
