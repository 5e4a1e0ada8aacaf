"""What is timed on a GPU: searches of codes at random, and rows at random that are coded.

A Work or Coder holds what lies on the card; `checked` says what is wrong with what it did.
"""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from benchmarks import gpu_check
from vqindex.codec import Codec
from vqindex.indexes.device import tensors
from vqindex.indexes.device.search import STEMS, DeviceSearch
from vqindex.kernels.gpu import topk
from vqindex.kernels.gpu.driver import Device
from vqindex.kernels.gpu.encode import Coding, encode
from vqindex.kernels.gpu.records import SEGMENT, STORED, Asked, Where, keep
from vqindex.layouts import device as layouts
from vqindex.quantizers.lloyd_max import LloydMax
from vqindex.transforms import HadamardRotation
from vqindex.transforms.runs import runs_of

ON = "cuda"  # where torch's tensors are
RUBBISH = 165  # what memory holds before it is written
_KINDS = {1: (layouts.SIGNS, 128), 2: (layouts.PAIRS, 64), 4: (layouts.NIBBLES, 32),
          8: (layouts.BYTES, 16)}  # fmt: skip


class Search(NamedTuple):
    """What queues a search, what it asks, and where it writes."""

    go: Callable[[], None]
    entries: Any
    half: Any
    gamma: Any
    scores: Any
    found: Any


