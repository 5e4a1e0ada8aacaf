"""Find the best rows of the lists that each query prefers."""

from functools import partial

import numpy as np
import numpy.typing as npt

from vqindex import threads as pool
from vqindex.indexes.centroids import Centroids
from vqindex.indexes.lists import Lists
from vqindex.indexes.rows import Rows
from vqindex.indexes.scan import Mask, Questions, Scan, edges
from vqindex.indexes.settings import Settings
from vqindex.kernels.cpu import probe, records, signs
from vqindex.kernels.cpu.program import UNBOUND
from vqindex.kernels.cpu.records import Answers
from vqindex.layouts.operands import GROUP
from vqindex.memory import address

Masks = npt.NDArray[np.uint32]


class Probe(Scan):
    """One search over lists, `nprobe` of them for each query."""

    def __init__(self, rows: Rows, k: int, settings: Settings) -> None:
        super().__init__(rows, k, settings)
        self._nprobe = settings.nprobe
        self._looked = np.zeros(3, np.int64)

    @property
    def stats(self) -> dict[str, int]:
        """Lists and rows that were looked at, and rows scored in full, of all queries together."""
        lists, rows, scored = self._looked.tolist()
        return {"lists": lists, "bounded": rows, "scored": self.scored + scored}

    def _run(self, asking: Questions, allowed: Mask | None, threads: int, answers: Answers) -> None:
        lists, centroids = self.rows.lists, self.model.centroids
        if lists is None or centroids is None or self._is_few(lists, allowed):
            super()._run(asking, allowed, threads, answers)
            return
        parts = min(threads, asking.nq // GROUP)
        masks = None if allowed is None else self._masks(lists, allowed)
        tasks = (
            [
                partial(self._probe, lists, centroids, asking.select(a, b), masks, answers.after(a))
                for a, b in edges(asking.nq, parts, GROUP)
            ]
            if parts > 1
            else [partial(self._probe, lists, centroids, asking, masks, answers)]
        )
        for looked in pool.run(tasks, threads):
            self._looked += looked

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
        places = np.zeros(32 * lists.blocks, np.bool_)
        places[lists.slots] = allowed
        return np.packbits(places, bitorder="little").view("<u4").astype(np.uint32)

    def _probe(
        self,
        lists: Lists,
        centroids: Centroids,
        asking: Questions,
        masks: Masks | None,
        answers: Answers,
    ) -> npt.NDArray[np.int64]:
        asked, looked = self._asked(asking), np.zeros(3, np.int64)
        kept = records.kept(asking.nq, asked.padded, self.k)
        slab = min(lists.blocks, signs.SLAB_BLOCKS)
        probe.top_k_lists(
            self.stored, lists.record(centroids), asked, self._nprobe,
            UNBOUND if masks is None else address(masks), records.chosen(lists.count), self.k,
            kept.at, records.highest(1, self.k), records.sign_scratch(self.stored, 1, slab), looked,
        )  # fmt: skip
        self._answer(kept, asked, 0, asking, answers)
        return looked
