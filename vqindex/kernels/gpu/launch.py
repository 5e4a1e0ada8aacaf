"""What a launch is: a kernel, its grid, and its arguments byte for byte."""

from typing import NamedTuple

import numpy as np

from vqindex.errors import BackendError
from vqindex.kernels.gpu.compile import Macros

Argument = np.uint64 | np.int64 | np.int32 | np.uint32 | np.float32
MOST_BLOCKS = 2**31 - 1  # of a grid's first axis
MOST_ROWS_OF_BLOCKS = 65_535  # of its second and third


class Launch(NamedTuple):
    """One launch of a kernel.

    stem, macros   the source, and what it is compiled with
    kernel         its name there
    grid           blocks along each axis; one of them 0 for nothing to do
    block          threads of a block
    shared         bytes of shared memory beyond those that the kernel declares
    arguments      addresses as uint64, and numbers of just the width that the kernel declares
    """

    stem: str
    macros: Macros
    kernel: str
    grid: tuple[int, int, int]
    block: int
    shared: int
    arguments: tuple[Argument, ...]

    @property
    def packed(self) -> bytes:
        """The arguments as the kernel reads them, each at a multiple of its size."""
        out = b""
        for argument in self.arguments:
            out += bytes(-len(out) % argument.nbytes) + argument.tobytes()
        return out


def blocks(n: int, each: int, what: str = "rows") -> int:
    """How many blocks of `each` hold n; BackendError where no grid has as many."""
    count = -(-n // each)
    if count > MOST_BLOCKS:
        raise BackendError(
            f"{n:,} {what} need {count:,} blocks of a grid, which has at most {MOST_BLOCKS:,}: "
            "share them among several indexes."
        )
    return count


def row_bytes(dim: int) -> int:
    """Shared memory of one row of dim float32, so that another may follow."""
    return -(-dim // 4) * 16


def pointer(address: int, align: int = 16) -> np.uint64:
    """An address as kernels take it; BackendError unless it is a multiple of `align`."""
    if address % align:
        raise BackendError(
            f"a kernel needs memory at a multiple of {align} bytes, got address {address:#x}: "
            "pass a copy (tensor.clone())."
        )
    return np.uint64(address)
