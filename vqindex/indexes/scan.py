"""Find the best rows of some blocks, by whichever way through the kernels is cheapest.

    signed       bounds from every row's signs, full codes for the rows they leave
    multiplied   blocks decoded once for many queries: signs bound nothing, or spare too little
    listed       one query on named rows: few rows pass a filter, or there is no better way

Where signs bound scores, a row counts by the smaller of its score and its bound, whichever way is
taken, however threads share the work and queries are split among calls. So the answers are the
same bits; a row is left out only when its bound fails.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from vqindex import threads as pool
from vqindex.arrays import positive_int
from vqindex.codec import ID, Codec, Scorer
from vqindex.codes import Blocks, Codes
from vqindex.kernels.cpu import records, score, search, select, signs, simd
from vqindex.kernels.cpu import rows as rows_
from vqindex.kernels.cpu.program import BITS, BLOCK, MIXED, bind, looked_words, table
from vqindex.kernels.cpu.records import Answers, Asked, Held, Stored
from vqindex.layouts.base import FloatArray
from vqindex.layouts.operands import GROUP, Operands
from vqindex.memory import address, workspace

BATCH = 8  # queries from which a decoded block is worth its decoding, where there are no bounds
LISTED = 16  # a query reads listed rows when one row in so many passes its filter
SPARED = 64  # ... and, asked alone, where bounds spare all but a few rows anyway
PROBE = 16  # queries that show whether signs spare enough
DENSE = 0.0135  # rows that signs leave, of all, for each word: above it multiplying is cheaper
DENSE_MIXED = 0.0015  # ... where bits are mixed: a row alone takes longer
WIDEST = 1e18  # widths of a bound: as wide as any, and times the largest norm a float32
SHARED_BLOCKS = 8192  # blocks from which one query is worth a second thread

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """How a search trades time for certainty.

    eps0     widths of the sign bound's error that it allows for: of the 1, 10 and 100 nearest of
             1,000 queries, by five codes on each of two real sets, searches missed 4 of 1,110,000
             at 3.5, 54 at 3 and none at 4 (`benchmarks bounds`)
    stages   "on", or "off" to score every row in full
    bits     score rows by so many of the first bits of their codes, or None for all
    """

    eps0: float = 3.5
    stages: str = "on"
    bits: int | None = None

    def __post_init__(self) -> None:
        if self.bits is not None:
            object.__setattr__(self, "bits", positive_int(self.bits, "bits"))
        if self.stages not in ("on", "off"):
            raise ValueError(f'stages must be "on" or "off", got {self.stages!r}.')
        if isinstance(self.eps0, bool) or not isinstance(self.eps0, int | float | np.number):
            raise TypeError(f"eps0 must be a number, got {self.eps0!r}.")
        if not 0 <= self.eps0 < np.inf:
            raise ValueError(
                f'eps0 must be finite and not negative, got {self.eps0}; stages="off" is without.'
            )
        object.__setattr__(self, "eps0", float(self.eps0))  # NumPy's floats are not JSON's


def stored(codes: Codes, scorer: Scorer) -> Held:
    """Codes as searches take them, made once for as long as their addresses stay."""
    found: tuple[Scorer, Held] | None = codes.bound
    if found is None or found[0] is not scorer:
        where = codes.addresses
        bias, ratio, ids = (
            table(where, column) for column in (scorer.bias, scorer.ratio, codes.index[ID])
        )
        program = bind(scorer.fields, where)
        words = looked_words(program[: scorer.signs])
        record = Stored(
            address(program), len(program), bias, ids, ratio, scorer.signs, scorer.rated, words
        )
        found = codes.bound = scorer, Held(record, program)
    return found[1]


class Scan:
    """One search over the rows of an index: codes bound to addresses, and how it is done."""

    def __init__(self, codes: Codes, codec: Codec, k: int, settings: Settings) -> None:
        self.codes = codes
        self.k = min(k, codes.n)
        self._width = min(settings.eps0 * codec.scorer.error, WIDEST)
        self._dense = DENSE_MIXED if codec.scorer.fields[0, BITS] == MIXED else DENSE
        self._by_table = codec.scorer.by_table
        self._held = stored(codes, codec.scorer)
        self.stored: Stored = self._held.at
        if settings.stages == "off":
            self.stored = self.stored._replace(signs=0, words=0)
        self.scored = 0  # rows, in full

    def run(
        self,
        operands: Operands,
        allowed: npt.NDArray[np.bool_] | None,
        threads: int,
        answers: Answers,
    ) -> None:
        """Find the best k rows of every query.

        allowed   (n,) bool, the rows that may be found, or None for all
        """
        with workspace:
            self._run(operands, allowed, threads, answers)

    def _run(
        self,
        operands: Operands,
        allowed: npt.NDArray[np.bool_] | None,
        threads: int,
        answers: Answers,
    ) -> None:
        n = self.codes.n
        if allowed is not None and self._lists(int(np.count_nonzero(allowed)), operands.nq):
            self.scored += self._listed(operands, np.flatnonzero(allowed), threads, answers)
        elif self.stored.signs or operands.nq >= BATCH:
            blocks = self.codes.blocks if allowed is None else Blocks.of(allowed)
            self.scored += self._many(operands, blocks, threads, answers)
        else:
            rows = np.arange(n) if allowed is None else np.flatnonzero(allowed)
            self.scored += self._listed(operands, rows, threads, answers)

    def _lists(self, count: int, nq: int) -> bool:
        """Whether so few rows are best scored one by one."""
        if self.stored.signs:
            return count == 0 or (nq < BATCH and count * SPARED <= self.codes.n)
        return count * LISTED <= self.codes.n

    def _asked(self, operands: Operands, packed: bool = False) -> Asked:
        slack = operands.norms * np.float32(self._width)
        return operands.asked(self.stored.signs, slack, packed)

    def _many(self, operands: Operands, blocks: Blocks, threads: int, answers: Answers) -> int:
        """Queries are shared among threads when there are enough of them, else blocks."""
        nq = operands.nq
        parts = min(threads, nq // score.CHUNK)
        if parts > 1:
            tasks = [
                partial(self._many, operands.select(a, b), blocks, 1, answers.after(a))
                for a, b in _edges(nq, parts, GROUP)
            ]
            return sum(pool.run(tasks, threads))
        shared = SHARED_BLOCKS if nq == 1 else SHARED_BLOCKS // 128
        threads = min(threads, len(blocks.numbers) // shared)
        if self.stored.signs == 0 or (nq >= BATCH and simd.TILES and not self._by_table):
            return self._multiplied(operands, blocks, threads, answers)
        if nq < 2 * PROBE or self._by_table:
            return self._signed(operands, blocks, threads, answers)
        # Whichever way is taken, the answers are the same: see how much signs spare.
        probe = self._signed(operands.select(0, PROBE), blocks, threads, answers)
        much = probe > self._dense * self.stored.words * PROBE * self.codes.n
        way = self._multiplied if much else self._signed
        return probe + way(operands.select(PROBE, nq), blocks, threads, answers.after(PROBE))

    def _multiplied(
        self, operands: Operands, blocks: Blocks, threads: int, answers: Answers
    ) -> int:
        asked = self._asked(operands, packed=True)

        def part(here: Blocks) -> tuple[Held, int]:
            kept = records.kept(operands.nq, asked.padded, self.k)
            scratch = records.scratch(asked.row_bytes)
            search.top_k_blocks(
                self.stored, here.numbers, here.masks, asked, self.k, kept.at, scratch
            )
            return kept, int(np.bitwise_count(here.masks).sum()) * operands.nq

        return self._best(part, blocks, threads, asked, answers)

    def _signed(self, operands: Operands, blocks: Blocks, threads: int, answers: Answers) -> int:
        asked = self._asked(operands)
        group = min(operands.nq + operands.nq % 2, signs.GROUP)

        def part(here: Blocks) -> tuple[Held, int]:
            kept = records.kept(operands.nq, asked.padded, self.k)
            slab = min(len(here.numbers), signs.SLAB_BLOCKS)
            scored = signs.top_k_signs(
                self.stored, here.numbers, here.masks, asked, self.k, kept.at,
                records.highest(group, self.k), records.sign_scratch(self.stored, group, slab),
            )  # fmt: skip
            return kept, scored

        return self._best(part, blocks, threads, asked, answers)

    def _best(
        self,
        part: Callable[[Blocks], tuple[Held, int]],
        blocks: Blocks,
        threads: int,
        asked: Asked,
        answers: Answers,
    ) -> int:
        """Answer from all blocks, a part of them on each thread; how many rows were scored."""
        shares = [blocks] if threads < 2 else blocks.shared(threads)
        found = pool.run([partial(part, share) for share in shares], threads)
        kept = found[0][0]
        for other, _ in found[1:]:
            select.merge(kept.at, other.at, self.k, self.stored.ids)
        rows_.answer(self.stored, asked, 0, self.k, kept.at, answers)
        return sum(scored for _, scored in found)

    def _listed(self, operands: Operands, rows: Ids, threads: int, answers: Answers) -> int:
        """Queries one by one on named rows, shared among threads."""
        asked = self._asked(operands)

        def one(query: int) -> None:
            kept = records.kept(1, 1, self.k)
            rows_.top_k_rows(self.stored, rows, asked, query, self.k, kept.at)
            rows_.answer(self.stored, asked, query, self.k, kept.at, answers.after(query))

        pool.run([partial(one, q) for q in range(operands.nq)], threads)
        return len(rows) * operands.nq


def _edges(n: int, parts: int, multiple: int) -> list[tuple[int, int]]:
    """Ranges of about n / parts, beginning at multiples."""
    step = -(-n // (max(parts, 1) * multiple)) * multiple
    return [(a, min(a + step, n)) for a in range(0, n, step)] if n else []


def scores_of_blocks(
    codes: Codes, codec: Codec, operands: Operands, first: int, last: int
) -> FloatArray:
    """Scores of the rows of blocks first..last-1 with at most CHUNK queries, (rows, nq)."""
    held = stored(codes, codec.scorer)
    here = held.at._replace(signs=0, words=0)
    asked = operands.asked(0, operands.norms, packed=True)
    scratch = records.scratch(asked.row_bytes)
    out = np.empty((last - first, BLOCK, score.CHUNK), np.float32)
    search.score_blocks(here, np.arange(first, last), asked, scratch, out)
    rows = min(last * BLOCK, codes.n) - first * BLOCK
    return out.reshape(-1, score.CHUNK)[:rows, : operands.nq]
