"""Memory that begins at a multiple of 64 bytes, so that no vector load crosses a cache line."""

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LINE = 64


def aligned_zeros(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros at a multiple of 64 bytes; large ones cost no memory before they are written to."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + LINE, np.uint8)
    start = -address(raw) % LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def address(array: NDArray[Any]) -> int:
    """Where an array begins."""
    where: int = array.__array_interface__["data"][0]
    return where


class Workspace(threading.local):
    """A thread's scratch memory, kept from call to call: fresh pages cost as much as a scan.

    `with workspace:` has memory of its own: what a signal's handler does in the midst of a search,
    on the same thread, leaves the search's alone.
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[int, str], tuple[NDArray[np.uint8], int]] = {}
        self._taken: dict[tuple[int, str], tuple[tuple[int, ...], list[int]]] = {}  # the last
        self._depth = 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1

    def take(self, name: str, *sizes: int) -> list[int]:
        """Addresses of pieces of so many bytes, at multiples of 64; what they hold is anything.

        They are good until this thread takes what is called `name` again.
        """
        key = self._depth, name
        last, pieces = self._taken.get(key, ((), []))
        if last == sizes and pieces:
            return pieces
        starts, total = [], 0
        for size in sizes:
            starts.append(total)
            total += -(-size // LINE) * LINE
        array, base = self._arrays.get(key, (None, 0))
        if array is None or len(array) < total:
            array = aligned_zeros((total,), np.uint8)
            base = address(array)
            self._arrays[key] = array, base
        pieces = [base + start for start in starts]
        self._taken[key] = sizes, pieces
        return pieces


workspace = Workspace()
