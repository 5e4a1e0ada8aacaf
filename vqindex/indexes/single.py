"""One query at a time: what a kernel needs to answer it in one call, made ready beforehand."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vqindex.codec import Codec
from vqindex.codes import Blocks
from vqindex.indexes.centroids import Centroids
from vqindex.indexes.model import Model
from vqindex.kernels.cpu import hadamard, records, routing, signs, single
from vqindex.kernels.cpu.program import UNBOUND
from vqindex.kernels.cpu.records import Asked, Stored
from vqindex.kernels.cpu.single import (
    FINELY,
    FINER,
    FINER_GAINS,
    GAINS,
    LISTS,
    WHOLE,
    Making,
    Plan,
    Routes,
)
from vqindex.kernels.cpu.step import Gains, Step, Tables
from vqindex.layouts.base import FloatArray
from vqindex.memory import Workspace, address, aligned_zeros

Ints = npt.NDArray[np.int64]

_METRICS = {"ip": single.DOT, "cosine": single.COSINE, "l2": single.SQUARE}


class Desk:
    """All that one query on one thread is answered with, but for itself.

    stored, whole    rows, and by their finer codes if the best are scored again
    lists            what kernels take of lists, `nprobe` of which a query looks into; None without
    k, best          rows kept, and wanted
    some, table      rows kept but for their copies, and the table of ids (IdMap.table)
    width            what the norm of a query is multiplied by for the slack of signs
    reach            and for that of scores, where rows are scored again as they are found
    """

    def __init__(
        self, model: Model, stored: Stored, whole: Stored | None, lists: records.Lists | None,
        nprobe: int, k: int, some: int, best: int, table: Ints, width: float, reach: float | None,
        blocks: Blocks,
    ) -> None:  # fmt: skip
        self._blocks, self._widths = blocks, np.array([width, reach or 0], np.float32)
        self._space, self._held = Workspace(), list[Any]([table])  # what addresses point into
        (asked, *made), gains = self._made(model.codec, stored.signs)
        finely: dict[int, Any] = {}
        if whole is not None and model.finer is not None:
            made_finely, finer_gains = self._made(model.finer, 0)
            finely = dict(enumerate((whole, *made_finely, self._kept(best)), WHOLE))
            finely[FINER_GAINS] = finer_gains
            if reach is not None:
                at = self._zeros(16, np.float32)
                finely[FINER] = records.finer(whole, finely[FINELY], at)
        routed: dict[int, Sequence[int]] = {}
        if lists is not None and model.centroids is not None:
            asked = asked._replace(
                shares=self._zeros(model.centroids.padded, np.float32),
                lists=model.centroids.padded, blurs=self._zeros(1, np.float32),
            )  # fmt: skip
            if model.staged:
                finely[FINELY] = finely[FINELY]._replace(shares=asked.shares, lists=asked.lists)
            routed = dict(enumerate(self._routed(lists, model.centroids), LISTS))
        count = len(blocks.numbers) if lists is None else lists.blocks
        slab = max(1, min(count, signs.SLAB_BLOCKS))
        own: tuple[Sequence[int], ...] = (
            Plan(nprobe, k, best, bool(finely), UNBOUND, some, address(table), len(table)),
            stored, asked, *made, self._kept(k),
            records.highest(1, k, self._space),
            records.sign_scratch(stored, asked.row_bytes, 1, slab, self._space),
        )  # fmt: skip
        self._desk = single.desk(dict(enumerate(own)) | {GAINS: gains} | routed | finely)
        if FINER in finely:
            self._desk[single.ASKED, Asked._fields.index("finer")] = address(self._desk[FINER])

    def _routed(self, lists: records.Lists, centroids: Centroids) -> Iterator[Sequence[int]]:
        """What meets the origins of lists."""
        width = -(-centroids.dim // 64) * 64
        yield lists
        yield centroids.asked.at
        yield Routes(
            width, self._zeros(width, np.int8), self._zeros(2 * width, np.uint8),
            self._zeros(routing.RAW, np.uint8),
        )  # fmt: skip
        yield records.chosen(lists.lists, self._space)

    def _zeros(self, size: int, dtype: Any) -> int:
        array = aligned_zeros((size,), dtype)
        self._held.append(array)
        return address(array)

    def _kept(self, k: int) -> Sequence[int]:
        held = records.kept(1, 16, k)
        self._held.append(held)
        at: Sequence[int] = held.at
        return at

    def _made(self, codec: Codec, looked: int) -> tuple[tuple[Asked, Making, Step, Tables], Gains]:
        """Room for what a codec makes of a query, and how it makes it."""
        assert codec.steps is not None
        step, tables, gains = codec.steps
        dim, space = codec.dim, Workspace()
        room = codec.operands(np.zeros((1, dim), np.float32))
        asked = room.asked(looked, room.norms, packed=False, space=space)
        asked = asked._replace(norms=self._zeros(1, np.float32))
        zeros = self._zeros(dim, np.float32)
        center = zeros if codec.center is None else address(codec.center)
        spread = asked.entries if room.is_float else self._zeros(room.row_bytes, np.float32)
        is_spread = tables.spaces or gains.width
        turned = self._zeros(dim + 16, np.float32) if is_spread else spread
        making = Making(
            _METRICS[codec.metric], dim, center, codec.center is not None,
            self._zeros(dim + 16, np.float32), turned, spread, address(codec.scorer.fields),
            len(codec.scorer.fields), not room.is_float,
            self._zeros(hadamard.scratch_floats(1, dim), np.float32), zeros,
        )  # fmt: skip
        self._held += [codec, room, space]
        return (asked, making, step, tables), gains

    def answer(
        self, query: FloatArray, scores: FloatArray, ids: npt.NDArray[np.int64]
    ) -> list[int] | None:
        """Write the answers (1, >= best) of a query (1, dim).

        Lists and rows seen, rows scored, and scored again.

        None where its norm is so odd that it is to be asked in another way.
        """
        stats = np.zeros(4, np.int64)
        blocks, masks = self._blocks
        found = single.search_one(
            self._desk, query, blocks, masks, self._widths, scores, ids, stats
        )
        seen: list[int] = stats.tolist()
        return seen if found else None
