"""Find the best rows of some blocks, by whichever way through the kernels is cheapest.

    signed       bounds from every row's signs, full codes for the rows they leave
    multiplied   blocks decoded once for many queries: signs bound nothing, or spare too little
    listed       one query on named rows: few rows pass a filter, or there is no better way

Where signs bound scores, a row counts by the smaller of its score and its bound, whichever way is
taken, however threads share the work and queries are split among calls. So the answers are the
same bits; a row is left out only when its bound fails. Where there are finer codes, the best rows
by the first ones are scored again by those.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil

import numpy as np
import numpy.typing as npt

from vqindex import threads as pool
from vqindex.codes import Blocks
from vqindex.indexes.model import Model
from vqindex.indexes.questions import Questions, questions
from vqindex.indexes.rows import Rows
from vqindex.indexes.settings import OVERSAMPLE, Settings
from vqindex.indexes.single import Desk
from vqindex.indexes.stored import stored
from vqindex.kernels.cpu import distinct, probe, records, score, search, select, signs, simd
from vqindex.kernels.cpu import rows as rows_
from vqindex.kernels.cpu.finer import write_down
from vqindex.kernels.cpu.program import (
    BITS,
    MIXED,
    NIBBLES,
    UNBOUND,
    is_decoded,
    looked_words,
    table,
)
from vqindex.kernels.cpu.records import Answers, Asked, Finer, Held, Stored
from vqindex.layouts.base import FloatArray
from vqindex.layouts.operands import GROUP
from vqindex.memory import address, workspace
from vqindex.progress import Progress
from vqindex.transforms.base import Orthogonal

BATCH = 8  # queries from which blocks are multiplied, of codes that one query meets row by row
FEW = 4  # queries fewer than which meet a decoded block one by one
LISTED = 16  # a query reads listed rows when one row in so many passes its filter
SPARED = 64  # ... and, asked alone, where bounds spare all but a few rows anyway
PROBE = 16  # queries that show whether signs spare enough
DENSE = 0.0135  # rows that signs leave, of all, for each word: above it multiplying is cheaper
MIXED_SINGLE = 9  # times as long as others takes a row alone whose bits are mixed
ROUNDED = (24 * np.pi) ** -0.5  # error of a score for a step of the query, over spread * sqrt(d)
FINER = 16  # times as much error have codes whose scores bound those of finer ones
WIDEST = 1e18  # widths of a bound: as wide as any, and times the largest norm a float32
QUERIES = 1024  # queries prepared at a time
CANDIDATES = 1 << 22  # places for candidates at a time: at most some 200 MB a thread
PLANS = 8  # kept by an index
SHARED_BLOCKS = 8192  # blocks from which one query is worth a second thread

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Filters = Mask | list[Mask | None] | None
Plans = dict[tuple[int, Settings], "Scan"]


def planned(plans: Plans, kind: "type[Scan]", rows: Rows, k: int, settings: Settings) -> "Scan":
    """How to search rows as they are now, for k neighbours: made once, until they change."""
    found = plans.get((k, settings))
    if found is None or not found.is_current:
        if len(plans) >= PLANS:
            plans.clear()
        found = plans[k, settings] = kind(rows, k, settings)
    return found


class Scan:
    """Searches of the rows of an index: codes bound to addresses, and how it is done.

    k      rows kept of each query, or copies of them
    some   rows kept: fewer than k where they have copies
    best   rows wanted: fewer than those where they are scored again
    """

    def __init__(self, rows: Rows, k: int, settings: Settings) -> None:
        self.rows, self.codes = rows, rows.codes
        self.model = rows.model.at(settings.bits, settings.oversample)
        codec, scorer = self.model.codec, self.model.codec.scorer
        self.best = min(k, rows.n)
        self.some = self.best
        self._at_once = is_bounded(self.model) and settings.oversample is None
        self._at_once &= settings.stages == "on" and settings.bits is None
        error = scorer.error or (scorer.spread if self._at_once else 0.0)  # of signs that are all
        self._width = min(settings.eps0 * error, WIDEST)
        self._reach = min(settings.eps0 * scorer.spread, WIDEST)
        if self.model.finer is not None and not self._at_once:
            self.some = ceil(min(k * (settings.oversample or OVERSAMPLE), rows.n))
        self.k, self._last = self.some * self.model.copies, self.best
        if self.model.staged:  # copies differ in what is left of their codes
            self.some, self._last = self.k, self.best * self.model.copies
        fields = scorer.fields[: scorer.signs]
        self._words = looked_words(fields[fields[:, BITS] < NIBBLES])
        self._single = MIXED_SINGLE if scorer.fields[0, BITS] == MIXED else 1
        self._by_table = scorer.by_table
        self._decoded = is_decoded(scorer.fields)
        self._held = stored(self.codes, scorer)
        self.stored: Stored = self._held.at
        if settings.stages == "off":
            self.stored = self.stored._replace(signs=0, words=0)
        if codec.residual and rows.lists is not None:
            self.stored = self.stored._replace(owners=address(rows.lists.owners))
            if self.stored.signs and scorer.spread > 0 and settings.bits is None:
                is_l2 = codec.metric == "l2"
                step = min(settings.eps0, WIDEST) * ROUNDED * codec.transform.dim_out**0.5
                widths = self._width, self._reach, step, 1 + is_l2, not is_l2
                self._widths = np.array(widths, np.float32)
                self.stored = self.stored._replace(
                    drift=table(self.codes.addresses, scorer.drift),
                    sizes=address(self.model.sizes), widths=address(self._widths),
                )  # fmt: skip
        self._whole = self._finer_held()
        self._chains, self._n, self._nprobe = rows.lists, rows.n, settings.nprobe
        self._record: records.Lists | None = None  # of lists, where some are chosen
        self._local = threading.local()  # a desk for each thread
        finer = self.model.finer
        self._in_steps = codec.steps is not None and (finer is None or finer.steps is not None)
        self._in_steps &= self._last == self.best

    def _finer_held(self) -> Held | None:
        """Rows by what scores them again: their finer codes, or all bits of those they have."""
        if self.model.finer is None:
            return None
        once = self.rows.once
        whole = self.codes if once is None or self.model.staged else once
        held = stored(whole, self.model.finer.scorer, self.model.width)
        owners = self.stored.owners if self.model.staged else UNBOUND
        return Held(held.at._replace(signs=0, words=0, owners=owners), *held.arrays)

    @property
    def is_current(self) -> bool:
        """Whether the rows are those that this was made for."""
        rows, held = self.rows, self.rows.codes.bound.get(self.model.codec.scorer)
        return held is self._held and rows.lists is self._chains and rows.n == self._n

    def all(
        self, queries: FloatArray, filters: Filters, threads: int, scores: FloatArray, ids: Ids,
        tell: Progress,
    ) -> dict[str, int]:  # fmt: skip
        """Write the answers (nq, k) of queries (nq, d) float32; how much was done.

        filters   a mask (n,) bool of the rows that may be found, a list of one for each query, or
                  None for all
        """
        if len(queries) == 1 and filters is None and self._in_steps and self._is_at_once(threads):
            seen = self._desk().answer(queries, scores, ids)
            if seen is not None:
                tell(1)
                return self._told(seen)
        answers = Answers(address(scores), address(ids), scores.shape[1])
        step, nq = max(1, min(QUERIES, CANDIDATES // (self.k + 1))), len(queries)
        step = 1 if isinstance(filters, list) else step
        done: dict[str, int] = {}
        for start in range(0, max(nq, 1), step):
            stop = min(start + step, nq)
            allowed = filters[start] if isinstance(filters, list) else filters
            more = self.run(queries[start:stop], allowed, threads, answers.after(start))
            done = {name: done.get(name, 0) + count for name, count in more.items()}
            tell(stop)
        return done

    def _is_at_once(self, threads: int) -> bool:
        """Whether one kernel answers one query: all blocks, which threads do not share."""
        shared = len(self.codes.blocks.numbers) // SHARED_BLOCKS
        return (self.stored.signs > 0 or self._decoded) and min(threads, shared) < 2

    def _desk(self) -> Desk:
        desk: Desk | None = getattr(self._local, "desk", None)
        if desk is None:
            desk = self._local.desk = self._new_desk()
        return desk

    def _new_desk(self) -> Desk:
        whole = None if self._whole is None else self._whole.at
        return Desk(
            self.model, self.stored, whole, self._record, self._nprobe, self.k, self.some,
            self.best, self.rows.ids.table, self._width, self._reach if self._at_once else None,
            self.rows.blocks(None),
        )  # fmt: skip

    def _told(self, seen: Sequence[int]) -> dict[str, int]:
        """What was done, of lists and rows seen, rows scored, and scored again."""
        again = {} if self.model.finer is None else {"rescored": seen[3]}
        return {"scored": seen[2], **again}

    def run(
        self, queries: FloatArray, allowed: Mask | None, threads: int, answers: Answers
    ) -> dict[str, int]:
        """Find the best rows of every query (nq, d) float32; how much was done.

        allowed   (n,) bool, the rows that may be found, or None for all
        """
        if allowed is not None:
            allowed = self.rows.of_slots(allowed)
        with workspace:
            return self._run(questions(self.model, queries), allowed, threads, answers)

    def _run(
        self, asking: Questions, allowed: Mask | None, threads: int, answers: Answers
    ) -> dict[str, int]:
        """How much was done."""
        if allowed is not None and self._is_listed(int(np.count_nonzero(allowed)), asking.nq):
            done = self._listed(asking, self._slots(allowed), threads, answers)
        elif self.stored.signs or self._decoded or asking.nq >= BATCH:
            done = self._many(asking, self.rows.blocks(allowed), threads, answers)
        else:
            done = self._listed(asking, self._slots(allowed), threads, answers)
        return Scan._told(self, (0, 0, *done.tolist()))

    def _slots(self, allowed: Mask | None) -> Ids:
        """Slots of the rows that may be found."""
        slots = self.rows.slots
        return slots if allowed is None else slots[allowed]

    def _is_listed(self, count: int, nq: int) -> bool:
        """Whether so few rows are best scored one by one."""
        if self.stored.signs:
            return count == 0 or (nq < BATCH and count * SPARED <= self.rows.n)
        return count * LISTED <= self.rows.n

    def _asked(self, asking: Questions, packed: bool = False) -> Asked:
        slack = asking.operands.norms * np.float32(self._width)
        asked: Asked = asking.operands.asked(self.stored.signs, slack, packed)
        if asking.shares is not None and asking.blurs is not None:
            asked = asked._replace(
                shares=address(asking.shares), lists=asking.shares.shape[1],
                blurs=address(asking.blurs),
            )  # fmt: skip
        return asked._replace(finer=self._finer(asking)) if self._at_once else asked

    def _finer(self, asking: Questions) -> int:
        """The address of how rows are scored again as they are found."""
        assert self._whole is not None
        finely = self._finely(asking)
        at, reach = workspace.take("finer", 8 * len(Finer._fields), 4 * finely.padded)
        record = records.finer(self._whole.at, finely, reach)
        write_down(record, asking.operands.norms, np.float32(self._reach), at)
        return at

    def _finely(self, asking: Questions) -> Asked:
        """What meets finer codes."""
        assert asking.finer is not None
        finely: Asked = asking.finer.asked(0, asking.finer.norms, packed=False)
        if asking.shares is not None:
            shares = asking.shares
            finely = finely._replace(shares=address(shares), lists=shares.shape[1])
        return finely

    def _many(self, asking: Questions, blocks: Blocks, threads: int, answers: Answers) -> Counts:
        """Queries are shared among threads when there are enough of them, else blocks."""
        nq = asking.nq
        parts = min(threads, nq // score.CHUNK)
        if parts > 1:
            tasks = [
                partial(self._many, asking.select(a, b), blocks, 1, answers.after(a))
                for a, b in edges(nq, parts, GROUP)
            ]
            done: Counts = np.sum(pool.run(tasks, threads), axis=0)
            return done
        shared = SHARED_BLOCKS if nq == 1 else SHARED_BLOCKS // 128
        threads = min(threads, len(blocks.numbers) // shared)
        if self.stored.signs == 0 or (nq >= BATCH and simd.TILES and not self._by_table):
            return self._multiplied(asking, blocks, threads, answers)
        if nq < 2 * PROBE or self._by_table:
            return self._signed(asking, blocks, threads, answers)
        # Whichever way is taken, the answers are the same: see how much signs spare.
        probed = self._signed(asking.select(0, PROBE), blocks, threads, answers)
        much = self._single * probed[0] > DENSE * self._words * PROBE * self.rows.n
        way = self._multiplied if much else self._signed
        return probed + way(asking.select(PROBE, nq), blocks, threads, answers.after(PROBE))

    def _multiplied(
        self, asking: Questions, blocks: Blocks, threads: int, answers: Answers
    ) -> Counts:
        few = self._decoded and asking.nq < FEW
        asked = self._asked(asking, packed=not few)

        def part(here: Blocks) -> tuple[Held, int]:
            kept = records.kept(asking.nq, asked.padded, self.k)
            if few:
                alone = records.sign_scratch(self.stored, asked.row_bytes, 1, 1)
                for query in range(asking.nq):
                    search.push_blocks(
                        self.stored, here.numbers, here.masks, len(here.numbers), asked, query,
                        self.k, kept.at, alone,
                    )  # fmt: skip
            else:
                scratch = records.scratch(asked.row_bytes)
                search.top_k_blocks(
                    self.stored, here.numbers, here.masks, asked, self.k, kept.at, scratch
                )
            return kept, int(np.bitwise_count(here.masks).sum()) * asking.nq

        return self._best(part, blocks, threads, asked, asking, answers)

    def _signed(self, asking: Questions, blocks: Blocks, threads: int, answers: Answers) -> Counts:
        asked = self._asked(asking)
        group = min(asking.nq, signs.GROUP)

        def part(here: Blocks) -> tuple[Held, int]:
            kept = records.kept(asking.nq, asked.padded, self.k)
            slab = min(len(here.numbers), signs.SLAB_BLOCKS)
            scored = signs.top_k_signs(
                self.stored, here.numbers, here.masks, asked, self.k, kept.at,
                records.highest(group, self.k),
                records.sign_scratch(self.stored, asked.row_bytes, group, slab),
            )  # fmt: skip
            return kept, scored

        return self._best(part, blocks, threads, asked, asking, answers)

    def _best(
        self,
        part: Callable[[Blocks], tuple[Held, int]],
        blocks: Blocks,
        threads: int,
        asked: Asked,
        asking: Questions,
        answers: Answers,
    ) -> Counts:
        """Answer from all blocks, a part of them on each thread.

        Rows scored, and scored again.
        """
        shares = [blocks] if threads < 2 else blocks.shared(threads)
        found = pool.run([partial(part, share) for share in shares], threads)
        kept = found[0][0]
        for other, _ in found[1:]:
            select.merge(kept.at, other.at, self.k, self.stored.ids)
        again = self._answer(kept, asked, 0, asking, answers)
        return np.array([sum(scored for _, scored in found), again])

    def _listed(self, asking: Questions, slots: Ids, threads: int, answers: Answers) -> Counts:
        """Queries one by one on named rows, shared among threads."""
        asked = self._asked(asking)

        def one(query: int) -> int:
            kept = records.kept(1, 1, self.k)
            rows_.top_k_rows(self.stored, slots, asked, query, self.k, kept.at)
            return self._answer(kept, asked, query, asking, answers.after(query))

        again = pool.run([partial(one, q) for q in range(asking.nq)], threads)
        return np.array([len(slots) * asking.nq, sum(again)])

    def _answer(
        self, kept: Held, asked: Asked, first: int, asking: Questions, answers: Answers
    ) -> int:
        """Write the best rows of the queries from `first` on, whose candidates are kept.

        How many were scored again.
        """
        finer, has_copies = self._whole, self.some < self.k
        if has_copies:
            distinct.distinct(kept.at, self.k, self.some, self.stored.ids)
        if finer is None or self._at_once:
            again: int = rows_.answer(self.stored, asked, first, self.some, kept.at, answers)
            return again
        if has_copies:
            names = self.rows.ids.table
            distinct.rename(kept.at, self.stored.ids, address(names), len(names))
        whole, finely = finer.at, self._finely(asking)
        best = records.kept(kept.at.nq, kept.at.nq, self._last)
        again = probe.rescore(whole, finely, first, kept.at, self.some, self._last, best.at)
        if self.best < self._last:
            distinct.distinct(best.at, self._last, self.best, whole.ids)
        rows_.answer(whole, finely, first, self.best, best.at, answers)
        return again


def is_bounded(model: Model) -> bool:
    """Whether bounds of scores can tell which rows are to be scored by finer codes.

    Not where these err themselves, nor of a row's copies, each of which might have it scored.
    """
    codec, finer = model.codec, model.finer
    if finer is None or model.copies > 1 or not codec.scorer.signs or not codec.scorer.spread:
        return False
    exact = isinstance(finer.transform, Orthogonal) and finer.sketch is None
    return exact and FINER * finer.quantizer.distortion <= codec.quantizer.distortion


def edges(n: int, parts: int, multiple: int) -> list[tuple[int, int]]:
    """Ranges of about n / parts, beginning at multiples."""
    step = -(-n // (max(parts, 1) * multiple)) * multiple
    return [(a, min(a + step, n)) for a in range(0, n, step)] if n else []
