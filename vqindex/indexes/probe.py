"""Find the best rows of the lists that each query prefers."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from vqindex import threads as pool
from vqindex.codes import masks_of
from vqindex.indexes.lists import Lists
from vqindex.indexes.questions import Questions
from vqindex.indexes.rows import Rows
from vqindex.indexes.scan import PROBE, Mask, Scan, edges
from vqindex.indexes.settings import Settings
from vqindex.kernels.cpu import grouped, probe, records, signs
from vqindex.kernels.cpu.program import BLOCK, UNBOUND
from vqindex.kernels.cpu.records import Answers
from vqindex.layouts.operands import GROUP
from vqindex.memory import address

GROUPED = 8  # queries that look into a list from which decoding it for all is cheaper
# ns that looking into lists together spares of each row scored, and bounded, a word of signs; and
# what it costs a query, of rows scored once or again while they are found.
SCORED, BOUNDED, ONCE, TWICE = 100.0, 0.12, 8e3, 20e3

Masks = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]


class Probe(Scan):
    """One search over lists, `nprobe` of them for each query."""

    def __init__(self, rows: Rows, k: int, settings: Settings) -> None:
        super().__init__(rows, k, settings)
        if rows.lists is not None and rows.model.centroids is not None:
            self._record = rows.lists.record(rows.model.centroids)

    def _is_at_once(self, threads: int) -> bool:
        return self._chains is not None and not self._is_few(self._chains, None)

    def _told(self, seen: Sequence[int]) -> dict[str, int]:
        return dict(zip(("lists", "bounded"), seen[:2], strict=True)) | super()._told(seen)

    def _run(
        self, asking: Questions, allowed: Mask | None, threads: int, answers: Answers
    ) -> dict[str, int]:
        """How many lists and rows were looked at, and scored in full."""
        lists = self._chains
        if lists is None or self._is_few(lists, allowed):
            return super()._run(asking, allowed, threads, answers)
        masks = None if allowed is None else self._masks(lists, allowed)
        parts = min(threads, asking.nq // GROUP)
        if parts < 2:
            looked = self._probe(asking, masks, answers)
        else:
            tasks = [
                partial(self._probe, asking.select(a, b), masks, answers.after(a))
                for a, b in edges(asking.nq, parts, GROUP)
            ]
            looked = np.sum(pool.run(tasks, threads), axis=0)
        return self._told(looked.tolist())

    def _is_few(self, lists: Lists, allowed: Mask | None) -> bool:
        """Whether looking at every row that may be found is no more work."""
        if self._nprobe >= lists.count:
            return True
        if allowed is None:
            return False
        return int(np.count_nonzero(allowed)) * lists.count <= self._nprobe * lists.n

    @staticmethod
    def _masks(lists: Lists, allowed: Mask) -> Masks:
        """The rows of each block that may be found, as bits."""
        places = np.zeros(BLOCK * lists.blocks, np.bool_)
        places[lists.slots] = allowed
        return masks_of(places)

    def _probe(self, asking: Questions, masks: Masks | None, answers: Answers) -> Counts:
        """By signs or list after list, whichever is cheaper: the answers are the same."""
        assert self._record is not None
        shared = asking.nq * self._nprobe >= GROUPED * self._record.lists and not self._by_table
        if not shared or (self.stored.signs and asking.nq < 2 * PROBE):
            return self._one_by_one(asking, masks, answers)
        if not self.stored.signs:
            return self._together(asking, masks, answers)
        looked = self._one_by_one(asking.select(0, PROBE), masks, answers)
        spared = SCORED * self._single * looked[2] + BOUNDED * self._words * looked[1]
        much = spared > PROBE * (TWICE if self._at_once else ONCE)
        way = self._together if much else self._one_by_one
        return looked + way(asking.select(PROBE, asking.nq), masks, answers.after(PROBE))

    def _one_by_one(self, asking: Questions, masks: Masks | None, answers: Answers) -> Counts:
        asked, looked = self._asked(asking), np.zeros(4, np.int64)
        kept = records.kept(asking.nq, asked.padded, self.k)
        probe.top_k_lists(*self._which(asked, masks, kept, looked))
        looked[3] = self._answer(kept, asked, 0, asking, answers)
        return looked

    def _together(self, asking: Questions, masks: Masks | None, answers: Answers) -> Counts:
        asked, looked = self._asked(asking), np.zeros(4, np.int64)
        kept = records.kept(asking.nq, asked.padded, self.k + grouped.SPARE)
        room = records.room(asked, self.stored.segments)
        scratch = records.scratch(asked.row_bytes)
        grouped.top_k_grouped(*self._which(asked, masks, kept, looked), room, scratch)
        looked[3] = self._answer(kept, asked, 0, asking, answers)
        return looked

    def _which(
        self, asked: records.Asked, masks: Masks | None, kept: records.Held, looked: Counts
    ) -> tuple[Any, ...]:
        """The arguments that both ways take."""
        assert self._record is not None
        slab = min(self._record.blocks, signs.SLAB_BLOCKS)
        return (
            self.stored, self._record, asked, self._nprobe,
            UNBOUND if masks is None else address(masks), records.chosen(self._record.lists),
            self.k, kept.at, records.highest(1, self.k),
            records.sign_scratch(self.stored, asked.row_bytes, 1, slab), looked,
        )  # fmt: skip
