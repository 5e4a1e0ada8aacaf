"""Find the best rows of some blocks, by whichever way through the kernels is cheapest.

    batch    blocks decoded once for many queries
    staged   one query: bounds from every row's signs, full codes for the rows they leave
    signs    one query on codes of one bit: the signs are the score
    listed   one query on named rows: few rows pass a filter, or there is no other way

Scores are the same bits whichever way is taken and however threads share the work; a staged
search leaves a row out only when its bound fails.
"""

import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from vqindex import threads as pool
from vqindex.codec import ID, Codec, Scorer
from vqindex.codes import Codes
from vqindex.kernels.cpu import score, search, select, stages
from vqindex.kernels.cpu.program import BLOCK, bind, table
from vqindex.layouts.base import FloatArray
from vqindex.layouts.operands import GROUP, Operands

BATCH = 8  # queries from which a decoded block is worth its decoding
LISTED = 16  # a query reads listed rows when one row in so many passes its filter
SHARED_BLOCKS = 1024  # blocks from which one query is worth a second thread

Ids = npt.NDArray[np.int64]
Best = tuple[FloatArray, Ids]


@dataclass(frozen=True)
class Settings:
    """How a search trades time for certainty.

    eps0     widths of the sign bound's error that it allows for: at 4 a staged search missed none
             of the 10 nearest of 1,000 queries on one real set and of 200 on another, at 3 up to
             3 of 10,000 on the first (`python -m benchmarks bounds`)
    stages   "on", or "off" to score every row in full
    """

    eps0: float = 4.0
    stages: str = "on"

    def __post_init__(self) -> None:
        if self.stages not in ("on", "off"):
            raise ValueError(f'stages must be "on" or "off", got {self.stages!r}.')
        if isinstance(self.eps0, bool) or not isinstance(self.eps0, int | float | np.number):
            raise TypeError(f"eps0 must be a number, got {self.eps0!r}.")
        if not 0 <= self.eps0 < np.inf:
            raise ValueError(
                f'eps0 must be finite and not negative, got {self.eps0}; stages="off" is without.'
            )
        object.__setattr__(self, "eps0", float(self.eps0))  # NumPy's floats are not JSON's


@dataclass(frozen=True)
class Bound:
    """A scorer whose columns are addresses; they stay good while the codes keep theirs."""

    program: npt.NDArray[np.int64]
    bias: int
    ratio: int
    ids: int


def bound(codes: Codes, scorer: Scorer) -> Bound:
    """The scorer bound to the codes, made once for as long as their addresses stay."""
    found = codes.bound
    if not isinstance(found, Bound):
        where = codes.addresses
        columns = (scorer.bias, scorer.ratio, codes.index[ID])
        found = Bound(bind(scorer.fields, where), *(table(where, column) for column in columns))
        codes.bound = found
    return found


