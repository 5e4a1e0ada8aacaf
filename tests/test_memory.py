"""Aligned memory, and what threads keep of it."""

import ctypes
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vqindex.memory import Workspace, address, aligned_zeros


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (2, 7, 64), (1000, 1000)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.int64])
def test_aligned_zeros(shape, dtype):
    for _ in range(3):
        array = aligned_zeros(shape, dtype)
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.size == 0 or address(array) % 64 == 0  # NumPy makes one up for no memory
        assert array.flags.c_contiguous
        assert not array.any()
        array[:] = 1


def test_where_an_array_begins():
    array = np.zeros((4, 5), np.float32)
    assert address(array) == array.ctypes.data
    assert address(array[2:]) == array[2:].ctypes.data


def test_pieces_of_a_workspace_are_aligned_and_apart():
    space, sizes = Workspace(), (1, 0, 64, 65, 1000)
    pieces = [*space.take("a", *sizes), *space.take("b", *sizes)]
    assert all(piece % 64 == 0 for piece in pieces)
    for i, (piece, size) in enumerate(zip(pieces, 2 * sizes, strict=True)):
        ctypes.memset(piece, i, size)
    for i, (piece, size) in enumerate(zip(pieces, 2 * sizes, strict=True)):
        assert ctypes.string_at(piece, size) == bytes([i]) * size


def test_a_workspace_keeps_memory_that_suffices():
    space = Workspace()
    first = space.take("a", 500, 500)
    assert space.take("a", 500, 512) == first
    assert space.take("a", 0, 100) == [first[0]] * 2
    assert space.take("a") == []
    (larger,) = space.take("a", 2000)
    ctypes.memset(larger, 1, 2000)


def test_each_thread_has_a_workspace_of_its_own():
    space = Workspace()
    mine = space.take("a", 100)
    with ThreadPoolExecutor(1) as other:
        theirs = other.submit(space.take, "a", 100).result()
        assert theirs != mine
        assert other.submit(space.take, "a", 100).result() == theirs
    assert space.take("a", 100) == mine


def test_a_nested_use_has_memory_of_its_own():
    space = Workspace()
    with space:
        mine = space.take("a", 100)
        with space:
            assert space.take("a", 5000) != mine
        assert space.take("a", 100) == mine
    with space:
        assert space.take("a", 100) == mine