class Work:
    """Codes of random bytes, and searches of them."""

    def __init__(self, torch: Any, device: Device, n: int, d: int, bits: int) -> None:
        self._torch, self._device, self._rows, self._dim = torch, device, n, d
        kind, codes = _KINDS[bits]
        blocks, chunks = -(-n // 32), -(-(-(-d // 64) * 64) // codes)
        segment = SimpleNamespace(kind=kind, chunks=chunks, pieces=chunks)
        self.nbytes = 32 * blocks * (16 * chunks + 4)
        whole, most = (64 * blocks * chunks,), 2**63 - 1
        codes_ = torch.randint(-most, most, whole, dtype=torch.int64, device=ON)
        scale = torch.rand(32 * blocks, device=ON) + 0.5
        ids = torch.arange(n, device=ON)
        order = torch.randperm(blocks, device=ON)
        levels = np.linspace(4, 120, 16).astype(np.uint8)
        records = np.zeros(1, SEGMENT)
        records["codes"], records["scale"] = codes_.data_ptr(), scale.data_ptr()
        records["kind"], records["chunks"] = kind, chunks
        records["dims"], records["table"] = -(-d // 64) * 64, levels
        segments = _put(torch, records)
        stored = np.zeros(1, STORED)
        stored["segments"], stored["rows"], stored["count"] = segments.data_ptr(), n, 1
        record = _put(torch, stored)
        self._held = [codes_, scale, ids, order, segments, record]
        pieces = codes_.view(torch.uint8).reshape(blocks, chunks, 32, 16)
        self._scored = kind, pieces, _put(torch, levels[:8]).view(torch.int8), scale
        plan = SimpleNamespace(segments=(segment,), blocks=blocks)
        self._codes: Any = SimpleNamespace(
            device=device, plan=plan, stored=record.data_ptr(), order=order.data_ptr(), masks=0,
            ids=ids.data_ptr(),
        )  # fmt: skip

    def _full(self, *shape: int, dtype: str = "uint8") -> Any:
        out = self._torch.full(shape, RUBBISH, dtype=getattr(self._torch, dtype), device=ON)
        self._held.append(out)
        return out

    def search(self, nq: int, k: int, stems: Mapping[int, str] = STEMS) -> Search:
        """A search of nq queries for k rows, by the kernels that `stems` names."""
        torch, padded, width = self._torch, -(-nq // 16) * 16, -(-self._dim // 64) * 64
        entries = torch.randint(-127, 128, (padded, width), dtype=torch.int8, device=ON)
        half = entries.sum(dim=1, dtype=torch.int32).to(torch.float32) / 2
        gamma, alpha = torch.rand(padded, device=ON) + 0.5, torch.zeros(nq, device=ON)
        self._held += [entries, half, gamma, alpha]
        scores, found = self._full(nq, k, dtype="float32"), self._full(nq, k, dtype="int64")
        search, blocks = DeviceSearch(self._codes, stems), self._codes.plan.blocks
        step = min(nq, search.step)
        memory = self._full(search.nbytes(step, k, blocks)).data_ptr()
        asked = Asked(nq, padded, width, *(x.data_ptr() for x in (entries, half, gamma, alpha)))
        plain, shuffled = Where(blocks), Where(blocks, self._codes.order)
        stream = tensors.stream(self._device.number)

        def go() -> None:
            for start in range(0, nq, step):
                some = asked.some(start, min(start + step, nq))
                best = search.run(some, k, plain, shuffled, memory, stream)
                answer = topk.answer(
                    best, some.nq, k, keep(k), some.alpha, self._codes.ids,
                    scores.data_ptr() + 4 * start * k, found.data_ptr() + 8 * start * k,
                )  # fmt: skip
                self._device.launch(answer, stream)

        return Search(go, entries, half, gamma, scores, found)

    def checked(self, search: Search) -> dict[str, str]:
        """An `error` if what the first query or the last was answered is wrong."""
        some, kind, pieces, magnitudes, scale = [0, len(search.found) - 1], *self._scored
        every = gpu_check.scores(
            self._torch, kind, pieces, magnitudes, scale, search.entries[some], search.half[some],
            search.gamma[some],
        )[: self._rows]  # fmt: skip
        wrong = gpu_check.wrong(self._torch, every, search.scores[some], search.found[some])
        return {"error": wrong} if wrong else {}


class Coder:
    """Rows at random, and the launch that rotates and codes them by Lloyd-Max levels."""

    def __init__(self, torch: Any, n: int, d: int, bits: int) -> None:
        self._torch, quantizer = torch, LloydMax(bits).fit(None, d, 0)
        rotation, levels = HadamardRotation().fit(None, d, 0), quantizer.levels[0]
        self._codec = Codec("ip", d, None, rotation, quantizer, None, None)
        runs, (kind, codes) = runs_of(rotation), _KINDS[bits]
        assert runs is not None
        chunks, blocks = -(-d // codes), -(-n // 32)
        self._x = torch.randn(n, d, device=ON)
        shape = blocks, chunks, 32, 16
        self._codes = torch.full(shape, RUBBISH, dtype=torch.uint8, device=ON)
        self._scale = torch.full((32 * blocks,), torch.nan, device=ON)
        ratio = torch.zeros(32 * blocks, dtype=torch.float16, device=ON)
        odd = torch.zeros(1, dtype=torch.int32, device=ON)
        book = np.concatenate([levels.thresholds, levels.magnitudes + np.float32(0.5)])
        signs, mixes, codebook, magnitudes = (
            _put(torch, array)
            for array in (
                runs.signs, runs.mixes, book.astype(np.float32), np.resize(levels.magnitudes, 8)
            )
        )  # fmt: skip
        self._decoded = kind, magnitudes.view(torch.int8)
        records = np.zeros(1, SEGMENT)
        records["codes"], records["codebook"] = self._codes.data_ptr(), codebook.data_ptr()
        records["kind"], records["chunks"], records["count"] = kind, chunks, d
        records["window"], records["dims"] = len(levels.magnitudes), -(-d // 64) * 64
        segments = _put(torch, records)
        coding = Coding(
            d, "ip", "unbiased", levels.unit, segments.data_ptr(), 1, 0, signs.data_ptr(),
            mixes.data_ptr(), runs.rounds, runs.size, runs.order,
        )  # fmt: skip
        self.launch = encode(
            coding, self._x.data_ptr(), n, 0, self._scale.data_ptr(), ratio.data_ptr(), 0,
            odd.data_ptr(),
        )  # fmt: skip
        self._held = [ratio, odd, signs, mixes, codebook, segments]
        self.nbytes = self._x.nbytes + self._codes.nbytes + 6 * 32 * blocks

    def checked(self) -> dict[str, str]:
        """An `error` if the first block of rows or the last whole one is wrongly coded."""
        n, d = self._x.shape
        some, whole = [0, n // 32 - 1], n // 32 * 32
        rows = self._x[:whole].reshape(-1, 32, d)[some].reshape(-1, d)
        kind, magnitudes = self._decoded
        coded = gpu_check.levels(self._torch, kind, self._codes[some], magnitudes)[:, :d]
        scale = self._scale[:whole].reshape(-1, 32)[some].reshape(-1)
        wrong = gpu_check.wrongly_coded(
            self._codec, *(array.cpu().numpy() for array in (rows, coded, scale))
        )
        return {"error": wrong} if wrong else {}


def _put(torch: Any, array: Any) -> Any:
    """The bytes of an array, there."""
    return torch.from_numpy(np.ascontiguousarray(array).view(np.uint8).reshape(-1).copy()).to(ON)