class Scan:
    """One search over the rows of an index: codes bound to addresses, buffers, the work shared."""

    def __init__(self, codes: Codes, codec: Codec, k: int, settings: Settings) -> None:
        self.codes = codes
        self.scorer = codec.scorer
        self.k = min(k, codes.n)
        self.settings = settings
        self.bound = bound(codes, codec.scorer)
        self.read = 0  # rows scored in full, beyond bounds

    def run(self, operands: Operands, allowed: npt.NDArray[np.bool_] | None, threads: int) -> Best:
        """The best k rows of every query, (nq, k) scores and ids, before alpha is added.

        allowed   (n,) bool, the rows that may be found, or None for all
        """
        n = self.codes.n
        if allowed is not None and np.count_nonzero(allowed) * LISTED <= n:
            rows = np.flatnonzero(allowed)
            return self._each(operands, partial(self._listed, rows), threads)
        blocks = np.arange(self.codes.nblocks)
        masks = block_masks(n, allowed)
        if operands.nq >= BATCH:
            return self._batch(operands, blocks, masks, threads)
        if self.scorer.plane or (self.scorer.staged and self.settings.stages == "on"):
            share = threads if operands.nq == 1 and len(blocks) >= SHARED_BLOCKS else 1
            one = partial(self._bounded, blocks, masks, share)
            return self._each(operands, one, 1 if share > 1 else threads)
        rows = np.arange(n) if allowed is None else np.flatnonzero(allowed)
        return self._each(operands, partial(self._listed, rows), threads)

    def _each(self, operands: Operands, one: Any, threads: int) -> Best:
        """Queries one by one, shared among threads."""
        found = pool.run([partial(one, operands, q) for q in range(operands.nq)], threads)
        return found[0] if len(found) == 1 else _joined(found)

    def _finish(self, kept: "_Kept") -> Best:
        scores = np.empty((len(kept.counts), self.k), np.float32)
        ids = np.empty((len(kept.counts), self.k), np.int64)
        select.finish(kept.scores, kept.rows, kept.counts, self.k, self.bound.ids, scores, ids)
        return scores, ids

    def _listed(self, rows: Ids, operands: Operands, q: int) -> Best:
        kept = _Kept(1, 1, self.k)
        query, seed, half, gamma, _alive = _one(operands, q)
        at = self.bound
        search.top_k_rows(
            at.program, at.bias, at.ids, rows, query, seed, half, gamma, self.k,
            kept.scores, kept.rows, kept.counts, kept.thresholds,
        )  # fmt: skip
        self.read += len(rows)
        return self._finish(kept)

    def _bounded(
        self, blocks: Ids, masks: npt.NDArray[np.uint32], share: int, operands: Operands, q: int
    ) -> Best:
        at, bounds = self.bound, _scratch(len(blocks))
        query, seed, half, gamma, _alive = _one(operands, q)
        planes = operands.bit_planes[q]
        exact = self.scorer.plane
        slack = 0.0 if exact else self.settings.eps0 * self.scorer.error * float(operands.norms[q])

        def part(start: int, stop: int) -> None:
            stages.plane_bounds(
                at.program, 1 if exact else self.scorer.staged, at.bias, at.ratio,
                blocks[start:stop], masks[start:stop], planes.ctypes.data, half, gamma,
                np.float32(slack), np.empty(BLOCK, np.int32), bounds[start:stop],
            )  # fmt: skip

        edges = _edges(len(blocks), share, 1)
        pool.run([partial(part, a, b) for a, b in edges], share)
        kept = _Kept(1, 1, self.k)
        if exact:
            stages.keep_bounds(
                bounds, blocks, self.k, self.bound.ids, kept.scores, kept.rows, kept.counts,
                kept.thresholds,
            )  # fmt: skip
        else:
            first = _Kept(1, 1, stages.shortlist(self.k))
            read = stages.top_k_staged(
                at.program, at.bias, at.ids, bounds, blocks, query, seed, half, gamma, self.k,
                first.scores, first.rows, first.counts, first.thresholds, np.empty(256, np.int64),
                kept.scores, kept.rows, kept.counts, kept.thresholds,
            )  # fmt: skip
            self.read += read  # threads share it: not across the call
        return self._finish(kept)

    def _batch(
        self, operands: Operands, blocks: Ids, masks: npt.NDArray[np.uint32], threads: int
    ) -> Best:
        """Queries shared among threads when there are enough of them, else blocks."""
        operands.packed  # noqa: B018  made once, before threads ask for it
        self.read += int(np.bitwise_count(masks).sum()) * operands.nq
        parts = min(threads, operands.nq // score.CHUNK)
        if parts > 1:
            edges = _edges(operands.nq, parts, score.CHUNK)
            tasks = [
                partial(self._block_task, operands.select(a, b), blocks, masks) for a, b in edges
            ]
            return _joined(pool.run(tasks, threads))
        edges = _edges(len(blocks), min(threads, max(1, len(blocks) // 64)), 1)
        tasks = [partial(self._block_task, operands, blocks[a:b], masks[a:b]) for a, b in edges]
        return _merged(pool.run(tasks, threads), self.k)

    def _block_task(self, operands: Operands, blocks: Ids, masks: npt.NDArray[np.uint32]) -> Best:
        kept = _Kept(operands.nq, operands.seed.shape[1], self.k)
        stride = operands.row_bytes
        search.top_k_blocks(
            self.bound.program, self.bound.bias, self.bound.ids, blocks, masks,
            operands.packed.view(np.uint8).reshape(-1), GROUP * stride, operands.seed,
            operands.half, operands.gamma, self.k, kept.scores, kept.rows, kept.counts,
            kept.thresholds, np.empty((BLOCK, stride), np.uint8),
            np.empty((BLOCK, score.CHUNK), np.int32), np.empty((BLOCK, score.CHUNK), np.float32),
        )  # fmt: skip
        return self._finish(kept)


class _Kept:
    """Candidate buffers of `nq` queries, twice k and some, thresholds padded with infinity."""

    def __init__(self, nq: int, padded: int, k: int) -> None:
        capacity = 2 * k + 32
        self.scores = np.empty((nq, capacity), np.float32)
        self.rows = np.empty((nq, capacity), np.int64)
        self.counts = np.zeros(nq, np.int64)
        self.thresholds = np.full(padded, np.inf, np.float32)
        self.thresholds[:nq] = -np.inf


_own = threading.local()


def _scratch(blocks: int) -> FloatArray:
    """This thread's (blocks, 32) float32, kept: fresh pages cost a search as much as its scan."""
    kept: FloatArray | None = getattr(_own, "bounds", None)
    if kept is None or not blocks <= len(kept) <= 4 * blocks:
        kept = _own.bounds = np.empty((blocks, BLOCK), np.float32)
    return kept[:blocks]


def _one(operands: Operands, q: int) -> tuple[int, int, int, int, Any]:
    """Addresses of one query's entries, seed, half and gamma, and what keeps them alive."""
    columns: list[Any] = [a[:, q] for a in (operands.seed, operands.half, operands.gamma)]
    if len(operands.seed) > 1:
        columns = [np.ascontiguousarray(column) for column in columns]
    alive = [operands.entries[q], *columns]
    query, seed, half, gamma = (int(array.ctypes.data) for array in alive)
    return query, seed, half, gamma, alive


def _edges(n: int, parts: int, multiple: int) -> list[tuple[int, int]]:
    """Ranges of about n / parts, beginning at multiples."""
    step = -(-n // (max(parts, 1) * multiple)) * multiple
    return [(a, min(a + step, n)) for a in range(0, n, step)] if n else []


def _joined(found: list[Best]) -> Best:
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def _merged(found: list[Best], k: int) -> Best:
    """The best k of several lists of the same queries, ties by lower id."""
    if len(found) == 1:
        return found[0]
    scores = np.concatenate([f[0] for f in found], axis=1)
    ids = np.concatenate([f[1] for f in found], axis=1)
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


def block_masks(n: int, allowed: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.uint32]:
    """For each block, a bit for each row that exists and is allowed."""
    blocks = -(-n // BLOCK)
    if allowed is None:
        masks = np.full(blocks, 0xFFFFFFFF, np.uint32)
        if n % BLOCK:
            masks[-1] = (1 << (n % BLOCK)) - 1
        return masks
    padded = np.zeros(blocks * BLOCK, np.bool_)
    padded[:n] = allowed
    return np.packbits(padded, bitorder="little").view("<u4").astype(np.uint32)


def scores_of_blocks(
    codes: Codes, codec: Codec, operands: Operands, first: int, last: int
) -> FloatArray:
    """Scores of the rows of blocks first..last-1 with at most CHUNK queries, (rows, nq)."""
    here = bound(codes, codec.scorer)
    blocks = np.arange(first, last)
    stride = operands.row_bytes
    out = np.empty((len(blocks), BLOCK, score.CHUNK), np.float32)
    search.score_blocks(
        here.program, here.bias, blocks,
        operands.packed.view(np.uint8).reshape(-1), GROUP * stride, operands.seed, operands.half,
        operands.gamma, np.empty((BLOCK, stride), np.uint8),
        np.empty((BLOCK, score.CHUNK), np.int32), out,
    )  # fmt: skip
    rows = min(last * BLOCK, codes.n) - first * BLOCK
    return out.reshape(-1, score.CHUNK)[:rows, : operands.nq]
