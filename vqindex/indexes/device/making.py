"""Making queries ready on a GPU, for codecs whose entries are the turned query alone."""

from collections.abc import Callable

import numpy as np

from vqindex.codec import Codec
from vqindex.kernels.cpu import program
from vqindex.kernels.gpu.driver import Device
from vqindex.kernels.gpu.query import OWN_BYTES, Making
from vqindex.kernels.gpu.records import Asked
from vqindex.transforms.runs import Runs, runs_of

_GROUP = 16  # queries are padded to a multiple of it


class Maker:
    """What a codec has learned, on a GPU, and the room that its queries take."""

    def __init__(self, device: Device, codec: Codec, runs: Runs) -> None:
        numbers = {"signs": runs.signs, "mixes": runs.mixes} if runs.rounds else {}
        if codec.center is not None:
            numbers["center"] = codec.center
        self._memory = {name: device.allocate(array.nbytes) for name, array in numbers.items()}
        for name, array in numbers.items():
            whole = np.ascontiguousarray(array)
            device.upload(self._memory[name].address, whole, device.stream)
            device.synchronize(device.stream)
        at = {name: memory.address for name, memory in self._memory.items()}
        sizes = {"rounds": runs.rounds, "run": runs.size, "order": runs.order}
        self.making = Making(codec.dim, codec.metric, **sizes, **at)
        fields = codec.scorer.fields
        self._segments = len(fields)
        ends = fields[:, program.OPERAND] + 64 * fields[:, program.WORDS]
        self._row_bytes = int(ends.max())

    @property
    def nbytes(self) -> int:
        """Bytes on the GPU."""
        return sum(memory.nbytes for memory in self._memory.values())

    def asked(self, nq: int, room: Callable[[int], int]) -> Asked:
        """Where prepared queries are going to be; `room` gives offsets of so many bytes."""
        padded = -(-nq // _GROUP) * _GROUP
        factors = 4 * self._segments * padded
        return Asked(
            nq, padded, self._row_bytes, room(nq * self._row_bytes), room(factors), room(factors),
            room(4 * nq),
        )  # fmt: skip


def maker(device: Device, codec: Codec) -> Maker | None:
    """What makes queries ready on a GPU; None of codecs of which only the CPU can."""
    runs = runs_of(codec.transform) if codec.is_bare else None
    if runs is None:
        return None
    needed = Making(codec.dim, codec.metric).shared + OWN_BYTES
    return Maker(device, codec, runs) if needed <= device.shared_bytes else None
